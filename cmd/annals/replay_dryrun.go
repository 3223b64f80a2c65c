package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// replayDryRunCommand is annals replay dry-run.
type replayDryRunCommand struct {
	asking
	Plan string `arg:"" help:"The plan's id, or its first 8 digits."`
}

// Run implements kong's command.
func (c *replayDryRunCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.Plan)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	run, err := server.DryRunReplay(ctx, id)
	if err != nil {
		return err
	}
	if err := c.print(in.out, run, func(w io.Writer) { showDryRun(w, run) }); err != nil {
		return err
	}
	if !run.Matches {
		return exitError(exitFailed)
	}
	return nil
}

func showDryRun(w io.Writer, run *api.DryRun) {
	fmt.Fprintf(w, "dry run of %s: planned %d, read %d records, %s, from %d segments in %.1f s; nothing was produced\n", run.Id, run.Planned, run.Records, size(run.Bytes), run.Segments, run.Seconds)
	table(w, "SOURCE|TARGET|PARTITION|RECORDS|BYTES|HASH", func(row func(...any)) {
		for _, p := range run.Partitions {
			row(p.Source, p.Target, p.Partition, p.Records, size(p.Bytes), cutHash(p.Hash))
		}
	})
	for _, problem := range run.Problems {
		fmt.Fprintln(w, "problem: "+problem)
	}
	if run.Matches {
		fmt.Fprintln(w, "everything planned is there, and the targets take it")
	}
}
