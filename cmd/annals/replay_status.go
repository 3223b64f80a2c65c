package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fx-risk-ai/annals/internal/terminal"
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
		table(w, "JOB|STATE|PRODUCED|PLANNED|LEFT|BY|UPDATED", func(row func(...any)) {
			for _, job := range list.Jobs {
				left, by := "", ""
				if job.EtaSeconds != nil {
					left = remaining(*job.EtaSeconds)
				}
				if job.RequestedBy != nil {
					by = *job.RequestedBy
				}
				row(job.Id, job.State, job.Produced, job.Planned, left, by, moment(&job.Updated))
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
		fmt.Fprintln(w, terminal.Line(*job.Error))
	}
	showApproval(w, job)
	if !ended(job) {
		fmt.Fprintln(w, "pace: "+describePace(&job.Pace))
		if job.EtaSeconds != nil {
			fmt.Fprintf(w, "about %s left\n", remaining(*job.EtaSeconds))
		}
	}
	if job.Lateness != nil {
		showLateness(w, job.Lateness)
	}
	if job.Receipt != nil {
		showReceipt(w, job.Receipt)
	}
}

// remaining is an estimate, to the second.
func remaining(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
