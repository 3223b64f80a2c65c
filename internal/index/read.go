package index

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// Scope is what a read may see. The zero Scope sees nothing. Topics are
// incarnations, by topic ID: a name that was given away must not show what it
// once meant.
type Scope struct {
	All    bool
	Topics []schema.TopicID
}

// everything is the scope that hides no topic.
var everything = Scope{All: true}

// empty tells that nothing can be seen, so that nothing need be asked.
func (s Scope) empty() bool { return !s.All && len(s.Topics) == 0 }

// MaxScope bounds Scope.Topics: they travel with every read.
const MaxScope = 10_000

// where is the condition on topic_id that every read of records carries, with
// its arguments. Who may see everything is not asked: the condition, though
// always true then, cost a look-up a tenth of its time.
func (s Scope) where() (condition string, arguments []any, err error) {
	if s.All {
		return "1", nil, nil
	}
	if len(s.Topics) > MaxScope {
		return "", nil, schema.Errorf(schema.Exhausted, "read index: %d topics may be seen, at most %d fit into a query", len(s.Topics), MaxScope)
	}
	return "has(arrayMap(x -> toFixedString(unhex(x), 16), {scope:Array(String)}), topic_id)",
		[]any{clickhouse.Named("scope", topicIDList(s.Topics))}, nil
}

func topicIDList(ids []schema.TopicID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = hex.EncodeToString(id[:])
	}
	return list
}

// Hit is what the index knows of a record. Timestamp is Kafka's record time in
// milliseconds, EventTime the contract's in microseconds since the Unix epoch.
type Hit struct {
	schema.Position
	Topic        string
	Status       schema.Status
	Version      Version
	Timestamp    int64
	EventTime    int64
	HasEventTime bool
	TraceID      string
	EventID      string
	SpanID       string         // empty in a search
	Causes       []schema.Cause // nil in a search
	EventType    string
	EventVersion string
	Service      string
	Stage        schema.Stage // as the producer declared it
	Bytes        int64
	Tombstone    bool
	Errors       []string // only in a search
}

// Coordinates names the hit by topic name.
func (h *Hit) Coordinates() schema.Coordinates {
	return schema.Coordinates{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset}
}

// traceColumns are what hits read from records_by_trace are made of, in the
// order of scanTrace.
const traceColumns = `topic, topic_id, partition, branch, offset, status, extract_version, timestamp, event_time,
	trace_id, event_id, span_id, causes, event_type, event_version, source_service, stage, bytes, null_value`

// scanner reads one row of an answer.
type scanner interface{ Scan(dest ...any) error }

// rawHit are the columns as they come.
type rawHit struct {
	topicID, causes string
	status, stage   int8
	version         uint16
	nullValue       uint8
}

func scanTrace(rows scanner, h *Hit) error {
	var raw rawHit
	err := rows.Scan(&h.Topic, &raw.topicID, &h.Partition, &h.Branch, &h.Offset, &raw.status, &raw.version,
		&h.Timestamp, &h.EventTime, &h.TraceID, &h.EventID, &h.SpanID, &raw.causes, &h.EventType, &h.EventVersion,
		&h.Service, &raw.stage, &h.Bytes, &raw.nullValue)
	if err != nil {
		return err
	}
	raw.into(h)
	return h.readCauses(raw.causes)
}

func (raw *rawHit) into(h *Hit) {
	copy(h.TopicID[:], raw.topicID)
	h.Status, h.Stage = schema.Status(raw.status), schema.Stage(raw.stage)
	h.Version, h.Tombstone = Version(raw.version), raw.nullValue != 0
	h.HasEventTime = h.EventTime != noEventTime
	if !h.HasEventTime {
		h.EventTime = 0
	}
}

func (h *Hit) readCauses(text string) error {
	if text == "" {
		return nil
	}
	h.Causes = make([]schema.Cause, 0, strings.Count(text, "\n")+1)
	for line := range strings.SplitSeq(text, "\n") {
		cause, err := schema.ParseCause(line)
		if err != nil {
			return schema.Errorf(schema.Corrupt, "read causes of %s: %w", h.Coordinates(), err)
		}
		h.Causes = append(h.Causes, cause)
	}
	return nil
}

// query runs a bounded read, when its turn has come, and gives each row to take,
// which must not read the index itself: it would wait for its own turn to end.
func (x *Index) query(ctx context.Context, verb, sql string, arguments []any, take func(scanner) error) (err error) {
	kind := TurnOf(ctx)
	if err := x.turns.take(ctx, kind); err != nil {
		return fault(verb, err)
	}
	defer x.turns.give(kind)
	ctx, cancel := context.WithTimeout(ctx, readTimeout+dialTimeout)
	defer cancel()
	rows, err := x.reads.Query(ctx, sql, arguments...)
	if unreachable(err) {
		x.turns.fail(err)
	}
	if err != nil {
		return fault(verb, err)
	}
	defer func() { err = errors.Join(err, fault(verb, rows.Close())) }()
	for rows.Next() {
		if err := take(rows); err != nil {
			return fault(verb, err)
		}
	}
	return fault(verb, rows.Err())
}
