package main

import (
	"context"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayControl is what the commands have in common that act on one job.
type replayControl struct {
	asking
	ID string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
}

// act does something to the job and prints what it is then.
func (c *replayControl) act(in *invocation, do func(server *client.Client, id string) (*api.ReplayJob, error)) error {
	id, err := planID(c.ID)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := do(server, id)
	if err != nil {
		return err
	}
	return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
}

// replayPauseCommand is annals replay pause.
type replayPauseCommand struct{ replayControl }

// Run implements kong's command.
func (c *replayPauseCommand) Run(ctx context.Context, in *invocation) error {
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) { return server.PauseReplay(ctx, id) })
}

// replayResumeCommand is annals replay resume.
type replayResumeCommand struct{ replayControl }

// Run implements kong's command.
func (c *replayResumeCommand) Run(ctx context.Context, in *invocation) error {
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) { return server.ResumeReplay(ctx, id) })
}

// replayCancelCommand is annals replay cancel.
type replayCancelCommand struct{ replayControl }

// Run implements kong's command.
func (c *replayCancelCommand) Run(ctx context.Context, in *invocation) error {
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) { return server.CancelReplay(ctx, id) })
}
