package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// replayReceiptCommand is annals replay receipt.
type replayReceiptCommand struct {
	asking
	ID   string `arg:"" help:"The job's id, which is the plan's, or its first 8 digits."`
	HTML bool   `name:"html" help:"Print the page that was kept with the job: it needs nothing but itself, and can be printed."`
}

// Run implements kong's command.
func (c *replayReceiptCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.ID)
	switch {
	case err != nil:
		return err
	case c.HTML && c.JSON:
		return schema.InvalidField("html", "--html and --json exclude each other")
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.HTML {
		return server.ReplayReceipt(ctx, id, in.out)
	}
	job, err := server.Replay(ctx, id)
	if err != nil {
		return err
	}
	if job.Receipt == nil {
		return schema.Errorf(schema.Conflict, "replay %s is %s: it has no receipt", job.Id, job.State)
	}
	return c.print(in.out, job.Receipt, func(w io.Writer) { showReceipt(w, job.Receipt) })
}

func showReceipt(w io.Writer, r *api.Receipt) {
	verdict := "planned = read = produced = read back"
	if !r.Matches {
		verdict = "THE TARGET DIFFERS FROM THE PLAN"
	}
	fmt.Fprintf(w, "receipt: planned %d, read %d, produced %d, read back %d: %s\n", r.Planned, r.Read, r.Produced, r.ReadBack, verdict)
	table(w, "SOURCE|TARGET|PARTITION|RECORDS|HASH|", func(row func(...any)) {
		for _, p := range r.Partitions {
			same := "ok"
			if !p.Matches {
				same = fmt.Sprintf("DIFFERS: read back %d, %s", p.ReadBack, cutHash(p.ReadBackHash))
			}
			if p.Difference != nil {
				same += "; " + *p.Difference
			}
			partition := fmt.Sprint(p.Partition)
			if p.TargetPartition != nil {
				partition += fmt.Sprintf(" → %d", *p.TargetPartition)
			}
			row(p.Source, p.Target, partition, p.Planned, cutHash(p.PlannedHash), same)
		}
	})
	showNotes(w, r)
}

func showNotes(w io.Writer, r *api.Receipt) {
	if !r.Exclusive {
		fmt.Fprintln(w, "note: others wrote into the ranges that were read back")
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note: "+note)
	}
}

func cutHash(h string) string { return strings.TrimSpace(h[:min(len(h), 16)]) }
