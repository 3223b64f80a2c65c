package replay

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// selection is what was asked for, in canonical form: lists are sorted, each
// entry once, and a list of nothing is null and asks for nothing; those that the
// first version of the format lacks are left out then. A record is
// selected when every part of it says so. Times are milliseconds, as records
// have them: from ≤ its timestamp < to. Event types to stages are what was
// extracted when the record was sealed, as its segment has it; "" is a record
// without one.
type selection struct {
	TraceID       *string         `json:"trace_id"`
	TraceIDs      []string        `json:"trace_ids,omitempty"` // of several
	Replays       bool            `json:"include_replays,omitempty"`
	Topics        []string        `json:"topics"`
	TopicID       *schema.TopicID `json:"topic_id,omitempty"`
	From          *int64          `json:"from,string"`
	To            *int64          `json:"to,string"`
	Partitions    []int32         `json:"partitions,omitempty"`
	Offsets       []offsetRange   `json:"offsets,omitempty"`
	Keys          [][]byte        `json:"keys,omitempty"`
	EventTypes    []string        `json:"event_types,omitempty"`
	EventVersions []string        `json:"event_versions,omitempty"`
	Services      []string        `json:"services,omitempty"`
	Stages        []string        `json:"stages,omitempty"`
	// The time that the event itself says, in microseconds: from ≤ it < to. What is in
	// it stands in the plan, as what Filter chooses, a text of package filter: records
	// are asked once. FilterErrors is FilterSkip, or empty for FilterFail.
	EventFrom    *int64 `json:"event_from,omitempty,string"`
	EventTo      *int64 `json:"event_to,omitempty,string"`
	Filter       string `json:"filter,omitempty"`
	FilterErrors string `json:"filter_errors,omitempty"`
}

// offsetRange is From ≤ offset < To of one partition. Where a topic has one,
// nothing else of the topic is selected.
type offsetRange struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from,string"`
	To        int64  `json:"to,string"`
}

// checkSelection refuses lists that cannot mean anything.
func checkSelection(r *answer.ReplayRequest) error {
	for _, list := range []struct {
		field string
		n     int
	}{
		{"partitions", len(r.Partitions)},
		{"offsets", len(r.Offsets)},
		{"keys", len(r.Keys)},
		{"event_types", len(r.EventTypes)},
		{"event_versions", len(r.EventVersions)},
		{"services", len(r.Services)},
		{"stages", len(r.Stages)},
	} {
		if list.n > MaxListed {
			return schema.InvalidField(list.field, "%d entries, at most %d", list.n, MaxListed)
		}
	}
	switch {
	case r.FilterErrors != "" && r.FilterErrors != answer.FilterFail && r.FilterErrors != answer.FilterSkip:
		return schema.InvalidField("filter_errors", "%.32q is none of fail, skip", r.FilterErrors)
	case r.FilterErrors == answer.FilterSkip && strings.TrimSpace(r.Filter) == "":
		return schema.InvalidField("filter_errors", "there is no filter")
	}
	for _, partition := range r.Partitions {
		if partition < 0 {
			return schema.InvalidField("partitions", "%d is no partition", partition)
		}
	}
	for _, stage := range r.Stages {
		if _, known := schema.ParseStage(stage); !known {
			return schema.InvalidField("stages", "stage %.32q is none of ingestion, enrichment, transformation, delivery, dead-letter, replay, unknown", stage)
		}
	}
	for _, o := range r.Offsets {
		switch {
		case !slices.Contains(r.Topics, o.Topic):
			return schema.InvalidField("offsets", "%s is not among the topics to replay", o.Topic)
		case o.Partition < 0 || o.From < 0 || o.From >= o.To:
			return schema.InvalidField("offsets", "%s/%d: no offset is in %d to %d, the end exclusive", o.Topic, o.Partition, o.From, o.To)
		case len(r.Partitions) > 0 && !slices.Contains(r.Partitions, o.Partition):
			return schema.InvalidField("offsets", "%s/%d is not among the partitions to replay", o.Topic, o.Partition)
		}
	}
	return nil
}

