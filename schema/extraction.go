package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// ExtractVersion numbers the extraction rules. It is raised whenever the same
// record could be extracted differently; segments and index rows carry it, and
// a row counts only if its version is the one its segment names.
const ExtractVersion = 2

// Extraction is what the rules read from a record's headers and payload. It is
// a convenience: it can be computed again from the bytes. Empty means absent.
// Trace and span ids are lower-case hex.
type Extraction struct {
	EventID       string
	EventType     string
	EventVersion  string
	SourceService string
	TraceID       string
	SpanID        string
	Causes        []Cause // declared parents, in the record's order, no duplicates
	EventTime     int64   // the contract's timestamp, microseconds since the Unix epoch; valid if HasEventTime
	HasEventTime  bool
	Stage         Stage // what the producer declared; StageUnknown if nothing
	SchemaID      int32 // schema registry's id; valid if HasSchemaID
	HasSchemaID   bool
	Errors        []string     // why contract fields are missing or wrong, findable; "" never
	Identifiers   []Identifier // every other id found: span, correlation, aliases (not trace, event, causes)
}

// Reset empties the extraction and keeps its memory.
func (e *Extraction) Reset() {
	*e = Extraction{Causes: e.Causes[:0], Errors: e.Errors[:0], Identifiers: e.Identifiers[:0]}
}

// CauseKind tells what a declared cause names.
type CauseKind uint8

// The kinds of declared cause.
const (
	CauseEvent  CauseKind = iota + 1 // an event id, in any trace
	CauseSpan                        // a span id within the same trace
	CauseRecord                      // input coordinates: topic/partition/offset
	CauseCopy                        // coordinates of the record this is a copy of: dead letter, retry, replay
)

var causeKindNames = [...]string{"", "event", "span", "record", "copy"}

// String gives the word that stands before the colon in Cause.String.
func (k CauseKind) String() string {
	if k >= CauseEvent && int(k) < len(causeKindNames) {
		return causeKindNames[k]
	}
	return fmt.Sprintf("cause(%d)", uint8(k))
}

// Cause is one declared parent. For CauseRecord and CauseCopy the id is
// "topic/partition/offset", as in Coordinates.
type Cause struct {
	Kind CauseKind
	ID   string
}

// String gives "kind:id", the form kept in the segment's parent_ids column.
func (c Cause) String() string { return c.Kind.String() + ":" + c.ID }

// ParseCause reads what Cause.String writes.
func ParseCause(text string) (Cause, error) {
	word, id, ok := strings.Cut(text, ":")
	for k := CauseEvent; ok && int(k) < len(causeKindNames); k++ {
		if causeKindNames[k] == word {
			return Cause{Kind: k, ID: id}, nil
		}
	}
	return Cause{}, Errorf(Invalid, "parse cause %q: want event:, span:, record: or copy: and an id", text)
}

// Coordinates names a record the way people and headers do, by topic name.
type Coordinates struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String gives "topic/partition/offset".
func (c Coordinates) String() string {
	return c.Topic + "/" + strconv.FormatInt(int64(c.Partition), 10) + "/" + strconv.FormatInt(c.Offset, 10)
}

// ParseCoordinates reads "topic/partition/offset".
func ParseCoordinates(text string) (Coordinates, error) {
	var c Coordinates
	parts := strings.Split(text, "/")
	if len(parts) != 3 || parts[0] == "" || len(parts[0]) > MaxTopicName {
		return c, Errorf(Invalid, "parse coordinates %q: want topic/partition/offset", text)
	}
	partition, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil || partition < 0 {
		return c, Errorf(Invalid, "parse coordinates %q: partition is not a number from 0", text)
	}
	offset, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || offset < 0 {
		return c, Errorf(Invalid, "parse coordinates %q: offset is not a number from 0", text)
	}
	return Coordinates{Topic: parts[0], Partition: int32(partition), Offset: offset}, nil
}

// IDKind tells what role an id plays on a record. The numbers are stored in
// the index's id_index and never change.
type IDKind uint8

// Ids a record has, and, from 16 on, ids by which it refers to another.
const (
	IDRecord      IDKind = 1 // its own coordinates, as Coordinates.String
	IDEvent       IDKind = 2
	IDSpan        IDKind = 3
	IDCorrelation IDKind = 4
	IDKey         IDKind = 5 // the record's key, where the topic's policy has it indexed
	IDAlias       IDKind = 6
	IDHeader      IDKind = 7 // a header's value, where the topic's policy has it indexed
	RefEvent      IDKind = 16
	RefSpan       IDKind = 17
	RefTrace      IDKind = 18
	RefRecord     IDKind = 19
)

var idKindNames = map[IDKind]string{
	IDRecord: "record", IDEvent: "event", IDSpan: "span", IDCorrelation: "correlation", IDKey: "key", IDAlias: "alias", IDHeader: "header",
	RefEvent: "causation", RefSpan: "parent span", RefTrace: "linked trace", RefRecord: "source record",
}

// String gives the word shown beside an id.
func (k IDKind) String() string {
	if name, ok := idKindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("id(%d)", uint8(k))
}

// Identifier is an id found on a record, with its role.
type Identifier struct {
	Kind IDKind
	ID   string
}

// Stage is what a step did to the event. The numbers are stored and never
// change.
type Stage uint8

// The stages.
const (
	StageUnknown        Stage = 0
	StageIngestion      Stage = 1
	StageEnrichment     Stage = 2
	StageTransformation Stage = 3
	StageDelivery       Stage = 4
	StageDeadLetter     Stage = 5
	StageReplay         Stage = 6
)

var stageNames = [...]string{
	"unknown", "ingestion", "enrichment", "transformation", "delivery", "dead-letter", "replay",
}

// String gives the word used in segments, the index and the API.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// ParseStage reads what Stage.String writes, and the usual short spellings
// that producers declare ("ingest", "enrich", "transform", "deliver", "dlq").
// Anything else is StageUnknown and false.
func ParseStage(text string) (Stage, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	for i, name := range stageNames {
		if text == name {
			return Stage(i), true
		}
	}
	short := map[string]Stage{
		"ingest": StageIngestion, "enrich": StageEnrichment, "transform": StageTransformation,
		"deliver": StageDelivery, "dlq": StageDeadLetter,
	}
	stage, ok := short[text]
	return stage, ok
}
