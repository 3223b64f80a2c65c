package web

import (
	"context"
	"io"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Services are what the API asks of the process. A nil Replays, Exports or
// Sealer answers 409 and says where to ask instead. Every method may be called
// from many goroutines, ends when its context does, and returns errors with a
// [schema.Kind]; see [NotFound] for what was searched in vain.
type Services struct {
	Queries Queries
	Replays Replays
	Exports Exports
	Sealer  Sealer
	// Health names each dependency (kafka, store, index) with what is wrong with
	// it, or "" where it is well. Being behind is not being unwell. It must not
	// wait for anything.
	Health func() map[string]string
}

// Queries answer questions about what is archived. Slices may be nil.
type Queries interface {
	// Trace is every hop of a trace in causal order.
	Trace(ctx context.Context, who policy.Principal, request TraceRequest) (*Trace, error)
	// Identify finds every role that an id plays. Nothing found is an answer
	// without matches, not an error.
	Identify(ctx context.Context, who policy.Principal, id string) (*Identification, error)
	// Search is a page of records, newest first.
	Search(ctx context.Context, who policy.Principal, request SearchRequest) (*Page, error)
	// Record reads one record's bytes.
	Record(ctx context.Context, who policy.Principal, request RecordRequest) (*Record, error)
	// Topics lists every topic, archived or not.
	Topics(ctx context.Context, who policy.Principal) ([]Topic, error)
	// Coverage is what is archived of each partition; of every topic if topic
	// is "".
	Coverage(ctx context.Context, who policy.Principal, topic string) ([]PartitionCoverage, error)
	// Segments are the current segments of a topic.
	Segments(ctx context.Context, who policy.Principal, topic string) (*Segments, error)
}

// Exports write bags.
type Exports interface {
	// Export writes a tar stream. After an error whatever was written is
	// worthless, and the client is made to see that.
	Export(ctx context.Context, who policy.Principal, request ExportRequest, w io.Writer) error
}

// Sealer asks an archiver to seal what it holds now.
type Sealer interface {
	// Seal returns how many partitions held something, and how many records.
	// With wait it returns when all of it is in the ledger.
	Seal(ctx context.Context, wait bool) (partitions int, records int64, err error)
}

// ExportRequest is a trace, or topics with a time range. The zero time is no
// bound.
type ExportRequest struct {
	TraceID  string
	Topics   []string
	From, To time.Time // record timestamps; To is exclusive
	Case     string    // the asker's own identifier
}

// SearchRequest filters records; empty fields filter nothing. Statuses is never
// empty.
type SearchRequest struct {
	From, To  time.Time // record timestamps; To is exclusive
	Topics    []string
	EventType string
	Service   string
	Stage     string
	Statuses  []schema.Status
	ID        string // of any role, in any encoding
	Limit     int    // 1 to 1,000
	Cursor    string // from the page before
}

// RecordRequest names one record. TopicID and Branch are nil for the newest.
type RecordRequest struct {
	schema.Coordinates
	TopicID *schema.TopicID
	Branch  *int32
}

// Hit is what the index knows of a record.
type Hit struct {
	Topic        string
	TopicID      schema.TopicID
	Partition    int32
	Branch       int32
	Offset       int64
	Timestamp    int64 // Kafka's, in milliseconds since the Unix epoch
	EventTime    int64 // the contract's, in microseconds since the Unix epoch; valid if HasEventTime
	HasEventTime bool
	Status       schema.Status
	Sealed       bool // in the ledger; otherwise fresh
	Stage        schema.Stage
	EventType    string
	EventVersion string
	Service      string
	TraceID      string
	EventID      string
	SpanID       string
	Errors       []string
	Bytes        int64
}

// Searched is what a look-up covered, so that "not found" means something. The
// times are the archive's clock; zero is unknown.
type Searched struct {
	Topics   int
	Records  int64
	FreshTo  time.Time // of the newest indexed record
	SealedTo time.Time
}

// Page is a page of records.
type Page struct {
	Records    []Hit
	NextCursor string // "" on the last page
	Note       string // what a limit cut
	Searched   Searched
}

// Identification is every role an id plays.
type Identification struct {
	ID        string
	Tried     []string // spellings looked up
	Matches   []Match
	Truncated bool
	Searched  Searched
}

// Match is one role of an id: schema.IDKind's word, or "trace".
type Match struct {
	Role    string
	TraceID string
	Count   int64
	Records []Hit
}

// Record is one record with its bytes. Its extraction may be nil.
type Record struct {
	Hit        Hit
	Record     *schema.Record
	Extraction *schema.Extraction
	Source     string // where the bytes were read: a segment's key, or "kafka"
}

// Topic is what is archived of a topic. Zero times are unknown.
type Topic struct {
	Topic         string
	TopicID       schema.TopicID
	Partitions    int
	SealedRecords int64
	FreshRecords  int64
	Bytes         int64 // of its segments
	Segments      int
	Lag           int64 // offsets between the high watermark and the fresh position
	RatePerSecond float64
	First, Last   time.Time // record timestamps
	Archived      bool
	Detail        string // why it is not archived, or anything worth saying
}

// PartitionCoverage is what is archived of a partition. To-offsets are
// exclusive.
type PartitionCoverage struct {
	Topic                      string
	TopicID                    schema.TopicID
	Partition                  int32
	Branch                     int32
	ArchivedFrom, ArchivedTo   int64
	FreshTo                    int64
	HighWatermark              int64 // -1: unknown
	Lag                        int64
	Committed, Aborted, Marker int64 // offsets by status
	Gaps                       []Gap
	GapOffsets                 int64
	Segments                   int
	Commits                    int64
	LastSealed                 time.Time
}

// Gap is a range of offsets that Kafka did not serve; To is exclusive.
type Gap struct {
	Class    string
	From, To int64
}

// Segments are the current segments of a topic.
type Segments struct {
	Topic    string
	Bucket   string
	Segments []Segment
}

// Segment is one Parquet object. Next is exclusive; zero times are unknown.
type Segment struct {
	Key                        string
	SHA256                     schema.Digest
	Bytes                      int64
	TopicID                    schema.TopicID
	Partition                  int32
	Branch                     int32
	Base, Next                 int64
	Rows                       int64
	MinTimestamp, MaxTimestamp time.Time
}
