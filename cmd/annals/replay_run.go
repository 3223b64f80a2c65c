package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayRunCommand is annals replay run.
type replayRunCommand struct {
	asking
	pacing
	Plan   string `arg:"" help:"The plan's id, or its first 8 digits."`
	Detach bool   `help:"Return when the job is accepted."`
}

// Run implements kong's command.
func (c *replayRunCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.Plan)
	if err != nil {
		return err
	}
	pace, err := c.pace()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.RunReplay(ctx, id, pace)
	if err != nil {
		return err
	}
	if !c.Detach {
		if job, err = follow(ctx, server, in.err, job); err != nil {
			return err
		}
	}
	if err := c.print(in.out, job, func(w io.Writer) { showJob(w, job) }); err != nil {
		return err
	}
	if ended(job) && (job.State != "done" || job.Receipt == nil || !job.Receipt.Matches) {
		return exitError(exitFailed)
	}
	return nil
}

func ended(job *api.ReplayJob) bool {
	return job.State == "done" || job.State == "failed" || job.State == "cancelled" || job.State == "rejected"
}

// follow shows a job's progress until it ends. A server that is away for a
// while, restarted for one, is waited for: the job goes on with it.
func follow(ctx context.Context, server *client.Client, w io.Writer, job *api.ReplayJob) (*api.ReplayJob, error) {
	watched, shown := isTerminal(w), terminal.Plain(w)
	last := time.Time{}
	away := retry.Between(500*time.Millisecond, 10*time.Second)
	for !ended(job) {
		if every := 5 * time.Second; watched || time.Since(last) >= every {
			last = time.Now()
			line := fmt.Sprintf("%s: %d of %d records", job.State, job.Produced, job.Planned)
			if job.EtaSeconds != nil {
				line += fmt.Sprintf(", about %s left", remaining(*job.EtaSeconds))
			}
			switch {
			case job.State == "awaiting_approval":
				line = "waits for an approval by somebody else: annals replay approve " + job.Id[:fewestDigits]
			case job.Error != nil:
				line += "; " + terminal.Line(*job.Error)
			}
			if watched {
				fmt.Fprint(w, "\r\x1b[K")
				fmt.Fprint(shown, line)
			} else {
				fmt.Fprintln(shown, line)
			}
		}
		next, err := server.Replay(ctx, job.Id)
		pause := 300 * time.Millisecond
		switch {
		case err == nil:
			job = next
			away.Reset()
		case schema.KindOf(err) == schema.Unavailable:
			pause = away.Next()
		case !errors.Is(err, context.Canceled):
			return job, err
		}
		if ended(job) {
			break
		}
		if retry.Sleep(ctx, pause) != nil {
			fmt.Fprintf(w, "\nThe job goes on; see annals replay status %s\n", job.Id)
			return job, ctx.Err()
		}
	}
	if watched {
		fmt.Fprint(w, "\r\x1b[K")
	}
	return job, nil
}
