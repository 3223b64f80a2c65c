package answer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Term is one of the things that a plan's ID binds, in words for who decides about it.
type Term struct {
	Name, Value string
}

// Terms name everything that the plan's ID is the hash of, besides the segments and
// offsets themselves: what narrows the selection where it does, and of the rest also
// what holds because nothing else was asked for. A pace is no part of a plan.
func (p *ReplayPlan) Terms() []Term {
	t := terms{}
	t.selection(&p.Request)
	t.target(p)
	t.records(&p.Request)
	if d := p.Redrive; d != nil {
		headers := "those of frameworks are left out"
		if d.KeepHeaders {
			headers = "all are kept"
		}
		t.add("Redrive", "dead letters, back to where they come from, each at most %d times; headers: %s", d.Limit, headers)
	}
	t.add("Records", "exactly %d, of %d segments, by their hashes and offsets", p.Records, p.Segments)
	return t
}

type terms []Term

func (t *terms) add(name, format string, args ...any) {
	*t = append(*t, Term{name, fmt.Sprintf(format, args...)})
}

// listed adds a list that is there.
func (t *terms) listed(name string, list []string) {
	if len(list) > 0 {
		t.add(name, "%s", quotedList(list))
	}
}

// quotedList puts quotes around what could be taken for more than one.
func quotedList(list []string) string {
	out := make([]string, len(list))
	for i, text := range list {
		if out[i] = text; text == "" || strings.ContainsAny(text, ", \"\n") {
			out[i] = fmt.Sprintf("%q", text)
		}
	}
	return strings.Join(out, ", ")
}

func between(from, to time.Time) string {
	first, last := "from the beginning", "to the end"
	if !from.IsZero() {
		first = "from " + from.UTC().Format(time.RFC3339Nano)
	}
	if !to.IsZero() {
		last = "until before " + to.UTC().Format(time.RFC3339Nano)
	}
	return first + " " + last
}

func (t *terms) selection(r *ReplayRequest) {
	if r.TraceID != "" {
		t.add("Trace", "%s", r.TraceID)
	}
	t.listed("Traces", r.TraceIDs)
	if r.TraceID != "" || len(r.TraceIDs) > 0 {
		copies := "left out"
		if r.IncludeReplays {
			copies = "taken, too"
		}
		t.add("Copies by former replays", "%s", copies)
	}
	t.listed("Topics", r.Topics)
	if r.TopicID != nil {
		t.add("Topic ID", "%s", r.TopicID)
	}
	if len(r.Topics) > 0 {
		t.add("Record times", "%s", between(r.From, r.To))
	}
	if !r.EventFrom.IsZero() || !r.EventTo.IsZero() {
		t.add("Event times", "%s; a record without one is left out", between(r.EventFrom, r.EventTo))
	}
	if len(r.Partitions) > 0 {
		t.add("Partitions", "%v", r.Partitions)
	}
	for _, o := range r.Offsets {
		t.add("Offsets", "%s/%d from %d until before %d", o.Topic, o.Partition, o.From, o.To)
	}
	if len(r.Keys) > 0 {
		t.add("Keys", "%q", r.Keys)
	}
	t.listed("Event types", r.EventTypes)
	t.listed("Event versions", r.EventVersions)
	t.listed("Services", r.Services)
	t.listed("Stages", r.Stages)
	if r.Filter != "" {
		unclear := "refused"
		if r.FilterErrors == FilterSkip {
			unclear = "left out"
		}
		t.add("Filter", "%s", r.Filter)
		t.add("Records of which it cannot tell", "%s", unclear)
	}
}

func (t *terms) target(p *ReplayPlan) {
	r := &p.Request
	switch {
	case r.TargetFile != "":
		t.add("Target", "files (%s) in the archive's bucket, no topic", r.TargetFile)
		return
	case r.TargetCluster != "":
		t.add("Target", "topics of another cluster: %s (%s)", r.TargetCluster, p.TargetClusterID)
	default:
		t.add("Target", "topics of the archived cluster")
	}
	if p.Redrive != nil {
		return
	}
	prefix := r.TargetPrefix
	if prefix == "" && len(p.ID) >= 8 {
		prefix = schema.ReplayTopicPrefix + p.ID[:8] + "."
	}
	t.add("Target names", "%s + the source's", prefix)
	for _, source := range slices.Sorted(maps.Keys(r.TargetTopics)) {
		t.add("Target of "+source, "%s", r.TargetTopics[source])
	}
	existing, own := "refused", "refused"
	if r.AllowExisting {
		existing = "MAY BE WRITTEN INTO"
	}
	if r.AllowSource {
		own = "MAY BE WRITTEN INTO: its consumers see the records again"
	}
	t.add("Topics that exist", "%s", existing)
	t.add("The source itself", "%s", own)
}

// records says how what is written differs from the source's.
func (t *terms) records(r *ReplayRequest) {
	if r.TargetFile != "" {
		return // a file has them as they are
	}
	partitions := "the source's"
	if r.Partitioning == PartitionByKey {
		partitions = "chosen by key"
	}
	if r.TargetPartitions > 0 {
		partitions += fmt.Sprintf(", of %d", r.TargetPartitions)
	}
	t.add("Target partitions", "%s", partitions)
	timestamps := "the source's"
	switch r.Timestamps {
	case TimestampsNow:
		timestamps = "the moment of producing"
	case TimestampsShift:
		timestamps = "the source's, shifted by " + (time.Duration(r.ShiftMillis) * time.Millisecond).String()
	}
	t.add("Timestamps", "%s", timestamps)
	headers := "none"
	if r.ProvenanceHeaders {
		headers = "added: they name the original record"
	}
	t.add("Provenance headers", "%s", headers)
	oversized := map[string]string{OversizedSkip: "left out", OversizedRaise: "the target's limit is raised"}[r.Oversized]
	if oversized == "" {
		oversized = "refused"
	}
	t.add("Records larger than the target takes", "%s", oversized)
}
