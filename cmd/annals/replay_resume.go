package main

import (
	"context"
	"io"
)

// replayResumeCommand is annals replay resume.
type replayResumeCommand struct {
	asking
	ID string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
}

// Run implements kong's command.
func (c *replayResumeCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.ID)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.ResumeReplay(ctx, id)
	if err != nil {
		return err
	}
	return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
}
