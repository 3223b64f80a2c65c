package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// replayOffsetCommand is annals replay offset.
type replayOffsetCommand struct {
	asking
	ID        string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
	Topic     string `required:"" placeholder:"TOPIC" help:"The source topic with --source, the target topic with --target."`
	Partition int32  `placeholder:"N" help:"The partition (0)."`
	Source    *int64 `xor:"side" required:"" placeholder:"OFFSET" help:"An offset of the source: where does its record stand in the target?"`
	Target    *int64 `xor:"side" required:"" placeholder:"OFFSET" help:"An offset of the target: which source record is it?"`
}

// Run implements kong's command.
func (c *replayOffsetCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.ID)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	pair, err := server.MapReplayOffset(ctx, id, api.MapReplayOffsetParams{Topic: c.Topic, Partition: c.Partition, Source: c.Source, Target: c.Target})
	if err != nil {
		return err
	}
	return c.print(in.out, pair, func(w io.Writer) {
		fmt.Fprintf(w, "%s/%d offset %d  →  %s/%d offset %d\n", pair.Source, pair.Partition, pair.SourceOffset, pair.Target, pair.TargetPartition, pair.TargetOffset)
	})
}
