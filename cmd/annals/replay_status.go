package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/web/api"
)

// replayStatusCommand is annals replay status.
type replayStatusCommand struct {
	asking
	ID string `arg:"" optional:"" help:"One job, by its id or the first 8 digits; otherwise all."`
}

// Run implements kong's command.
func (c *replayStatusCommand) Run(ctx context.Context, in *invocation) error {
	var id string
	if c.ID != "" {
		var err error
		if id, err = planID(c.ID); err != nil {
			return err
		}
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.ID != "" {
		job, err := server.Replay(ctx, id)
		if err != nil {
			return err
		}
		return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
	}
	list, err := server.Replays(ctx)
	if err != nil {
		return err
	}
	return c.print(in.out, list, func(w io.Writer) {
		table(w, "JOB|STATE|PRODUCED|PLANNED|UPDATED", func(row func(...any)) {
			for _, job := range list.Jobs {
				row(job.Id, job.State, job.Produced, job.Planned, moment(&job.Updated))
			}
		})
		for _, note := range list.Notes {
			fmt.Fprintln(w, "note: "+note)
		}
	})
}

func showJob(w io.Writer, job *api.ReplayJob) {
	fmt.Fprintf(w, "replay %s: %s, %d of %d records produced\n", job.Id, job.State, job.Produced, job.Planned)
	if job.Error != nil {
		fmt.Fprintln(w, *job.Error)
	}
	if !ended(job) {
		fmt.Fprintln(w, "pace: "+describePace(&job.Pace))
		if job.EtaSeconds != nil {
			fmt.Fprintf(w, "about %s left\n", time.Duration(*job.EtaSeconds*float64(time.Second)).Round(time.Second))
		}
	}
	if job.Lateness != nil {
		showLateness(w, job.Lateness)
	}
	r := job.Receipt
	if r == nil {
		return
	}
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
			row(p.Source, p.Target, p.Partition, p.Planned, cutHash(p.PlannedHash), same)
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
