package index

import (
	"context"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// maxGroups bounds the groups of one segment's rollup; causeSamples how many
// declared causes a segment has looked up for each event type.
const (
	maxGroups    = 50_000
	causeSamples = 8
	maxSampled   = 256 // event types
)

// OtherGroup is the event type, version and service of what did not fit into
// a segment's rollup.
const OtherGroup = "(other)"

const hourMillis = int64(time.Hour / time.Millisecond)

// Summary gathers, while a segment is written, what rollups and topology keep
// of it. One goroutine at a time; its memory is bounded.
type Summary struct {
	groups  map[group]*totals
	samples map[string][]schema.Cause // by event type

	violations map[violation]*violated // nil: none
}

type group struct {
	hour    int64 // seconds since the Unix epoch; 0: outside 1990 to 2040
	status  schema.Status
	stage   schema.Stage
	service string
	kind    string
	version string
}

type totals struct {
	records, bytes, tombstones, withoutTrace, withErrors int64
	first, last                                          int64
}

// NewSummary makes an empty summary.
func NewSummary() *Summary {
	return &Summary{groups: map[group]*totals{}, samples: map[string][]schema.Cause{}}
}

// Add counts one record of the segment. Nothing of it is kept but copies of
// short texts.
func (s *Summary) Add(r *schema.Record, x *schema.Extraction) {
	key := group{status: r.Status, stage: x.Stage, service: x.SourceService, kind: x.EventType, version: x.EventVersion}
	if r.Timestamp >= firstMilli && r.Timestamp < endMilli {
		key.hour = r.Timestamp / hourMillis * 3600
	}
	t, ok := s.groups[key]
	if !ok {
		t = s.open(key, r.Timestamp)
	}
	t.records++
	t.bytes += r.Bytes()
	t.first, t.last = min(t.first, r.Timestamp), max(t.last, r.Timestamp)
	if r.Value == nil && r.Status != schema.Control {
		t.tombstones++
	}
	if x.TraceID == "" {
		t.withoutTrace++
	}
	if len(x.Errors) > 0 {
		t.withErrors++
	}
	if r.Status == schema.Committed && len(x.Errors) > 0 {
		s.violates(r, x)
	}
	if r.Status == schema.Committed && len(x.Causes) > 0 {
		s.sample(x)
	}
}

func (s *Summary) open(key group, timestamp int64) *totals {
	if len(s.groups) >= maxGroups {
		key.kind, key.version, key.service = OtherGroup, OtherGroup, OtherGroup
		key.stage, key.hour = schema.StageUnknown, 0
		if t, ok := s.groups[key]; ok {
			return t
		}
	}
	key.kind, key.version, key.service = strings.Clone(key.kind), strings.Clone(key.version), strings.Clone(key.service)
	t := &totals{first: timestamp, last: timestamp}
	s.groups[key] = t
	return t
}

func (s *Summary) sample(x *schema.Extraction) {
	have, ok := s.samples[x.EventType]
	if len(have) >= causeSamples || !ok && len(s.samples) >= maxSampled {
		return
	}
	// The last cause, which of a window is the newest, and the first, which of a
	// join is of another topic.
	last := x.Causes[len(x.Causes)-1]
	have = append(have, schema.Cause{Kind: last.Kind, ID: strings.Clone(last.ID)})
	if first := x.Causes[0]; first != last && len(have) < causeSamples {
		have = append(have, schema.Cause{Kind: first.Kind, ID: strings.Clone(first.ID)})
	}
	s.samples[strings.Clone(x.EventType)] = have
}

var rollupsTable = newTable("rollups",
	"hour DateTime('UTC')", "topic LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32",
	"seq Int64", "status "+statusType, "source_service LowCardinality(String)", "event_type LowCardinality(String)",
	"event_version LowCardinality(String)", "stage "+stageType, "records Int64", "bytes Int64", "tombstones Int64",
	"without_trace Int64", "with_errors Int64", "timestamp Int64", "min_timestamp Int64")

// rollupBlock are rollup rows, column by column.
type rollupBlock struct {
	hour                                                 []time.Time
	topic, topicID                                       []string
	partition, branch                                    []int32
	seq                                                  []int64
	status, stage                                        []int8
	service, kind, version                               []string
	records, bytes, tombstones, withoutTrace, withErrors []int64
	last, first                                          []int64
}

func (b *rollupBlock) add(row *SegmentRow, key group, t *totals) {
	b.hour = append(b.hour, time.Unix(key.hour, 0).UTC())
	b.topic = append(b.topic, row.Stream.Topic)
	b.topicID = append(b.topicID, string(row.Stream.TopicID[:]))
	b.partition = append(b.partition, row.Stream.Partition)
	b.branch = append(b.branch, row.Branch)
	b.seq = append(b.seq, row.Seq)
	b.status = append(b.status, int8(key.status))
	b.stage = append(b.stage, int8(key.stage))
	b.service = append(b.service, key.service)
	b.kind = append(b.kind, key.kind)
	b.version = append(b.version, key.version)
	b.records = append(b.records, t.records)
	b.bytes = append(b.bytes, t.bytes)
	b.tombstones = append(b.tombstones, t.tombstones)
	b.withoutTrace = append(b.withoutTrace, t.withoutTrace)
	b.withErrors = append(b.withErrors, t.withErrors)
	b.last = append(b.last, t.last)
	b.first = append(b.first, t.first)
}

func (b *rollupBlock) columns() []any {
	return []any{
		b.hour, b.topic, b.topicID, b.partition, b.branch, b.seq, b.status, b.service, b.kind, b.version, b.stage,
		b.records, b.bytes, b.tombstones, b.withoutTrace, b.withErrors, b.last, b.first,
	}
}

// rollup is one group of one segment.
type rollup struct {
	row *SegmentRow
	key group
}

// insertRollups puts the rollups of some segments, in as few inserts as the
// partitions of their groups allow.
func (x *Index) insertRollups(ctx context.Context, rows []SegmentRow) error {
	period := *x.period.Load()
	byPartition := map[uint32][]rollup{}
	for i := range rows {
		if rows[i].Summary == nil {
			continue
		}
		for key, t := range rows[i].Summary.groups {
			p := period.of(t.last)
			byPartition[p] = append(byPartition[p], rollup{&rows[i], key})
		}
	}
	var b rollupBlock
	partitions := 0
	flush := func() error {
		if len(b.hour) == 0 {
			return nil
		}
		err := x.send(ctx, rollupsTable, b.columns())
		b, partitions = rollupBlock{}, 0
		return err
	}
	for _, list := range byPartition {
		for _, one := range list {
			b.add(one.row, one.key, one.row.Summary.groups[one.key])
		}
		if partitions++; partitions >= maxBlockPartitions || len(b.hour) >= maxBlockRecords {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
