package replay

import (
	"cmp"
	"regexp"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds on a request.
const (
	MaxTopics    = 200
	MaxListed    = 200 // entries of any other list
	maxTopicName = 249
)

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// check refuses what cannot mean anything. The error is Invalid and names the
// field.
func check(r *answer.ReplayRequest) error {
	switch {
	case r.TraceID == "" && len(r.Topics) == 0:
		return schema.WithHint(schema.InvalidField("topics", "nothing is selected"), "name a trace, or topics with from and to")
	case r.TraceID != "" && (len(r.Topics) > 0 || !r.From.IsZero() || !r.To.IsZero() || len(r.Partitions) > 0 || len(r.Offsets) > 0):
		return schema.InvalidField("trace_id", "a trace and topics, times, partitions or offsets exclude each other")
	case len(r.TraceID) > 512:
		return schema.InvalidField("trace_id", "%d bytes, at most 512", len(r.TraceID))
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
	case r.TargetPrefix != "" && !topicName.MatchString(r.TargetPrefix):
		return schema.InvalidField("target_prefix", "%q has characters that no topic name may hold", r.TargetPrefix)
	case len(r.TargetTopics) > MaxTopics:
		return schema.InvalidField("target_topics", "%d targets, at most %d", len(r.TargetTopics), MaxTopics)
	}
	for source, target := range r.TargetTopics {
		if !isTopic(target) {
			return schema.InvalidField("target_topics", "%q is no topic name: up to 249 letters, digits, dots, underscores and hyphens", target)
		}
		if r.TraceID == "" && !slices.Contains(r.Topics, source) {
			return schema.InvalidField("target_topics", "%s is not among the topics to replay", source)
		}
	}
	return checkSelection(r)
}

func isTopic(name string) bool {
	return topicName.MatchString(name) && name != "." && name != ".."
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
		TargetTopics: d.Targets, AllowExisting: d.Existing, AllowSource: d.Source, ProvenanceHeaders: d.Provenance, Oversized: cmp.Or(d.Oversized, answer.OversizedFail),
	}
	d.Selection.fill(&r)
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

func text(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
