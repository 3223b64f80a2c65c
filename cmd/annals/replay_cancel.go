package main

import (
	"context"
	"io"
)

// replayCancelCommand is annals replay cancel.
type replayCancelCommand struct {
	asking
	ID string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
}

// Run implements kong's command.
func (c *replayCancelCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.ID)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.CancelReplay(ctx, id)
	if err != nil {
		return err
	}
	return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
}
