package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// replayPlanCommand is annals replay plan.
type replayPlanCommand struct {
	asking
	between
	Trace         string            `placeholder:"ID" help:"Replay this trace."`
	Topic         []string          `placeholder:"TOPIC" help:"Replay these topics, within --from and --to."`
	TopicID       string            `name:"topic-id" placeholder:"ID" help:"With one --topic: another one of the name, an older one or another cluster's (annals coverage lists their IDs)."`
	Prefix        string            `placeholder:"PREFIX" help:"Target topics are prefix + source (replay.<8 digits of the plan>.)."`
	To            map[string]string `name:"target" placeholder:"SOURCE=TARGET" help:"Name a target topic."`
	AllowExisting bool              `help:"Produce into topics that exist already."`
	AllowSource   bool              `help:"Produce into the source topic itself; needs --allow-existing too."`
	Provenance    bool              `help:"Add headers that name the original record."`
}

// Run implements kong's command.
func (c *replayPlanCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err == nil {
		err = c.selected(c.Trace, c.Topic)
	}
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	request := api.ReplayRequest{
		TraceId: pointer(c.Trace), TopicId: pointer(c.TopicID), From: from, To: to, TargetPrefix: pointer(c.Prefix),
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
