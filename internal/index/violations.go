package index

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// maxViolations bounds the groups of one segment's violations. What does not
// fit is counted under OtherGroup.
const maxViolations = 10_000

// violation is one group of a segment's violations.
type violation struct{ kind, version, service, rule string }

type violated struct {
	records                 int64
	firstOffset, lastOffset int64
	first, last             int64 // record times
}

// violates counts the errors of one committed record.
func (s *Summary) violates(r *schema.Record, x *schema.Extraction) {
	for _, rule := range x.Errors {
		key := violation{x.EventType, x.EventVersion, x.SourceService, rule}
		v, ok := s.violations[key]
		if !ok && len(s.violations) >= maxViolations {
			key = violation{OtherGroup, OtherGroup, OtherGroup, OtherGroup}
			v, ok = s.violations[key]
		}
		if !ok {
			key = violation{strings.Clone(key.kind), strings.Clone(key.version), strings.Clone(key.service), strings.Clone(key.rule)}
			v = &violated{firstOffset: r.Offset, first: r.Timestamp, last: r.Timestamp}
			if s.violations == nil {
				s.violations = map[violation]*violated{}
			}
			s.violations[key] = v
		}
		v.records++
		v.lastOffset = r.Offset
		v.first, v.last = min(v.first, r.Timestamp), max(v.last, r.Timestamp)
	}
}

var violationsTable = newTable("violations",
	"topic LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32", "seq Int64",
	"event_type LowCardinality(String)", "event_version LowCardinality(String)", "source_service LowCardinality(String)",
	"rule LowCardinality(String)", "records Int64", "first_offset Int64", "last_offset Int64", "timestamp Int64", "min_timestamp Int64")

// violationBlock are violations rows, column by column.
type violationBlock struct {
	topic, topicID, kind, version, service, rule              []string
	partition, branch                                         []int32
	seq, records, firstOffset, lastOffset, timestamp, minimum []int64
}

func (b *violationBlock) add(row *SegmentRow, key violation, v *violated) {
	b.topic, b.topicID = append(b.topic, row.Stream.Topic), append(b.topicID, string(row.Stream.TopicID[:]))
	b.partition, b.branch, b.seq = append(b.partition, row.Stream.Partition), append(b.branch, row.Branch), append(b.seq, row.Seq)
	b.kind, b.version, b.service, b.rule = append(b.kind, key.kind), append(b.version, key.version), append(b.service, key.service), append(b.rule, key.rule)
	b.records, b.firstOffset, b.lastOffset = append(b.records, v.records), append(b.firstOffset, v.firstOffset), append(b.lastOffset, v.lastOffset)
	b.timestamp, b.minimum = append(b.timestamp, v.last), append(b.minimum, v.first)
}

func (b *violationBlock) columns() []any {
	return []any{
		b.topic, b.topicID, b.partition, b.branch, b.seq, b.kind, b.version, b.service, b.rule, b.records, b.firstOffset, b.lastOffset, b.timestamp, b.minimum,
	}
}

