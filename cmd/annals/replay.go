package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayCommands are annals replay ….
type replayCommands struct {
	Plan   replayPlanCommand   `cmd:"" help:"Resolve a selection into exact records, with counts and bytes; nothing is produced."`
	Run    replayRunCommand    `cmd:"" help:"Run a plan and follow it to its receipt."`
	Status replayStatusCommand `cmd:"" help:"The jobs, or one job with its receipt."`
	Cancel replayCancelCommand `cmd:"" help:"Stop a job for good."`
}

// replayPlanCommand is annals replay plan.
type replayPlanCommand struct {
	asking
	between
	Trace         string            `placeholder:"ID" help:"Replay this trace."`
	Topic         []string          `placeholder:"TOPIC" help:"Replay these topics, within --from and --to."`
	Prefix        string            `placeholder:"PREFIX" help:"Target topics are prefix + source (replay.<8 digits of the plan>.)."`
	To            map[string]string `name:"target" placeholder:"SOURCE=TARGET" help:"Name a target topic."`
	AllowExisting bool              `help:"Produce into topics that exist already."`
	AllowSource   bool              `help:"Produce into the source topic itself; needs --allow-existing too."`
	Provenance    bool              `help:"Add headers that name the original record."`
}

// Run implements kong's command.
func (c *replayPlanCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	request := api.ReplayRequest{
		TraceId: pointer(c.Trace), From: from, To: to, TargetPrefix: pointer(c.Prefix),
		AllowExisting: pointer(c.AllowExisting), AllowSource: pointer(c.AllowSource), ProvenanceHeaders: pointer(c.Provenance),
	}
	if len(c.Topic) > 0 {
		request.Topics = &c.Topic
	}
	if len(c.To) > 0 {
		request.TargetTopics = &c.To
	}
	plan, err := server.PlanReplay(ctx, request)
	if err != nil {
		return err
	}
	return c.print(in.out, plan, func(w io.Writer) {
		showPlan(w, plan)
		fmt.Fprintf(w, "\nNothing was produced. To run it: annals replay run %s\n", plan.Id)
	})
}

func showPlan(w io.Writer, p *api.ReplayPlan) {
	fmt.Fprintf(w, "plan %s\n%d records, %s, from %d segments, %s to %s\n", p.Id, p.Records, size(p.Bytes), p.Segments, moment(p.From), moment(p.To))
	table(w, "SOURCE|TARGET|PARTITIONS|RECORDS|BYTES", func(row func(...any)) {
		for _, t := range p.Topics {
			row(t.Source, t.Target, t.Partitions, t.Records, size(t.Bytes))
		}
	})
	for _, warning := range p.Warnings {
		fmt.Fprintln(w, "warning: "+warning)
	}
}

// replayRunCommand is annals replay run.
type replayRunCommand struct {
	asking
	Plan   string `arg:"" help:"The plan's id."`
	Detach bool   `help:"Return when the job is accepted."`
}

// Run implements kong's command.
func (c *replayRunCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.RunReplay(ctx, c.Plan)
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
	return job.State == "done" || job.State == "failed" || job.State == "cancelled"
}

// follow shows a job's progress until it ends. A server that is away for a
// while, restarted for one, is waited for: the job goes on with it.
func follow(ctx context.Context, server *client.Client, w io.Writer, job *api.ReplayJob) (*api.ReplayJob, error) {
	terminal := isTerminal(w)
	last := time.Time{}
	for !ended(job) {
		if every := 5 * time.Second; terminal || time.Since(last) >= every {
			last = time.Now()
			line := fmt.Sprintf("%s: %d of %d records", job.State, job.Produced, job.Planned)
			if job.EtaSeconds != nil {
				line += fmt.Sprintf(", about %s left", time.Duration(*job.EtaSeconds*float64(time.Second)).Round(time.Second))
			}
			if terminal {
				fmt.Fprint(w, "\r\x1b[K"+line)
			} else {
				fmt.Fprintln(w, line)
			}
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(w, "\nThe job goes on; see annals replay status %s\n", job.Id)
			return job, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		next, err := server.Replay(ctx, job.Id)
		if err != nil && schema.KindOf(err) != schema.Unavailable && !errors.Is(err, context.Canceled) {
			return job, err
		}
		if err == nil {
			job = next
		}
	}
	if terminal {
		fmt.Fprint(w, "\r\x1b[K")
	}
	return job, nil
}

func showJob(w io.Writer, job *api.ReplayJob) {
	fmt.Fprintf(w, "replay %s: %s, %d of %d records produced\n", job.Id, job.State, job.Produced, job.Planned)
	if job.Error != nil {
		fmt.Fprintln(w, *job.Error)
	}
	r := job.Receipt
	if r == nil {
		return
	}
	verdict := "planned = produced = read back"
	if !r.Matches {
		verdict = "THE TARGET DIFFERS FROM THE PLAN"
	}
	fmt.Fprintf(w, "receipt: planned %d, produced %d, read back %d: %s\n", r.Planned, r.Produced, r.ReadBack, verdict)
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

// replayStatusCommand is annals replay status.
type replayStatusCommand struct {
	asking
	ID string `arg:"" optional:"" help:"One job; otherwise all."`
}

// Run implements kong's command.
func (c *replayStatusCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	if c.ID != "" {
		job, err := server.Replay(ctx, c.ID)
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
	})
}

// replayCancelCommand is annals replay cancel.
type replayCancelCommand struct {
	asking
	ID string `arg:"" help:"The job."`
}

// Run implements kong's command.
func (c *replayCancelCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	job, err := server.CancelReplay(ctx, c.ID)
	if err != nil {
		return err
	}
	return c.print(in.out, job, func(w io.Writer) { showJob(w, job) })
}

// isTerminal tells whether a person watches.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
