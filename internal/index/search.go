package index

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// MaxPage bounds what one Search gives.
const MaxPage = 5000

// Filter says which records a search gives; what is empty does not narrow.
type Filter struct {
	From, To  *int64 // record times, milliseconds since the Unix epoch; To is exclusive
	Topics    []Incarnation
	EventType string
	Service   string
	Version   string // of the event's type
	Partition *int32
	Statuses  []schema.Status // empty: committed
	Stage     *StageFilter
	After     *Mark // the last hit of the page before

	TypePrefix, ServicePrefix string // what the event type and the service begin with

	Violation string // a rule that the record breaks, or how it begins with a * behind it
}

// Incarnation is a topic's name with one of the IDs it had.
type Incarnation struct {
	Topic   string
	TopicID schema.TopicID
}

// StageFilter gives records whose declared stage is Stage, and those without a
// declared one of a topic and event type, or of a topic as a whole, that is
// known to do this. With StageUnknown it gives those without a declared one
// but these: they are known to do something else.
type StageFilter struct {
	Stage  schema.Stage
	Topics []string // parallel to Types
	Types  []string
	Whole  []string // topics of which all records do
}

// Mark is a place in the order of a search: newest first, then by identity.
type Mark struct {
	Timestamp int64
	schema.Position
}

// Mark gives the place of a hit.
func (h *Hit) Mark() Mark { return Mark{Timestamp: h.Timestamp, Position: h.Position} }

// Search gives records newest first, at most limit (bounded by MaxPage), and
// tells whether there are more. It looks at widening spans of time from the
// newest record down, so that a page of recent records costs a look at recent
// records only. Exhausted when it takes too long: the filter is too wide.
func (x *Index) Search(ctx context.Context, f Filter, scope Scope, limit int) (hits []Hit, more bool, err error) {
	if scope.empty() {
		return nil, false, nil
	}
	limit = max(1, min(limit, MaxPage))
	conditions, arguments, err := f.where(scope)
	if err != nil {
		return nil, false, err
	}
	spans, err := x.spans(ctx, f)
	if err != nil {
		return nil, false, err
	}
	for _, span := range spans {
		some, err := x.searchSpan(ctx, span, conditions, arguments, limit+1-len(hits))
		if err != nil {
			return nil, false, err
		}
		hits = append(hits, some...)
		if len(hits) > limit {
			return hits[:limit], true, nil
		}
	}
	return hits, false, nil
}

// span is a range of record times, To exclusive but for the last instant.
type span struct{ from, to int64 }

// spans cuts the time asked for into widening pieces, the newest first. Times
// that no clock shows are a piece at either end.
func (x *Index) spans(ctx context.Context, f Filter) ([]span, error) {
	asked := span{math.MinInt64, math.MaxInt64}
	if f.From != nil {
		asked.from = *f.From
	}
	if f.To != nil {
		asked.to = *f.To
	}
	if f.After != nil && f.After.Timestamp < math.MaxInt64 {
		asked.to = min(asked.to, f.After.Timestamp+1)
	}
	var newest int64
	sql := "SELECT max(timestamp) FROM records WHERE timestamp < {end:Int64}"
	if err := fault("search records", x.reads.QueryRow(ctx, sql, clickhouse.Named("end", min(asked.to, endMilli))).Scan(&newest)); err != nil {
		return nil, err
	}
	var list []span
	add := func(from, to int64) {
		if from, to = max(from, asked.from), min(to, asked.to); from < to {
			list = append(list, span{from, to})
		}
	}
	add(endMilli, math.MaxInt64)
	at := min(endMilli, newest+1)
	for width := int64(hourMillis); at > firstMilli && at > asked.from; width *= 8 {
		from := max(firstMilli, at-width)
		add(from, at)
		at = from
	}
	add(math.MinInt64, min(at, endMilli))
	return list, nil
}

func (x *Index) searchSpan(ctx context.Context, s span, conditions string, arguments []any, limit int) ([]Hit, error) {
	upper := "timestamp < {to:Int64}"
	if s.to == math.MaxInt64 {
		upper = "timestamp <= {to:Int64}"
	}
	arguments = append(arguments[:len(arguments):len(arguments)],
		clickhouse.Named("from", s.from), clickhouse.Named("to", s.to), clickhouse.Named("limit", uint64(limit)))
	var hits []Hit
	err := x.query(ctx, "search records", `
		SELECT topic, topic_id, partition, branch, offset, status, extract_version, timestamp, event_time,
			trace_id, event_id, event_type, event_version, source_service, stage, bytes, null_value, errors
		FROM records
		WHERE timestamp >= {from:Int64} AND `+upper+` AND `+conditions+`
		ORDER BY timestamp DESC, topic_id DESC, partition DESC, branch DESC, offset DESC
		LIMIT 1 BY timestamp, topic_id, partition, branch, offset, extract_version
		LIMIT {limit:UInt64}`, arguments, func(rows scanner) error {
		var h Hit
		var raw rawHit
		err := rows.Scan(&h.Topic, &raw.topicID, &h.Partition, &h.Branch, &h.Offset, &raw.status, &raw.version,
			&h.Timestamp, &h.EventTime, &h.TraceID, &h.EventID, &h.EventType, &h.EventVersion,
			&h.Service, &raw.stage, &h.Bytes, &raw.nullValue, &h.Errors)
		raw.into(&h)
		hits = append(hits, h)
		return err
	})
	return hits, err
}

