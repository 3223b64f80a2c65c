package replay

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds on a request.
const (
	MaxTopics = 200
	MaxListed = 200 // entries of any other list
)

// check refuses what cannot mean anything. The error is Invalid and names the
// field.
func check(r *answer.ReplayRequest) error {
	if r.Redrive != nil {
		return checkRedrive(r)
	}
	traces := tracesOf(r)
	switch {
	case len(traces) == 0 && len(r.Topics) == 0:
		return schema.WithHint(schema.InvalidField("topics", "nothing is selected"), "name a trace_id, or topics with from and to")
	case len(traces) > 0 && (len(r.Topics) > 0 || !r.From.IsZero() || !r.To.IsZero() || len(r.Partitions) > 0 || len(r.Offsets) > 0):
		return schema.InvalidField("trace_id", "a trace and topics, times, partitions or offsets exclude each other")
	case r.TraceID != "" && len(r.TraceIDs) > 0:
		return schema.InvalidField("trace_ids", "trace_id and trace_ids exclude each other")
	case r.IncludeReplays && len(traces) == 0:
		return schema.InvalidField("include_replays", "it goes with traces: of topics everything in them is taken")
	case len(traces) > MaxListed:
		return schema.InvalidField("trace_ids", "%d entries, at most %d", len(traces), MaxListed)
	case slices.ContainsFunc(traces, func(id string) bool { return id == "" || len(id) > 512 }):
		return schema.InvalidField("trace_ids", "a trace's ID has 1 to 512 bytes")
	case r.Unsealed != "" && r.Unsealed != answer.UnsealedCut && r.Unsealed != answer.UnsealedFail && r.Unsealed != answer.UnsealedWait:
		return schema.InvalidField("unsealed", "%.32q is none of cut, fail, wait", r.Unsealed)
	case !r.EventFrom.IsZero() && !r.EventTo.IsZero() && !r.EventFrom.Before(r.EventTo):
		return schema.InvalidField("event_to", "%s is not after event_from, %s", text(r.EventTo), text(r.EventFrom))
	case r.TopicID != nil && len(r.Topics) != 1:
		return schema.InvalidField("topic_id", "a topic ID goes with the one topic that it is of")
	case len(r.Topics) > MaxTopics:
		return schema.InvalidField("topics", "%d topics, at most %d", len(r.Topics), MaxTopics)
	case !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To):
		return schema.InvalidField("to", "%s is not after from, %s", text(r.To), text(r.From))
	case r.Oversized != "" && r.Oversized != answer.OversizedFail && r.Oversized != answer.OversizedSkip && r.Oversized != answer.OversizedRaise:
		return schema.InvalidField("oversized", "%.32q is none of fail, skip, raise", r.Oversized)
	case r.AllowSource && !r.AllowExisting:
		return schema.InvalidField("allow_source", "the source exists, so allow_existing is needed too")
	case !schema.IsTopicName(r.TargetPrefix + "_"): // dots alone begin a name, and are none
		return schema.InvalidField("target_prefix", "%q is not the beginning of a topic name: %s", r.TargetPrefix, schema.TopicNameRule)
	case len(r.TargetTopics) > MaxTopics:
		return schema.InvalidField("target_topics", "%d targets, at most %d", len(r.TargetTopics), MaxTopics)
	}
	for source, target := range r.TargetTopics {
		if !schema.IsTopicName(target) {
			return schema.InvalidField("target_topics", "%q is no topic name: %s", target, schema.TopicNameRule)
		}
		if len(traces) == 0 && !named(r.Topics, source) {
			return schema.InvalidField("target_topics", "%s is not among the topics to replay", source)
		}
	}
	if err := fileOptions(r); err != nil {
		return err
	}
	return checkSelection(r)
}

// tracesOf are those that are asked for.
func tracesOf(r *answer.ReplayRequest) []string {
	if r.TraceID != "" {
		return []string{r.TraceID}
	}
	return r.TraceIDs
}

// isPattern tells names of several topics: no topic's name has these characters.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?") }

// named tells whether a topic is among names and patterns.
func named(list []string, topic string) bool {
	set, err := policy.Topics(list...)
	return err == nil && set.Allows(topic)
}

// ceiling is the first millisecond at or after t: records have milliseconds.
func ceiling(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return &ms
}

// request makes the plan's request again, for people.
func (d *document) request() answer.ReplayRequest {
	r := answer.ReplayRequest{
		TargetCluster: d.Cluster, TargetFile: d.File, TargetTopics: d.Targets, AllowExisting: d.Existing, AllowSource: d.Source, ProvenanceHeaders: d.Provenance, Oversized: cmp.Or(d.Oversized, answer.OversizedFail),
	}
	d.Selection.fill(&r)
	if r.TargetPartitions = d.Into; d.ByKey {
		r.Partitioning = answer.PartitionByKey
	}
	r.Timestamps, r.ShiftMillis = d.Timestamps, d.Shift
	if d.Prefix != nil {
		r.TargetPrefix = *d.Prefix
	}
	return r
}

func moment(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// microseconds is the first one at or after t, as event times are kept.
func microseconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	if time.UnixMicro(us).Before(t) {
		us++
	}
	return &us
}

func microMoment(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return time.UnixMicro(*us).UTC()
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