// selectionOf brings the request into its canonical form.
func selectionOf(r *answer.ReplayRequest) selection {
	s := selection{
		Replays: r.IncludeReplays, From: ceiling(r.From), To: ceiling(r.To), Topics: sorted(r.Topics), TopicID: r.TopicID, Partitions: sorted(r.Partitions),
		EventTypes: sorted(r.EventTypes), EventVersions: sorted(r.EventVersions), Services: sorted(r.Services), Filter: strings.TrimSpace(r.Filter),
	}
	if r.FilterErrors == answer.FilterSkip {
		s.FilterErrors = answer.FilterSkip
	}
	if traces := sorted(tracesOf(r)); len(traces) == 1 {
		s.TraceID = &traces[0]
	} else {
		s.TraceIDs = traces
	}
	s.EventFrom, s.EventTo = microseconds(r.EventFrom), microseconds(r.EventTo)
	for _, stage := range r.Stages {
		known, _ := schema.ParseStage(stage)
		s.Stages = append(s.Stages, known.String())
	}
	s.Stages = sorted(s.Stages)
	for _, o := range r.Offsets {
		s.Offsets = append(s.Offsets, offsetRange(o))
	}
	slices.SortFunc(s.Offsets, func(a, b offsetRange) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	s.Offsets = joinRanges(s.Offsets)
	for _, key := range r.Keys {
		s.Keys = append(s.Keys, append([]byte{}, key...)) // a key of no bytes is not no key
	}
	slices.SortFunc(s.Keys, bytes.Compare)
	s.Keys = slices.CompactFunc(s.Keys, bytes.Equal)
	return s
}

// sorted gives each entry once, nil for none.
func sorted[T cmp.Ordered](list []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// joinRanges joins sorted ranges that touch, so that one selection has one form.
func joinRanges(list []offsetRange) []offsetRange {
	var out []offsetRange
	for _, o := range list {
		if n := len(out) - 1; n >= 0 && out[n].Topic == o.Topic && out[n].Partition == o.Partition && o.From <= out[n].To {
			out[n].To = max(out[n].To, o.To)
			continue
		}
		out = append(out, o)
	}
	return out
}

// takes tells whether anything of a partition may be selected.
func (s *selection) takes(topic string, partition int32) bool {
	if len(s.Partitions) > 0 && !slices.Contains(s.Partitions, partition) {
		return false
	}
	ranged := false
	for i := range s.Offsets {
		if s.Offsets[i].Topic == topic {
			if ranged = true; s.Offsets[i].Partition == partition {
				return true
			}
		}
	}
	return !ranged
}

// clip narrows offsets of a partition to what may be selected of them, from the
// first to the last; nothing is from ≥ next. whole tells that every offset between
// them may be: several ranges stand apart, or they would be one.
func (s *selection) clip(topic string, partition int32, from, next int64) (low, high int64, whole bool) {
	low, high = next, from
	ranged, touched := false, 0
	for i := range s.Offsets {
		o := &s.Offsets[i]
		if ranged = ranged || o.Topic == topic; o.Topic != topic || o.Partition != partition || o.From >= next || o.To <= from {
			continue
		}
		low, high, touched = min(low, max(from, o.From)), max(high, min(next, o.To)), touched+1
	}
	if !ranged {
		return from, next, true
	}
	return low, high, touched <= 1
}

// selects tells whether a row is in the selection. Of a trace the plan has the
// offsets.
func (s *selection) selects(row *segment.Row) bool {
	return s.during(row.Timestamp) && s.ranges(row) && among(s.EventTypes, row.X.EventType) && among(s.EventVersions, row.X.EventVersion) &&
		among(s.Services, row.X.SourceService) && (s.Stages == nil || slices.Contains(s.Stages, row.X.Stage.String())) && s.keyed(row.Key)
}

// during tells whether a timestamp is in the range.
func (s *selection) during(timestamp int64) bool {
	return (s.From == nil || timestamp >= *s.From) && (s.To == nil || timestamp < *s.To)
}

// ranges tells whether a row's offset is in one of its topic's ranges.
func (s *selection) ranges(row *segment.Row) bool {
	ranged := false
	for i := range s.Offsets {
		o := &s.Offsets[i]
		if o.Topic != row.Topic {
			continue
		}
		if ranged = true; o.Partition == row.Partition && o.From <= row.Offset && row.Offset < o.To {
			return true
		}
	}
	return !ranged
}

// keyed compares bytes; a record without a key has none of the keys.
func (s *selection) keyed(key []byte) bool {
	return s.Keys == nil || key != nil && slices.ContainsFunc(s.Keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

func among(list []string, text string) bool { return list == nil || slices.Contains(list, text) }

// byContent tells whether records must be read to know whether they are selected,
// apart from their times.
func (s *selection) byContent() bool { return s.columns() != 0 || s.isSieved() }

// isSieved tells whether records are asked what the plan cannot be asked later.
func (s *selection) isSieved() bool { return s.Filter != "" || s.EventFrom != nil || s.EventTo != nil }

// byTrace tells whether traces name the records.
func (s *selection) byTrace() bool { return s.TraceID != nil || s.TraceIDs != nil }

// columns are those that selects needs besides the times. A filter is asked when the
// selection is planned, and not by selects.
func (s *selection) columns() segment.Columns {
	columns := segment.Columns(0)
	if s.Keys != nil {
		columns |= segment.Payload
	}
	if s.extracted() {
		columns |= segment.Extracted
	}
	return columns
}

// isNarrowed tells whether the selection asks for more than a trace, or topics
// within times.
func (s *selection) isNarrowed() bool {
	return s.Partitions != nil || s.Offsets != nil || s.byContent()
}

// extracted tells whether the selection asks for what was extracted.
func (s *selection) extracted() bool {
	return s.EventTypes != nil || s.EventVersions != nil || s.Services != nil || s.Stages != nil
}

// fill makes the request of the selection again, for people.
func (s *selection) fill(r *answer.ReplayRequest) {
	if s.TraceID != nil {
		r.TraceID = *s.TraceID
	}
	r.TraceIDs, r.IncludeReplays = s.TraceIDs, s.Replays
	r.Topics, r.TopicID, r.From, r.To = s.Topics, s.TopicID, moment(s.From), moment(s.To)
	r.EventFrom, r.EventTo = microMoment(s.EventFrom), microMoment(s.EventTo)
	r.Partitions, r.Keys, r.EventTypes, r.EventVersions, r.Services, r.Stages = s.Partitions, s.Keys, s.EventTypes, s.EventVersions, s.Services, s.Stages
	if r.Filter = s.Filter; s.Filter != "" {
		r.FilterErrors = cmp.Or(s.FilterErrors, answer.FilterFail)
	}
	for _, o := range s.Offsets {
		r.Offsets = append(r.Offsets, answer.ReplayOffsets(o))
	}
}

// String says in words what a selection looked for.
func (s *selection) String() string {
	out := "topics " + strings.Join(s.Topics, ", ")
	if s.TraceID != nil {
		out = "trace " + *s.TraceID
	}
	if s.TraceIDs != nil {
		out = "traces " + strings.Join(s.TraceIDs, ", ")
	}
	if s.Replays {
		out += ", copies by replays included"
	}
	if s.TopicID != nil {
		out += " (" + s.TopicID.String() + ")"
	}
	if s.From != nil {
		out += " from " + text(moment(s.From))
	}
	if s.To != nil {
		out += " to " + text(moment(s.To))
	}
	if s.EventFrom != nil {
		out += ", event times from " + text(microMoment(s.EventFrom))
	}
	if s.EventTo != nil {
		out += ", event times to " + text(microMoment(s.EventTo))
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"event types", s.EventTypes}, {"event versions", s.EventVersions}, {"services", s.Services}, {"stages", s.Stages}} {
		if part.list != nil {
			out += ", " + part.name + " " + strings.Join(part.list, ", ")
		}
	}
	if s.Partitions != nil {
		out += fmt.Sprintf(", partitions %v", s.Partitions)
	}
	for _, o := range s.Offsets {
		out += fmt.Sprintf(", %s/%d offsets %d to %d", o.Topic, o.Partition, o.From, o.To)
	}
	if s.Keys != nil {
		out += fmt.Sprintf(", %d keys", len(s.Keys))
	}
	if s.Filter != "" {
		out += ", filter " + s.Filter
	}
	return out
}
