package query

import (
	"encoding/json"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Hit is what the index knows of a record. Timestamp is Kafka's, in
// milliseconds, EventTime the contract's, in microseconds since the Unix epoch.
type Hit struct {
	Topic        string         `json:"topic"`
	TopicID      schema.TopicID `json:"topic_id"`
	Partition    int32          `json:"partition"`
	Branch       int32          `json:"branch"`
	Offset       int64          `json:"offset"`
	Timestamp    int64          `json:"timestamp"`
	EventTime    int64          `json:"event_time"`
	HasEventTime bool           `json:"has_event_time"`
	Status       schema.Status  `json:"status"`
	Sealed       bool           `json:"sealed"` // in the ledger; otherwise fresh
	Stage        schema.Stage   `json:"stage"`
	EventType    string         `json:"event_type"`
	EventVersion string         `json:"event_version"`
	Service      string         `json:"service"`
	TraceID      string         `json:"trace_id"`
	EventID      string         `json:"event_id"`
	SpanID       string         `json:"span_id"`
	Errors       []string       `json:"errors"` // known in a search and for one record only
	Bytes        int64          `json:"bytes"`
}

// Position is the record's identity.
func (h *Hit) Position() schema.Position {
	return schema.Position{TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Offset: h.Offset}
}

// Coordinates names the record by topic name.
func (h *Hit) Coordinates() schema.Coordinates {
	return schema.Coordinates{Topic: h.Topic, Partition: h.Partition, Offset: h.Offset}
}

// Searched is what a look-up covered. The times are the archive's clock; zero
// is unknown.
type Searched struct {
	Topics   int       `json:"topics"`
	Records  int64     `json:"records"`
	FreshTo  time.Time `json:"fresh_to"` // when the newest indexed record was read
	SealedTo time.Time `json:"sealed_to"`
}

// NotFoundError is an error of kind NotFound that says what was searched.
type NotFoundError struct {
	Searched Searched
	Err      error
}

// Error returns the wrapped message.
func (e *NotFoundError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *NotFoundError) Unwrap() error { return e.Err }

// Trace is a trace's hops in causal order. Zero times are unknown.
type Trace struct {
	TraceID        string    `json:"trace_id"`
	From           time.Time `json:"from"` // record times
	To             time.Time `json:"to"`
	Hops           []Hop     `json:"hops"`
	Edges          []Edge    `json:"edges"`
	Topics         []string  `json:"topics"`
	Services       []string  `json:"services"`
	Sealed         int       `json:"sealed"`          // hops in the ledger
	Ghosts         int       `json:"ghosts"`          // parents that are named and not archived
	OutsideParents int       `json:"outside_parents"` // parents in other traces
	Truncated      bool      `json:"truncated"`
	Searched       Searched  `json:"searched"`
}

// Hop is a record of a trace.
type Hop struct {
	Hit
	StageRule string `json:"stage_rule"` // which rule decided the stage
	Depth     int    `json:"depth"`      // longest way from a root
	Diff      *Diff  `json:"diff"`       // nil: not asked for, or no parent
	Key       []byte `json:"key"`        // nil is a null key; valid if HasKey
	HasKey    bool   `json:"has_key"`    // the payload was read
}

// The kinds of an Edge.
const (
	CausedBy    = "caused_by"    // the parent's event or span id
	DerivedFrom = "derived_from" // the parent's coordinates
	DeadLetter  = "dlq_of"
	ReplayOf    = "replay_of"
	CopyOf      = "copy_of"
	Inferred    = "inferred"
)

// Edge leads from a parent to a child.
type Edge struct {
	Child      int      `json:"child"`   // index into the trace's hops
	Parent     int      `json:"parent"`  // index into the trace's hops, or -1: see Outside
	Outside    *Outside `json:"outside"` // nil if the parent is a hop
	Kind       string   `json:"kind"`
	Declared   bool     `json:"declared"` // a fact that the producer wrote
	Rule       string   `json:"rule"`
	Evidence   string   `json:"evidence"`
	Confidence float64  `json:"confidence"` // 0 to 1
	Primary    bool     `json:"primary"`    // the parent that the step is compared with
}

// Outside is a parent in another trace, or a ghost: named, not archived.
type Outside struct {
	Ghost       bool   `json:"ghost"`
	ID          string `json:"id"`
	Coordinates *Place `json:"coordinates"` // nil if unknown
	Timestamp   int64  `json:"timestamp"`   // milliseconds since the Unix epoch; valid unless Ghost
	TraceID     string `json:"trace_id"`
	EventType   string `json:"event_type"`
}

// Place is a record's full coordinates.
type Place struct {
	Topic     string         `json:"topic"`
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	Branch    int32          `json:"branch"`
	Offset    int64          `json:"offset"`
}

// Diff is what a step changed.
type Diff struct {
	Parent     int      `json:"parent"` // index into the trace's hops
	Comparable bool     `json:"comparable"`
	Note       string   `json:"note"` // why it could not be compared, or what a limit cut
	Changes    []Change `json:"changes"`
	Truncated  bool     `json:"truncated"`
}

// Change is one field-level change. A nil From or To is absent; a JSON null is
// "null".
type Change struct {
	Op        string          `json:"op"` // add, remove, change or move
	Path      string          `json:"path"`
	From      json.RawMessage `json:"from"`
	To        json.RawMessage `json:"to"`
	MovedFrom string          `json:"moved_from"`
	Envelope  bool            `json:"envelope"` // a contract field that every hop rewrites
}

// Page is a page of records, newest first.
type Page struct {
	Records    []Hit    `json:"records"`
	NextCursor string   `json:"next_cursor"` // "" on the last page
	Note       string   `json:"note"`        // what a limit cut
	Searched   Searched `json:"searched"`
}

// Identification is every role an id plays.
type Identification struct {
	ID        string   `json:"id"`
	Tried     []string `json:"tried"` // spellings looked up
	Matches   []Match  `json:"matches"`
	Truncated bool     `json:"truncated"`
	Searched  Searched `json:"searched"`
}

// Match is one role of an id: schema.IDKind's word, or "trace". Records are
// the newest of Count.
type Match struct {
	Role    string `json:"role"`
	TraceID string `json:"trace_id"` // the one trace that all of them are in, if it is one
	Count   int64  `json:"count"`
	Records []Hit  `json:"records"`
}

// Record is one record with its bytes.
type Record struct {
	Hit        Hit                `json:"hit"`
	Record     *schema.Record     `json:"record"`
	Extraction *schema.Extraction `json:"extraction"`
	Source     string             `json:"source"` // where the bytes were read: a segment's key, or "kafka"
}

// Topic is what is archived of a topic. Zero times are unknown.
type Topic struct {
	Topic         string         `json:"topic"`
	TopicID       schema.TopicID `json:"topic_id"`
	Partitions    int            `json:"partitions"`
	SealedRecords int64          `json:"sealed_records"` // committed ones
	FreshRecords  int64          `json:"fresh_records"`  // offsets indexed and not sealed
	Bytes         int64          `json:"bytes"`          // of its segments
	Segments      int            `json:"segments"`
	Lag           int64          `json:"lag"` // offsets between the high watermark and the fresh position
	RatePerSecond float64        `json:"rate_per_second"`
	First         time.Time      `json:"first"` // record times
	Last          time.Time      `json:"last"`
	Archived      bool           `json:"archived"`
	Detail        string         `json:"detail"`
}

// PartitionCoverage is what is archived of a partition. To-offsets are
// exclusive.
type PartitionCoverage struct {
	Topic         string         `json:"topic"`
	TopicID       schema.TopicID `json:"topic_id"`
	Partition     int32          `json:"partition"`
	Branch        int32          `json:"branch"`
	ArchivedFrom  int64          `json:"archived_from"`
	ArchivedTo    int64          `json:"archived_to"`
	FreshTo       int64          `json:"fresh_to"`
	HighWatermark int64          `json:"high_watermark"` // -1: unknown
	Lag           int64          `json:"lag"`
	Committed     int64          `json:"committed"`
	Aborted       int64          `json:"aborted"`
	Marker        int64          `json:"marker"`
	Gaps          []Gap          `json:"gaps"`
	GapOffsets    int64          `json:"gap_offsets"`
	Segments      int            `json:"segments"`
	Commits       int64          `json:"commits"`
	LastSealed    time.Time      `json:"last_sealed"`
}

// Gap is a range of offsets that Kafka did not serve; To is exclusive.
type Gap struct {
	Class string `json:"class"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
}

// Segments are the current segments of a topic.
type Segments struct {
	Topic    string    `json:"topic"`
	Bucket   string    `json:"bucket"`
	Segments []Segment `json:"segments"`
}

// Segment is one Parquet object. Next is exclusive.
type Segment struct {
	Key          string         `json:"key"` // with the archive's prefix
	SHA256       schema.Digest  `json:"sha256"`
	Bytes        int64          `json:"bytes"`
	TopicID      schema.TopicID `json:"topic_id"`
	Partition    int32          `json:"partition"`
	Branch       int32          `json:"branch"`
	Base         int64          `json:"base"`
	Next         int64          `json:"next"`
	Rows         int64          `json:"rows"`
	MinTimestamp time.Time      `json:"min_timestamp"`
	MaxTimestamp time.Time      `json:"max_timestamp"`
}
