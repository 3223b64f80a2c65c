package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayApproveCommand is annals replay approve.
type replayApproveCommand struct {
	replayControl
	Comment string `placeholder:"TEXT" help:"What to keep with the approval."`
}

// Run implements kong's command.
func (c *replayApproveCommand) Run(ctx context.Context, in *invocation) error {
	return c.decide(ctx, in, func(server *client.Client, id string) (*api.ReplayJob, error) {
		return server.ApproveReplay(ctx, id, c.Comment)
	})
}

// replayRejectCommand is annals replay reject.
type replayRejectCommand struct {
	replayControl
	Reason string `required:"" placeholder:"TEXT" help:"Why; it is kept with the job."`
}

// Run implements kong's command.
func (c *replayRejectCommand) Run(ctx context.Context, in *invocation) error {
	return c.decide(ctx, in, func(server *client.Client, id string) (*api.ReplayJob, error) {
		return server.RejectReplay(ctx, id, c.Reason)
	})
}

// decide shows the plan that is decided about, and decides about that very one.
func (c *replayControl) decide(ctx context.Context, in *invocation, do func(server *client.Client, id string) (*api.ReplayJob, error)) error {
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) {
		job, err := server.Replay(ctx, id)
		if err != nil {
			return nil, err
		}
		if !c.JSON {
			showPlan(terminal.Plain(in.out), &job.Plan)
			fmt.Fprintf(in.out, "pace: %s; it is no part of the plan, and may be changed while it runs\n\n", describePace(&job.Pace))
		}
		return do(server, job.Id)
	})
}

// showApproval prints who asked for a job, and what others said.
func showApproval(w io.Writer, job *api.ReplayJob) {
	if job.RequestedBy != nil {
		fmt.Fprintf(w, "asked for by %s\n", *job.RequestedBy)
	}
	if job.Approval == nil {
		return
	}
	for _, d := range job.Approval.Decisions {
		fmt.Fprintf(w, "%s by %s at %s", d.Verdict, d.By, moment(&d.At))
		if d.Expires != nil {
			fmt.Fprintf(w, ", until %s", moment(d.Expires))
		}
		if d.Comment != "" {
			fmt.Fprintf(w, ": %s", terminal.Line(d.Comment))
		}
		fmt.Fprintln(w)
	}
	if job.State == "awaiting_approval" {
		fmt.Fprintf(w, "somebody else than %s must decide: annals replay approve %s, or reject\n", job.Approval.AskedBy, job.Id[:min(fewestDigits, len(job.Id))])
	}
}
