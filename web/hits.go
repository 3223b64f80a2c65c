package web

import (
	"slices"
	"strconv"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// each maps a slice. The answer is never nil: JSON has [] then, not null.
func each[From, To any](list []From, f func(*From) To) []To {
	out := make([]To, len(list))
	for i := range list {
		out[i] = f(&list[i])
	}
	return out
}

// list is never nil, so that JSON has [] and not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// some is nil for an empty list, which JSON leaves out.
func some[T any](l []T) *[]T {
	if len(l) == 0 {
		return nil
	}
	return &l
}

// moment is nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = writable(t)
	return &t
}

// writable keeps a time within what RFC 3339 can write. Kafka and producers may
// stamp any 64-bit number; a record's timestamp_ms is exact.
func writable(t time.Time) time.Time {
	t = t.UTC()
	switch year := t.Year(); {
	case year < 1:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
	}
	return t
}

func searchedOf(s answer.Searched) api.Searched {
	return api.Searched{Topics: s.Topics, Records: s.Records, FreshTo: moment(s.FreshTo), SealedTo: moment(s.SealedTo)}
}

func topicIDOf(id schema.TopicID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func hitOf(h *answer.Hit) api.Hit {
	out := api.Hit{
		Coordinates: api.Coordinates{
			Topic: h.Topic, TopicId: topicIDOf(h.TopicID), Partition: h.Partition, Branch: h.Branch, Offset: h.Offset,
		},
		Timestamp: writable(time.UnixMilli(h.Timestamp)), Status: api.HitStatus(h.Status.String()), Sealed: h.Sealed,
		Stage: h.Stage.String(), EventType: h.EventType, EventVersion: h.EventVersion, SourceService: h.Service,
		TraceId: h.TraceID, EventId: h.EventID, SpanId: optional(h.SpanID), Errors: some(h.Errors), Bytes: h.Bytes,
	}
	if h.HasEventTime {
		t := writable(time.UnixMicro(h.EventTime))
		out.EventTime = &t
	}
	return out
}

func pageOf(p *answer.Page) api.RecordPage {
	return api.RecordPage{
		Records: each(p.Records, hitOf), NextCursor: optional(p.NextCursor), Note: optional(p.Note), Searched: searchedOf(p.Searched),
		UnknownTopics: some(each(p.Unknown, unknownOf)),
	}
}

func unknownOf(u *answer.UnknownTopic) api.UnknownTopic {
	return api.UnknownTopic{Topic: u.Topic, DidYouMean: optional(u.DidYouMean)}
}

func identificationOf(id *answer.Identification) api.Identification {
	searched := searchedOf(id.Searched)
	out := api.Identification{Id: id.ID, Forms: list(id.Forms), Tried: list(id.Tried), Truncated: id.Truncated, Searched: &searched}
	out.Matches = each(id.Matches, func(m *answer.Match) api.Match {
		return api.Match{Role: m.Role, Count: m.Count, TraceId: optional(m.TraceID), Records: some(each(m.Records, hitOf))}
	})
	return out
}

func recordOf(r *answer.Record) api.Record {
	h, raw := hitOf(&r.Hit), r.Record
	out := api.Record{
		Coordinates: h.Coordinates, Timestamp: h.Timestamp, EventTime: h.EventTime, Status: api.RecordStatus(h.Status),
		Sealed: h.Sealed, Stage: h.Stage, EventType: h.EventType, EventVersion: h.EventVersion,
		SourceService: h.SourceService, TraceId: h.TraceId, EventId: h.EventId, SpanId: h.SpanId, Errors: h.Errors, Bytes: h.Bytes,
		Key: bytesOf(raw.Key), Value: bytesOf(raw.Value), Headers: headersOf(raw.Headers),
		LeaderEpoch: raw.LeaderEpoch, TimestampMs: strconv.FormatInt(raw.Timestamp, 10), TimestampType: raw.TimestampType.String(),
		ProducerId: strconv.FormatInt(raw.ProducerID, 10), ProducerEpoch: int(raw.ProducerEpoch),
		Source: r.Source, Withheld: some(r.Withheld), Causes: []string{}, Identifiers: []api.Identifier{}, Decoded: decodingOf(r.Decoded),
	}
	if slices.Contains(r.Withheld, "key") {
		out.Key = api.Bytes{Format: api.Withheld}
	}
	if slices.Contains(r.Withheld, "value") {
		out.Value = api.Bytes{Format: api.Withheld}
	}
	if x := r.Extraction; x != nil {
		out.Causes = each(x.Causes, func(c *schema.Cause) string { return c.String() })
		out.Identifiers = each(x.Identifiers, func(id *schema.Identifier) api.Identifier {
			return api.Identifier{Role: id.Kind.String(), Id: id.ID}
		})
	}
	return out
}
