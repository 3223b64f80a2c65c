package main

import (
	"context"
	"io"
)

// replayCancelCommand is annals replay cancel.
type replayCancelCommand struct {
	asking
	ID string `arg:"" help:"The job."`
}

// Run implements kong's command.
func (c *replayCancelCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.CancelReplay(ctx, c.ID)
	if err != nil {
		return err
	}
	return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
}
