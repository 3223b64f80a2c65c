package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// coverageCommand is annals coverage.
type coverageCommand struct {
	asking
	Topic string `arg:"" optional:"" help:"Only this topic."`
}

// Run implements kong's command.
func (c *coverageCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	coverage, err := server.Coverage(ctx, c.Topic)
	if err != nil {
		return err
	}
	return c.print(in.out, coverage, func(w io.Writer) { showCoverage(w, coverage) })
}

func showCoverage(w io.Writer, coverage *api.Coverage) {
	table(w, "PARTITION|FROM|SEALED TO|FRESH TO|LAG|COMMITTED|ABORTED|CONTROL|GAPS|SEGMENTS|LAST SEALED", func(row func(...any)) {
		for _, p := range coverage.Partitions {
			gaps := "–"
			if p.GapOffsets > 0 {
				gaps = fmt.Sprint(p.GapOffsets)
				for _, g := range p.Gaps {
					gaps += fmt.Sprintf(" %s %d–%d", g.Class, g.From, g.To)
				}
			}
			row(fmt.Sprintf("%s/%d", p.Topic, p.Partition), p.ArchivedFrom, p.ArchivedTo, p.FreshTo, p.Lag,
				p.Counts.Committed, p.Counts.Aborted, p.Counts.Control, gaps, p.Segments, moment(p.LastSealed))
		}
	})
	if len(coverage.Partitions) == 0 {
		fmt.Fprintln(w, "Nothing is archived yet.")
	}
}
