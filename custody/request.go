package custody

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a request.
const (
	MaxTopics     = 200
	MaxCaseBytes  = 200
	maxTraceBytes = 512
)

// check refuses, as Invalid, what cannot mean anything, and brings topics into
// order, each once.
func check(r *answer.ExportRequest) error {
	switch {
	case r.TraceID == "" && len(r.Topics) == 0:
		return schema.InvalidField("trace_id", "export: nothing is selected; give a trace id, or topics")
	case r.TraceID != "" && len(r.Topics) > 0:
		return schema.InvalidField("topics", "export: a trace id and topics; give one of them")
	case r.TraceID != "" && (!r.From.IsZero() || !r.To.IsZero()):
		return schema.InvalidField("from", "export: a trace is exported whole; a time range goes with topics")
	case len(r.TraceID) > maxTraceBytes:
		return schema.InvalidField("trace_id", "export: a trace id of %d bytes, at most %d", len(r.TraceID), maxTraceBytes)
	case r.TopicID != nil && len(r.Topics) != 1:
		return schema.InvalidField("topic_id", "export: a topic ID and %d topics; it says which topic of one name is meant", len(r.Topics))
	case len(r.Topics) > MaxTopics:
		return schema.InvalidField("topics", "export: %d topics, at most %d", len(r.Topics), MaxTopics)
	case !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To):
		return schema.InvalidField("to", "export: the range ends at %s, not after its start %s", clock(r.To), clock(r.From))
	case len(r.Case) > MaxCaseBytes || !printable(r.Case):
		return schema.InvalidField("case", "export: the case identifier has to be one line of at most %d bytes", MaxCaseBytes)
	}
	for _, topic := range r.Topics {
		if topic == "" || len(topic) > schema.MaxTopicName || !printable(topic) {
			return schema.InvalidField("topics", "export: %.64q is no topic's name", topic)
		}
	}
	r.Topics = slices.Compact(slices.Sorted(slices.Values(r.Topics)))
	return nil
}

// printable tells text that fits on one line of a tag file.
func printable(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}

// clock writes a time as every part of a bag does.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// window is the range of record timestamps asked for, in milliseconds, To
// exclusive. nil is no bound.
type window struct{ from, to *int64 }

func windowOf(r *answer.ExportRequest) window {
	bound := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		// Kafka's clock has milliseconds: the first one not before t.
		ms := t.UnixMilli()
		if time.UnixMilli(ms).Before(t) {
			ms++
		}
		return &ms
	}
	return window{bound(r.From), bound(r.To)}
}

// has tells whether a record timestamp is in the range.
func (w window) has(timestamp int64) bool {
	return (w.from == nil || timestamp >= *w.from) && (w.to == nil || timestamp < *w.to)
}

// meets tells whether some timestamp between two may be in the range.
func (w window) meets(low, high int64) bool {
	return (w.from == nil || high >= *w.from) && (w.to == nil || low < *w.to)
}

func compareStreams(a, b schema.Stream) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), slices.Compare(a.TopicID[:], b.TopicID[:]),
		cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Partition, b.Partition))
}
