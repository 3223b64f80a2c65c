package index

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
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

	Owner *OwnerFilter // nil: whoever owns them

	// EventFrom and EventTo are times that events themselves say, microseconds since the
	// Unix epoch; EventTo is exclusive. With either, records without one are left out.
	EventFrom, EventTo *int64

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
	Always []string // the same, whatever stage the record declares
	// FailAgain are topics in which what says that it is of a replay is a dead letter.
	FailAgain []string
}

// declared is the stage that a record declares, as it counts for the filter.
func (f *StageFilter) declared() string {
	if len(f.FailAgain) > 0 && (f.Stage == schema.StageReplay || f.Stage == schema.StageDeadLetter) {
		return "if(stage = 'replay' AND topic IN {stage_again:Array(String)}, {stage_dead:Int16}, toInt8(stage))"
	}
	return "toInt8(stage)"
}

// OwnerFilter gives records of event types that somebody owns, and those, of types
// that nobody is known to own, of topics that he owns.
type OwnerFilter struct {
	Types  []string // his
	Others []string // of others
	Topics []string // his, by name
}

// Passes does for one record what a search does.
func (o *OwnerFilter) Passes(topic, eventType string) bool {
	return slices.Contains(o.Types, eventType) || slices.Contains(o.Topics, topic) && !slices.Contains(o.Others, eventType)
}

// Mark is a place in the order of a search: newest first, then by identity.
type Mark struct {
	Timestamp int64
	schema.Position
}

// Mark gives the place of a hit.
func (h *Hit) Mark() Mark { return Mark{Timestamp: h.Timestamp, Position: h.Position} }

// Search gives records newest first, at most limit (bounded by MaxPage), and
// tells whether there are more. It looks at spans of time from the newest record
// down, as wide as the rollups say that it takes to fill the page, so that a page
// of recent records costs a look at recent records only. Exhausted when it takes
// too long: the filter is too wide.
func (x *Index) Search(ctx context.Context, f Filter, scope Scope, limit int) (hits []Hit, more bool, err error) {
	if scope.empty() {
		return nil, false, nil
	}
	limit = max(1, min(limit, MaxPage))
	conditions, arguments, err := f.where(scope)
	if err != nil {
		return nil, false, err
	}
	w, err := x.walk(ctx, f, scope)
	if err != nil {
		return nil, false, err
	}
	for {
		span, ok, err := w.next(ctx, limit+1-len(hits))
		if err != nil || !ok {
			return hits, false, err
		}
		some, err := x.searchSpan(ctx, span, conditions, arguments, limit+1-len(hits))
		if err != nil {
			return nil, false, err
		}
		hits = append(hits, some...)
		if len(hits) > limit {
			return hits[:limit], true, nil
		}
	}
}

func (x *Index) searchSpan(ctx context.Context, s span, conditions string, arguments []any, limit int) ([]Hit, error) {
	upper := "timestamp < {to:Int64}"
	if s.to == math.MaxInt64 {
		upper = "timestamp <= {to:Int64}"
	}
	arguments = append(arguments[:len(arguments):len(arguments)],
		clickhouse.Named("from", s.from), clickhouse.Named("to", s.to), clickhouse.Named("limit", uint64(limit)))
	return x.hits(ctx, "search records", `
		WHERE timestamp >= {from:Int64} AND `+upper+` AND `+conditions+`
		ORDER BY timestamp DESC, topic_id DESC, partition DESC, branch DESC, offset DESC`, arguments)
}

// MaxSample bounds Sample.
const MaxSample = 20_000

// Sample gives a number of a filter's records at random, newest first: which ones
// depends on nothing but their identities, so that the same records are taken
// again. Exhausted when it takes too long: the filter is too wide.
func (x *Index) Sample(ctx context.Context, f Filter, scope Scope, size int) ([]Hit, error) {
	if scope.empty() {
		return nil, nil
	}
	conditions, arguments, err := f.within(scope)
	if err != nil {
		return nil, err
	}
	arguments = append(arguments, clickhouse.Named("limit", uint64(max(1, min(size, MaxSample)))))
	hits, err := x.hits(ctx, "take a sample of records", " WHERE "+conditions+" ORDER BY sipHash64(topic_id, partition, branch, offset)", arguments)
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Timestamp, a.Timestamp), bytes.Compare(b.TopicID[:], a.TopicID[:]),
			cmp.Compare(b.Partition, a.Partition), cmp.Compare(b.Branch, a.Branch), cmp.Compare(b.Offset, a.Offset))
	})
	return hits, err
}

