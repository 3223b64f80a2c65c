package main

import (
	"context"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayStepCommand is annals replay step.
type replayStepCommand struct {
	replayControl
	Records int64 `default:"1" placeholder:"N" help:"How many records (1)."`
}

// Run implements kong's command.
func (c *replayStepCommand) Run(ctx context.Context, in *invocation) error {
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) {
		return server.StepReplay(ctx, id, c.Records)
	})
}

// replaySeekCommand is annals replay seek.
type replaySeekCommand struct {
	replayControl
	To string `arg:"" help:"A time of the clock (RFC 3339, or a day such as 2020-03-09)."`
}

// Run implements kong's command.
func (c *replaySeekCommand) Run(ctx context.Context, in *invocation) error {
	to, err := parseTime("TO", c.To)
	if err != nil {
		return err
	}
	if to == nil {
		return schema.InvalidField("to", "give the time to go on from")
	}
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) {
		job, err := server.Replay(ctx, id)
		if err != nil {
			return nil, err
		}
		pace := job.Pace
		pace.FastUntil = to
		return server.PaceReplay(ctx, job.Id, pace)
	})
}