// where gives the conditions and their arguments, but for the times.
func (f Filter) where(scope Scope) (string, []any, error) {
	visible, arguments, err := scope.where()
	if err != nil {
		return "", nil, err
	}
	conditions := []string{visible}
	with := func(condition string, more ...any) {
		conditions = append(conditions, condition)
		arguments = append(arguments, more...)
	}
	if len(f.Topics) > 0 {
		names, ids := make([]string, len(f.Topics)), make([]schema.TopicID, len(f.Topics))
		for i, t := range f.Topics {
			names[i], ids[i] = t.Topic, t.TopicID
		}
		// The name is what the table is sorted by, the ID what is meant.
		with("topic IN {topics:Array(String)} AND has(arrayMap(x -> toFixedString(unhex(x), 16), {ids:Array(String)}), topic_id)",
			clickhouse.Named("topics", names), clickhouse.Named("ids", topicIDList(ids)))
	}
	if f.EventType != "" {
		with("event_type = {type:String}", clickhouse.Named("type", f.EventType))
	}
	if f.Service != "" {
		with("source_service = {service:String}", clickhouse.Named("service", f.Service))
	}
	if f.TypePrefix != "" {
		with("startsWith(event_type, {type_prefix:String})", clickhouse.Named("type_prefix", f.TypePrefix))
	}
	if f.ServicePrefix != "" {
		with("startsWith(source_service, {service_prefix:String})", clickhouse.Named("service_prefix", f.ServicePrefix))
	}
	if beginning, cut := strings.CutSuffix(f.Violation, "*"); cut {
		with("arrayExists(e -> startsWith(e, {violation:String}), errors)", clickhouse.Named("violation", beginning))
	} else if f.Violation != "" {
		with("has(errors, {violation:String})", clickhouse.Named("violation", f.Violation))
	}
	if f.Version != "" {
		with("event_version = {event_version:String}", clickhouse.Named("event_version", f.Version))
	}
	if f.Partition != nil {
		with("partition = {partition:Int32}", clickhouse.Named("partition", *f.Partition))
	}
	statuses := f.Statuses
	if len(statuses) == 0 {
		statuses = []schema.Status{schema.Committed}
	}
	words := make([]string, len(statuses))
	for i, s := range statuses {
		words[i] = s.String()
	}
	with("toString(status) IN {statuses:Array(String)}", clickhouse.Named("statuses", words))
	if f.Stage != nil {
		if len(f.Stage.Topics) != len(f.Stage.Types) {
			return "", nil, fmt.Errorf("search records: %d topics with %d types", len(f.Stage.Topics), len(f.Stage.Types))
		}
		known := "(topic IN {stage_whole:Array(String)} OR has(arrayZip({stage_topics:Array(String)}, {stage_types:Array(String)}), (toString(topic), toString(event_type))))"
		condition := "(toString(stage) = {stage:String} OR stage = 'unknown' AND " + known + ")"
		if f.Stage.Stage == schema.StageUnknown {
			condition = "(toString(stage) = {stage:String} AND NOT " + known + ")"
		}
		with(condition, clickhouse.Named("stage", f.Stage.Stage.String()),
			clickhouse.Named("stage_whole", f.Stage.Whole), clickhouse.Named("stage_topics", f.Stage.Topics), clickhouse.Named("stage_types", f.Stage.Types))
	}
	if m := f.After; m != nil {
		with("(timestamp, topic_id, partition, branch, offset) < ({at:Int64}, toFixedString(unhex({at_topic:String}), 16), {at_partition:Int32}, {at_branch:Int32}, {at_offset:Int64})",
			clickhouse.Named("at", m.Timestamp), clickhouse.Named("at_topic", hex.EncodeToString(m.TopicID[:])),
			clickhouse.Named("at_partition", m.Partition), clickhouse.Named("at_branch", m.Branch), clickhouse.Named("at_offset", m.Offset))
	}
	return strings.Join(conditions, " AND "), arguments, nil
}
