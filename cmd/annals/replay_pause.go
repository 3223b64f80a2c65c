package main

import (
	"context"
	"io"
)

// replayPauseCommand is annals replay pause.
type replayPauseCommand struct {
	asking
	ID string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
}

// Run implements kong's command.
func (c *replayPauseCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.ID)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.PauseReplay(ctx, id)
	if err != nil {
		return err
	}
	return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
}