// hits reads rows of records, each of one version once, at most {limit:UInt64}.
func (x *Index) hits(ctx context.Context, what, which string, arguments []any) (hits []Hit, err error) {
	err = x.query(ctx, what, `
		SELECT topic, topic_id, partition, branch, offset, status, extract_version, timestamp, event_time,
			trace_id, event_id, event_type, event_version, source_service, stage, bytes, null_value, errors
		FROM records`+which+`
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

// within gives the conditions with the times, and their arguments.
func (f Filter) within(scope Scope) (string, []any, error) {
	conditions, arguments, err := f.where(scope)
	if err != nil {
		return "", nil, err
	}
	if f.From != nil {
		conditions += " AND timestamp >= {from:Int64}"
		arguments = append(arguments, clickhouse.Named("from", *f.From))
	}
	if f.To != nil {
		conditions += " AND timestamp < {to:Int64}"
		arguments = append(arguments, clickhouse.Named("to", *f.To))
	}
	return conditions, arguments, nil
}

// eventTimes are the first and the last time that an event may say. What stands for
// none lies before the first.
func (f Filter) eventTimes() []any {
	first, last := int64(noEventTime+1), int64(math.MaxInt64)
	if f.EventFrom != nil {
		first = max(first, *f.EventFrom)
	}
	if f.EventTo != nil {
		last = max(*f.EventTo, first) - 1 // nothing, where the one is before the other
	}
	return []any{clickhouse.Named("event_first", first), clickhouse.Named("event_last", last)}
}

// rolledUp tells whether the rollups have the columns that the conditions are about:
// they know no rules that were broken, and no times that events say.
func (f Filter) rolledUp() bool { return f.Violation == "" && f.EventFrom == nil && f.EventTo == nil }

// where gives the conditions and their arguments, but for the record times.
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
	if o := f.Owner; o != nil {
		with("(event_type IN {owner_types:Array(String)} OR topic IN {owner_topics:Array(String)} AND event_type NOT IN {owner_others:Array(String)})",
			clickhouse.Named("owner_types", o.Types), clickhouse.Named("owner_topics", o.Topics), clickhouse.Named("owner_others", o.Others))
	}
	if f.Version != "" {
		with("event_version = {event_version:String}", clickhouse.Named("event_version", f.Version))
	}
	if f.EventFrom != nil || f.EventTo != nil {
		with("event_time BETWEEN {event_first:Int64} AND {event_last:Int64}", f.eventTimes()...)
	}
	if f.Partition != nil {
		with("partition = {partition:Int32}", clickhouse.Named("partition", *f.Partition))
	}
	statuses := f.Statuses
	if len(statuses) == 0 {
		statuses = []schema.Status{schema.Committed}
	}
	// Numbers: making a text of each row's costs more than reading it.
	numbers := make([]int16, len(statuses))
	for i, s := range statuses {
		numbers[i] = int16(s)
	}
	with("toInt8(status) IN {statuses:Array(Int16)}", clickhouse.Named("statuses", numbers))
	if f.Stage != nil {
		if len(f.Stage.Topics) != len(f.Stage.Types) {
			return "", nil, fmt.Errorf("search records: %d topics with %d types", len(f.Stage.Topics), len(f.Stage.Types))
		}
		known := "(topic IN {stage_whole:Array(String)} OR has(arrayZip({stage_topics:Array(String)}, {stage_types:Array(String)}), (toString(topic), toString(event_type))))"
		condition := "(" + f.Stage.declared() + " = {stage:Int16} OR stage = 'unknown' AND " + known + " OR topic IN {stage_always:Array(String)})"
		if f.Stage.Stage == schema.StageUnknown {
			condition = "(toInt8(stage) = {stage:Int16} AND NOT " + known + " AND topic NOT IN {stage_always:Array(String)})"
		}
		with(condition, clickhouse.Named("stage", int16(f.Stage.Stage)),
			clickhouse.Named("stage_whole", f.Stage.Whole), clickhouse.Named("stage_topics", f.Stage.Topics), clickhouse.Named("stage_types", f.Stage.Types),
			clickhouse.Named("stage_always", f.Stage.Always), clickhouse.Named("stage_again", f.Stage.FailAgain), clickhouse.Named("stage_dead", int16(schema.StageDeadLetter)))
	}
	if m := f.After; m != nil {
		with("(timestamp, topic_id, partition, branch, offset) < ({at:Int64}, toFixedString(unhex({at_topic:String}), 16), {at_partition:Int32}, {at_branch:Int32}, {at_offset:Int64})",
			clickhouse.Named("at", m.Timestamp), clickhouse.Named("at_topic", hex.EncodeToString(m.TopicID[:])),
			clickhouse.Named("at_partition", m.Partition), clickhouse.Named("at_branch", m.Branch), clickhouse.Named("at_offset", m.Offset))
	}
	return strings.Join(conditions, " AND "), arguments, nil
}
