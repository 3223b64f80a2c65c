package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// replayPlanCommand is annals replay plan.
type replayPlanCommand struct {
	asking
	between
	Trace         string            `placeholder:"ID" help:"Replay this trace."`
	Topic         []string          `placeholder:"TOPIC" help:"Replay these topics, within --from and --to."`
	TopicID       string            `name:"topic-id" placeholder:"ID" help:"With one --topic: another one of the name, an older one or another cluster's (annals coverage lists their IDs)."`
	Partition     []int32           `placeholder:"N" help:"Only these partitions of every topic."`
	Offsets       []string          `placeholder:"TOPIC/N:FROM-TO" help:"Only these offsets of the topic, the end exclusive."`
	Key           []string          `placeholder:"TEXT" sep:"none" help:"Only records with this key, byte for byte."`
	EventType     []string          `placeholder:"TYPE" help:"Only these event types, as extracted when the record was sealed."`
	EventVersion  []string          `placeholder:"VERSION" help:"Only these event versions."`
	Service       []string          `placeholder:"NAME" help:"Only records of these services."`
	Stage         []string          `placeholder:"STAGE" help:"Only records that were declared of this stage."`
	Oversized     string            `enum:"fail,skip,raise" default:"fail" help:"What becomes of records larger than their target takes: fail, skip them, or raise the target's max.message.bytes."`
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
	if err := c.narrow(&request); err != nil {
		return err
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

// narrow adds what the selection is narrowed by.
func (c *replayPlanCommand) narrow(r *api.ReplayRequest) error {
	for list, into := range map[*[]string]**[]string{&c.EventType: &r.EventTypes, &c.EventVersion: &r.EventVersions, &c.Service: &r.Services, &c.Stage: &r.Stages} {
		if len(*list) > 0 {
			*into = list
		}
	}
	if len(c.Partition) > 0 {
		r.Partitions = &c.Partition
	}
	if len(c.Key) > 0 {
		keys := make([][]byte, len(c.Key))
		for i, key := range c.Key {
			keys[i] = []byte(key)
		}
		r.Keys = &keys
	}
	var ranges []api.OffsetRange
	for _, text := range c.Offsets {
		one, err := offsetRange(text)
		if err != nil {
			return err
		}
		ranges = append(ranges, one)
	}
	if len(ranges) > 0 {
		r.Offsets = &ranges
	}
	if c.Oversized != "fail" {
		r.Oversized = pointer(api.ReplayRequestOversized(c.Oversized))
	}
	return nil
}

var offsetsText = regexp.MustCompile(`^([A-Za-z0-9._-]{1,249})/([0-9]{1,9}):([0-9]{1,18})-([0-9]{1,18})$`)

// offsetRange reads TOPIC/N:FROM-TO.
func offsetRange(text string) (api.OffsetRange, error) {
	parts := offsetsText.FindStringSubmatch(text)
	if parts == nil {
		return api.OffsetRange{}, schema.InvalidField("offsets", "%.300q is no range of offsets: want TOPIC/PARTITION:FROM-TO, such as orders/3:1200-1300", text)
	}
	partition, _ := strconv.ParseInt(parts[2], 10, 32) // digits, and few enough
	from, _ := strconv.ParseInt(parts[3], 10, 64)
	to, _ := strconv.ParseInt(parts[4], 10, 64)
	return api.OffsetRange{Topic: parts[1], Partition: int32(partition), From: from, To: to}, nil
}

func showPlan(w io.Writer, p *api.ReplayPlan) {
	fmt.Fprintf(w, "plan %s\n%d records, %s, from %d segments, %s to %s\n", p.Id, p.Records, size(p.Bytes), p.Segments, moment(p.From), moment(p.To))
	table(w, "SOURCE|TARGET|PARTITIONS|RECORDS|BYTES", func(row func(...any)) {
		for _, t := range p.Topics {
			row(t.Source, t.Target, t.Partitions, t.Records, size(t.Bytes))
		}
	})
	if p.Oversized != nil {
		for _, o := range *p.Oversized {
			fmt.Fprintf(w, "oversized: %d records of %s are larger than the %d bytes that %s takes, such as partition %d offset %d; %s\n",
				o.Records, o.Source, o.Limit, o.Target, o.First[0].Partition, o.First[0].Offset, map[api.OversizedAction]string{"skip": "they are left out", "raise": "the limit is raised"}[o.Action])
		}
	}
	for _, warning := range p.Warnings {
		fmt.Fprintln(w, "warning: "+warning)
	}
}