// insertViolations puts the violations of some segments, in as few inserts as
// their partitions allow.
func (x *Index) insertViolations(ctx context.Context, rows []SegmentRow) error {
	period := *x.period.Load()
	type one struct {
		row *SegmentRow
		key violation
	}
	byPartition := map[uint32][]one{}
	for i := range rows {
		if rows[i].Summary == nil {
			continue
		}
		for key, v := range rows[i].Summary.violations {
			p := period.of(v.last)
			byPartition[p] = append(byPartition[p], one{&rows[i], key})
		}
	}
	var b violationBlock
	partitions := 0
	flush := func() error {
		if len(b.seq) == 0 {
			return nil
		}
		err := x.send(ctx, violationsTable, b.columns())
		b, partitions = violationBlock{}, 0
		return err
	}
	for _, list := range byPartition {
		for _, o := range list {
			b.add(o.row, o.key, o.row.Summary.violations[o.key])
		}
		if partitions++; partitions >= maxBlockPartitions || len(b.seq) >= maxBlockRecords {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// ViolationFilter narrows violations; what is empty does not. Times are record
// times, milliseconds since the Unix epoch, to whole segments: a segment counts
// whole if it has such a record between them.
type ViolationFilter struct {
	Topic     string
	EventType string
	Service   string
	Rule      string // how it begins
	From, To  *int64
}

// Violation sums up the records of a topic, type, version and service that break
// one rule, as far as they are sealed.
type Violation struct {
	Topic                            string
	TopicID                          schema.TopicID
	EventType, EventVersion, Service string
	Rule                             string
	Records                          int64
	First, Last                      time.Time
	// One of the newest: its partition, branch and offset.
	Partition, Branch int32
	Offset            int64
}

// Violations gives groups of violations, those of most records first, at most
// limit, and tells whether there are more.
func (x *Index) Violations(ctx context.Context, f ViolationFilter, scope Scope, limit int) (found []Violation, more bool, err error) {
	if scope.empty() {
		return nil, false, nil
	}
	limit = max(1, min(limit, MaxPage))
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, false, err
	}
	conditions := []string{visible}
	with := func(condition string, argument any) {
		conditions = append(conditions, condition)
		arguments = append(arguments, argument)
	}
	for _, c := range []struct{ column, value string }{{"topic", f.Topic}, {"event_type", f.EventType}, {"source_service", f.Service}} {
		if c.value != "" {
			with(c.column+" = {"+c.column+":String}", clickhouse.Named(c.column, c.value))
		}
	}
	if f.Rule != "" {
		with("startsWith(rule, {rule:String})", clickhouse.Named("rule", f.Rule))
	}
	if f.From != nil {
		with("timestamp >= {from:Int64}", clickhouse.Named("from", *f.From))
	}
	if f.To != nil {
		with("min_timestamp < {to:Int64}", clickhouse.Named("to", *f.To))
	}
	arguments = append(arguments, clickhouse.Named("limit", uint64(limit+1)))
	err = x.query(ctx, "ask for violations", `
		SELECT topic, topic_id, event_type, event_version, source_service, rule, sum(records) AS total,
			min(min_timestamp), max(timestamp), argMax(partition, (timestamp, last_offset)), argMax(branch, (timestamp, last_offset)), argMax(last_offset, (timestamp, last_offset))
		FROM violations FINAL WHERE `+strings.Join(conditions, " AND ")+`
		GROUP BY topic, topic_id, event_type, event_version, source_service, rule
		ORDER BY total DESC, topic, rule, event_type, event_version, source_service LIMIT {limit:UInt64}`, arguments,
		func(rows scanner) error {
			var v Violation
			var id string
			var first, last int64
			err := rows.Scan(&v.Topic, &id, &v.EventType, &v.EventVersion, &v.Service, &v.Rule, &v.Records, &first, &last, &v.Partition, &v.Branch, &v.Offset)
			copy(v.TopicID[:], id)
			v.First, v.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
			found = append(found, v)
			return err
		})
	if len(found) > limit {
		found, more = found[:limit], true
	}
	return found, more, err
}

// TypeVolume sums up what is sealed of one event type, version and service in
// a topic.
type TypeVolume struct {
	Topic                            string
	TopicID                          schema.TopicID
	EventType, EventVersion, Service string
	Records, Bytes, Errors           int64 // committed records, and those of them with errors
	First, Last                      time.Time
}

// MaxVolumes bounds what Volumes gives.
const MaxVolumes = 50_000

// Volumes gives what is sealed of each event type, of one if it is named, by
// type, version, service and topic. It tells whether MaxVolumes cut it.
func (x *Index) Volumes(ctx context.Context, eventType *string, scope Scope) (found []TypeVolume, more bool, err error) {
	if scope.empty() {
		return nil, false, nil
	}
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, false, err
	}
	if eventType != nil {
		visible += " AND event_type = {type:String}"
		arguments = append(arguments, clickhouse.Named("type", *eventType))
	}
	arguments = append(arguments, clickhouse.Named("limit", uint64(MaxVolumes+1)))
	err = x.query(ctx, "ask for event types", `
		SELECT topic, topic_id, event_type, event_version, source_service, sum(records), sum(bytes), sum(with_errors), min(min_timestamp), max(timestamp)
		FROM rollups FINAL WHERE status = 'committed' AND `+visible+`
		GROUP BY topic, topic_id, event_type, event_version, source_service
		ORDER BY event_type, event_version, source_service, topic, topic_id LIMIT {limit:UInt64}`, arguments,
		func(rows scanner) error {
			var v TypeVolume
			var id string
			var first, last int64
			err := rows.Scan(&v.Topic, &id, &v.EventType, &v.EventVersion, &v.Service, &v.Records, &v.Bytes, &v.Errors, &first, &last)
			copy(v.TopicID[:], id)
			v.First, v.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
			found = append(found, v)
			return err
		})
	return slices.Clip(found[:min(len(found), MaxVolumes)]), len(found) > MaxVolumes, err
}

// Count counts the records of a filter exactly, each once. Exhausted when it
// takes too long, or too much memory.
func (x *Index) Count(ctx context.Context, f Filter, scope Scope) (n int64, err error) {
	if scope.empty() {
		return 0, nil
	}
	conditions, arguments, err := f.within(scope)
	if err != nil {
		return 0, err
	}
	var counted uint64
	err = x.query(ctx, "count records", "SELECT uniqExact(sipHash64(topic_id, partition, branch, offset)) FROM records WHERE "+conditions, arguments,
		func(rows scanner) error { return rows.Scan(&counted) })
	return int64(counted), err
}
