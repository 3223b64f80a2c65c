package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// replayPlanCommand is annals replay plan.
type replayPlanCommand struct {
	asking
	between
	Query         string            `arg:"" optional:"" help:"A search as it is typed, such as 'topic:fx.* type:Fx* after:2024-01-01'; with topic, type, version, service, partition, stage, key, after and before."`
	Search        string            `placeholder:"SEARCH" help:"The same, as a flag."`
	Trace         []string          `placeholder:"ID" help:"Replay this trace, or these."`
	Replays       bool              `name:"include-replays" help:"Of traces: take the copies that former replays made of their records, too."`
	Topic         []string          `placeholder:"TOPIC" help:"Replay these topics, within --from and --to; with * and ? all that are archived and match."`
	EventFrom     string            `placeholder:"TIME" help:"Only records whose event says this time or a later one."`
	EventTo       string            `placeholder:"TIME" help:"Only records whose event says an earlier time."`
	TopicID       string            `name:"topic-id" placeholder:"ID" help:"With one --topic: another one of the name, an older one or another cluster's (annals coverage lists their IDs)."`
	Partition     []int32           `placeholder:"N" help:"Only these partitions of every topic."`
	Offsets       []string          `placeholder:"TOPIC/N:FROM-TO" help:"Only these offsets of the topic, the end exclusive."`
	Key           []string          `placeholder:"TEXT" sep:"none" help:"Only records with this key, byte for byte."`
	EventType     []string          `name:"type" placeholder:"TYPE" help:"Only these event types, as extracted when the record was sealed."`
	EventVersion  []string          `name:"version" placeholder:"VERSION" help:"Only these event versions."`
	Service       []string          `placeholder:"NAME" help:"Only records of these services."`
	Stage         []string          `placeholder:"STAGE" help:"Only records that were declared of this stage."`
	Filter        string            `placeholder:"CEL" help:"Only records for which this holds, such as 'value.amount > 1000 && headers[\"region\"] == \"EU\"'."`
	FilterErrors  string            `enum:"fail,skip" default:"fail" placeholder:"HOW" help:"What becomes of records of which the filter cannot tell, as their payload cannot be decoded: fail, or skip them and list them (fail)."`
	Unsealed      string            `enum:"cut,fail,wait," default:"" placeholder:"HOW" help:"What becomes of records of the range that are not sealed yet: cut them off, fail, or wait up to a minute (cut for topics, fail for traces)."`
	Oversized     string            `enum:"fail,skip,raise" default:"fail" placeholder:"HOW" help:"What becomes of records larger than their target takes: fail, skip them, or raise the target's max.message.bytes (fail)."`
	Cluster       string            `name:"to-cluster" placeholder:"NAME" help:"Produce into this cluster, which replay.clusters of the server's configuration names, instead of the archived one."`
	File          string            `name:"to-file" enum:"ndjson,parquet," default:"" placeholder:"FORMAT" help:"Write the records into files in the archive's bucket instead of topics: ndjson or parquet."`
	Prefix        string            `placeholder:"PREFIX" help:"Target topics are prefix + source (replay.<8 digits of the plan>.)."`
	To            map[string]string `name:"target" placeholder:"SOURCE=TARGET" help:"Name a target topic."`
	Partitioning  string            `enum:"source,key" default:"source" placeholder:"HOW" help:"The partition of a record in its target: that of its source, or by its key as Kafka's clients choose (source)."`
	Into          int32             `name:"target-partitions" placeholder:"N" help:"Write to so many partitions of each target, if not to as many as its source has."`
	Timestamps    string            `enum:"keep,now" default:"keep" placeholder:"HOW" help:"What becomes of timestamps: keep each record's, or now, the moment at which it is produced (keep)."`
	Shift         time.Duration     `placeholder:"DURATION" help:"Make timestamps so much later, or with - earlier, such as --shift=-24h."`
	AllowExisting bool              `help:"Produce into topics that exist already."`
	AllowSource   bool              `help:"Produce into the source topic itself; needs --allow-existing too."`
	Provenance    bool              `xor:"provenance" help:"Add headers that name the original record, also in the sandbox (replay.sandbox_prefix); outside of it they are added unless --no-provenance is given."`
	NoProvenance  bool              `name:"no-provenance" xor:"provenance" help:"Add none: records are byte for byte those of the source, and nothing tells them from others."`
}

// Run implements kong's command.
func (c *replayPlanCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err == nil && c.Search != "" {
		if c.Query != "" {
			return schema.InvalidField("query", "a search is given twice, as an argument and by --search: leave one out")
		}
		c.Query = c.Search
	}
	if err == nil && c.Query == "" {
		err = c.selected(strings.Join(c.Trace, ","), c.Topic)
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
		IncludeReplays: pointer(c.Replays), Query: pointer(c.Query), TargetCluster: pointer(c.Cluster), Filter: pointer(c.Filter), TopicId: pointer(c.TopicID), From: from, To: to, TargetPrefix: pointer(c.Prefix),
		AllowExisting: pointer(c.AllowExisting), AllowSource: pointer(c.AllowSource),
	}
	if c.Provenance || c.NoProvenance {
		request.ProvenanceHeaders = &c.Provenance
	}
	switch {
	case len(c.Trace) == 1:
		request.TraceId = &c.Trace[0]
	case len(c.Trace) > 1:
		request.TraceIds = &c.Trace
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
		if plan.NeedsApproval != nil {
			fmt.Fprintln(w, "Somebody else must approve it then, before anything is produced.")
		}
	})
}

// narrow adds what the selection is narrowed by.
func (c *replayPlanCommand) narrow(r *api.ReplayRequest) error {
	for list, into := range map[*[]string]**[]string{&c.EventType: &r.EventTypes, &c.EventVersion: &r.EventVersions, &c.Service: &r.Services, &c.Stage: &r.Stages} {
		if len(*list) > 0 {
			*into = list
		}
	}
	for _, bound := range []struct {
		name, text string
		into       **time.Time
	}{{"--event-from", c.EventFrom, &r.EventFrom}, {"--event-to", c.EventTo, &r.EventTo}} {
		var err error
		if *bound.into, err = parseTime(bound.name, bound.text); err != nil {
			return err
		}
	}
	if c.FilterErrors != "fail" {
		r.FilterErrors = pointer(api.ReplayRequestFilterErrors(c.FilterErrors))
	}
	if c.File != "" {
		r.TargetFile = pointer(api.ReplayRequestTargetFile(c.File))
	}
	if c.Unsealed != "" {
		r.Unsealed = pointer(api.ReplayRequestUnsealed(c.Unsealed))
	}
	if err := c.writeAs(r); err != nil {
		return err
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

// writeAs adds what of the records is not as in the source.
func (c *replayPlanCommand) writeAs(r *api.ReplayRequest) error {
	r.TargetPartitions = pointer(c.Into)
	if c.Partitioning != "source" {
		r.Partitioning = pointer(api.ReplayRequestPartitioning(c.Partitioning))
	}
	switch {
	case c.Shift != 0 && c.Timestamps == "now":
		return schema.InvalidField("shift", "--shift and --timestamps now exclude each other")
	case c.Shift%time.Millisecond != 0:
		return schema.InvalidField("shift", "--shift %s: timestamps have whole milliseconds", c.Shift)
	case c.Shift != 0:
		r.Timestamps, r.ShiftMs = pointer(api.ReplayRequestTimestamps("shift")), pointer(c.Shift.Milliseconds())
	case c.Timestamps == "now":
		r.Timestamps = pointer(api.ReplayRequestTimestamps("now"))
	}
	return nil
}

var offsetsText = regexp.MustCompile(`^(.+)/([0-9]{1,9}):([0-9]{1,18})-([0-9]{1,18})$`)

// offsetRange reads TOPIC/N:FROM-TO.
func offsetRange(text string) (api.OffsetRange, error) {
	parts := offsetsText.FindStringSubmatch(text)
	if parts == nil || !schema.IsTopicName(parts[1]) {
		return api.OffsetRange{}, schema.InvalidField("offsets", "%.300q is no range of offsets: want TOPIC/PARTITION:FROM-TO, such as orders/3:1200-1300", text)
	}
	partition, _ := strconv.ParseInt(parts[2], 10, 32) // digits, and few enough
	from, _ := strconv.ParseInt(parts[3], 10, 64)
	to, _ := strconv.ParseInt(parts[4], 10, 64)
	return api.OffsetRange{Topic: parts[1], Partition: int32(partition), From: from, To: to}, nil
}

// showTarget says what is known of a target besides its name.
func showTarget(w io.Writer, t *api.PlanTopic) {
	if t.TargetConfig != nil {
		var settings []string
		for _, key := range slices.Sorted(maps.Keys(*t.TargetConfig)) {
			settings = append(settings, key+"="+(*t.TargetConfig)[key])
		}
		fmt.Fprintf(w, "%s would be made with %s\n", t.Target, terminal.Line(strings.Join(settings, ", ")))
	}
	if t.TargetExists != nil {
		fmt.Fprintf(w, "%s is there already, and keeps its settings\n", t.Target)
	}
	if t.Schemas != nil {
		more := ""
		if t.MoreSchemas != nil {
			more = ", and more"
		}
		fmt.Fprintf(w, "records of %s name the schemas %s%s\n", t.Source, terminal.Line(strings.Join(*t.Schemas, ", ")), more)
	}
}

// showDuration says how long a plan would take, where that can be told.
func showDuration(w io.Writer, p *api.ReplayPlan) {
	if p.EstimatedSeconds != nil {
		fmt.Fprintf(w, "as fast as possible it takes about %s, by replays that were done before\n", seconds(*p.EstimatedSeconds))
	} else {
		fmt.Fprintln(w, "how long it takes as fast as possible is not known: this server has seen no replay that tells")
	}
	if p.From != nil && p.To != nil && p.Request.TargetFile == nil {
		fmt.Fprintf(w, "at its original pace it takes %s\n", p.To.Sub(*p.From).Round(time.Second))
	}
}

func seconds(n float64) time.Duration {
	d := time.Duration(n * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

func showPlan(w io.Writer, p *api.ReplayPlan) {
	fmt.Fprintf(w, "plan %s\n%d records, %s, from %d segments, %s to %s\n", p.Id, p.Records, size(p.Bytes), p.Segments, moment(p.From), moment(p.To))
	table(w, "SOURCE|TARGET|PARTITIONS|RECORDS|BYTES", func(row func(...any)) {
		for _, t := range p.Topics {
			row(t.Source, t.Target, t.Partitions, t.Records, size(t.Bytes))
		}
	})
	for _, t := range p.Topics {
		showTarget(w, &t)
	}
	showDuration(w, p)
	table(w, "THE PLAN BINDS|", func(row func(...any)) {
		for _, term := range p.Terms {
			row(terminal.Line(term.Name), terminal.Line(term.Value))
		}
	})
	if p.Oversized != nil {
		for _, o := range *p.Oversized {
			fmt.Fprintf(w, "oversized: %d records of %s are larger than the %d bytes that %s takes, such as partition %d offset %d; %s\n",
				o.Records, o.Source, o.Limit, o.Target, o.First[0].Partition, o.First[0].Offset, map[api.OversizedAction]string{"skip": "they are left out", "raise": "the limit is raised"}[o.Action])
		}
	}
	if p.Untold != nil {
		for _, u := range *p.Untold {
			fmt.Fprintf(w, "left out: of %d records of %s the filter cannot tell, such as partition %d offset %d: %s\n",
				u.Records, u.Source, u.First[0].Partition, u.First[0].Offset, terminal.Line(u.First[0].Reason))
		}
	}
	for _, warning := range p.Warnings {
		fmt.Fprintln(w, "warning: "+terminal.Line(warning))
	}
}
