package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// ReplayRequest is a trace, or topics with a time range, and where to. The zero
// time is no bound. A record is replayed when every list that is given has it;
// an empty list asks for nothing.
type ReplayRequest struct {
	TraceID string   `json:"trace_id"`
	Topics  []string `json:"topics"`
	// TopicID, with one topic, is which one of the name is meant; nil: the one
	// whose archive began last.
	TopicID *schema.TopicID `json:"topic_id,omitempty"`
	From    time.Time       `json:"from"` // record timestamps, inclusive
	To      time.Time       `json:"to"`   // exclusive
	// Partitions and Offsets narrow topics, not a trace. A topic that Offsets
	// names is taken from there alone.
	Partitions []int32         `json:"partitions"`
	Offsets    []ReplayOffsets `json:"offsets"`
	Keys       [][]byte        `json:"keys"` // exact bytes
	// What was extracted from the record when it was sealed; "" is a record that
	// has none. Stages are what producers declared.
	EventTypes    []string `json:"event_types"`
	EventVersions []string `json:"event_versions"`
	Services      []string `json:"services"`
	Stages        []string `json:"stages"`
	// TargetPrefix makes target names of source names; "" stands for
	// "replay.<first 8 digits of the plan's ID>.".
	TargetPrefix string `json:"target_prefix"`
	// TargetTopics names targets by source; the others get the prefix.
	TargetTopics      map[string]string `json:"target_topics"`
	AllowExisting     bool              `json:"allow_existing"`     // targets may exist
	AllowSource       bool              `json:"allow_source"`       // a target may be the source itself; needs AllowExisting too
	ProvenanceHeaders bool              `json:"provenance_headers"` // headers that name the original record are added
	// Oversized says what becomes of records that are larger than their target
	// takes; "" stands for OversizedFail.
	Oversized string `json:"oversized"`
}

// ReplayOffsets is a range of one partition's offsets: From ≤ offset < To.
type ReplayOffsets struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from,string"`
	To        int64  `json:"to,string"`
}

// What may become of records that are larger than their target takes.
const (
	OversizedFail  = "fail"  // nothing is planned: the error counts and names them
	OversizedSkip  = "skip"  // they are left out; the plan counts and names them
	OversizedRaise = "raise" // the target's max.message.bytes is raised before anything is produced
)

// ReplayOversized are the records of one topic that are larger than its target
// takes, and what becomes of them. Sizes are of a batch that holds the record
// alone, uncompressed.
type ReplayOversized struct {
	Source  string        `json:"source"`
	Target  string        `json:"target"`
	Limit   int64         `json:"limit,string"`
	Action  string        `json:"action"`
	Records int64         `json:"records,string"`
	First   []ReplayPlace `json:"first"` // a few, by partition and offset
}

// ReplayPlace is where a record stands in its source.
type ReplayPlace struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset,string"`
	Bytes     int64 `json:"bytes,string"`
}

// ReplayPlan is exactly what a replay would produce.
type ReplayPlan struct {
	ID       string        `json:"id"` // SHA-256, 64 hex digits
	Created  time.Time     `json:"created"`
	Request  ReplayRequest `json:"request"`
	Topics   []ReplayTopic `json:"topics"`
	Records  int64         `json:"records,string"`
	Bytes    int64         `json:"bytes,string"` // of keys, values and headers
	Segments int           `json:"segments"`
	// From and To are the first and the last record's time; zero if the
	// records were not read for the plan.
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Warnings []string  `json:"warnings"`
	// Oversized are records that are left out, or for which a target is changed.
	Oversized []ReplayOversized `json:"oversized"`
}

// ReplayTopic is a plan's share of one topic.
type ReplayTopic struct {
	Cluster    string         `json:"cluster"`
	Source     string         `json:"source"`
	TopicID    schema.TopicID `json:"topic_id"`
	Target     string         `json:"target"`
	Partitions int            `json:"partitions"`
	Records    int64          `json:"records,string"`
	Bytes      int64          `json:"bytes,string"`
}

// ReplayPace says how fast records are produced. It may change while a job runs.
type ReplayPace struct {
	Mode string `json:"mode"` // PaceFast, …
	// Of PaceRate: the one that is given, or the slower of both. Bytes are those of
	// keys, values and headers.
	RecordsPerSecond float64 `json:"records_per_second"`
	BytesPerSecond   float64 `json:"bytes_per_second"`
	// Of PaceOriginal: how many seconds of history pass in one; 0 stands for 1. No
	// gap is waited for longer than MaxWaitSeconds; 0 is no bound.
	Speed          float64 `json:"speed"`
	MaxWaitSeconds float64 `json:"max_wait_seconds"`
}

// The paces.
const (
	PaceFast     = "fast"     // as fast as possible, one partition after another
	PaceRate     = "rate"     // by one clock over all partitions, so many a second
	PaceOriginal = "original" // by one clock over all partitions, as they came
)

// Lateness is how much later than due records were, in milliseconds; the
// quantiles are an eighth too high at most.
type Lateness struct {
	Records int64   `json:"records,string"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// ReplayLateness is a paced job's, since its worker took it up: when records
// were handed to the producer, and when the broker had acknowledged them, which
// is after their append. Readers of committed data see a record with the next
// commit, Interval after the one before at most.
type ReplayLateness struct {
	Sent     Lateness `json:"sent"`
	Acked    Lateness `json:"acked"`
	Interval float64  `json:"commit_interval_ms"`
}

// The states of a ReplayJob, in the API's words.
const (
	JobPlanned     = "planned"     // accepted; no record is produced yet
	JobRunning     = "running"     // records are being produced
	JobPaused      = "paused"      // stopped until it is resumed
	JobReconciling = "reconciling" // everything is produced, the target is read back
	JobDone        = "done"        // the target is what was planned
	JobFailed      = "failed"      // it cannot go on by itself; Error says why
	JobCancelled   = "cancelled"   // stopped for good
)

// ReplayList are jobs, newest first, and in words what is left out of the list.
type ReplayList struct {
	Jobs  []ReplayJob `json:"jobs"`
	Notes []string    `json:"notes"`
}

// ReplayJob is a replay's state. Its ID is its plan's. Zero times have not come
// yet.
type ReplayJob struct {
	ID                         string
	State                      string // JobPlanned, …
	Plan                       ReplayPlan
	Planned, Produced          int64
	ReadBack                   int64 // from JobReconciling on
	Started, Updated, Finished time.Time
	Delivered                  time.Time // when the last transaction was committed
	ETASeconds                 float64   // 0: unknown
	Pace                       ReplayPace
	Lateness                   *ReplayLateness // nil: nothing was paced
	// Error is why the job failed, or what it is waiting for while it runs.
	Error   string
	Receipt *Receipt // nil until it is there
}

// Receipt reconciles what was planned with what stands in the target topics.
type Receipt struct {
	Planned    int64              `json:"planned"`
	Read       int64              `json:"read"` // from the archive, once more
	Produced   int64              `json:"produced"`
	ReadBack   int64              `json:"read_back"`
	Matches    bool               `json:"matches"`
	Exclusive  bool               `json:"exclusive"` // nobody else wrote into the ranges read back
	Notes      []string           `json:"notes"`
	Partitions []ReceiptPartition `json:"partitions"`
}

// ReceiptPartition is a receipt's line. The hashes are SHA-256, in hex, over
// every record's key, value, headers and timestamp, in order. From and To
// bound the target's offsets that were read back, To exclusive. Foreign counts
// records in that range that other producers wrote.
type ReceiptPartition struct {
	Source       string `json:"source"`
	Target       string `json:"target"`
	Partition    int32  `json:"partition"`
	Planned      int64  `json:"planned"`
	Read         int64  `json:"read"`
	ReadBack     int64  `json:"read_back"`
	PlannedHash  string `json:"planned_sha256"`
	ReadBackHash string `json:"read_back_sha256"`
	Matches      bool   `json:"matches"`
	From         int64  `json:"from,string"`
	To           int64  `json:"to,string"`
	Foreign      int64  `json:"foreign"`
	Difference   string `json:"difference"` // the first one, in words
	// Offsets are the objects that say which offset of the source stands where in
	// the target, by offset; null if the partition does not match.
	Offsets []OffsetPiece `json:"offsets"`
}

// OffsetPiece is an object of an offset map, and the offsets between which its
// records stand, the ends exclusive.
type OffsetPiece struct {
	SHA256     schema.Digest `json:"sha256"`
	SourceFrom int64         `json:"source_from,string"`
	SourceTo   int64         `json:"source_to,string"`
	TargetFrom int64         `json:"target_from,string"`
	TargetTo   int64         `json:"target_to,string"`
}

// OffsetQuery asks for one record of a replay: Topic and Partition are those of
// the offset that is given, Source or Target.
type OffsetQuery struct {
	Topic          string
	Partition      int32
	Source, Target *int64
}

// OffsetPair is where one record stands in the source and in the target.
type OffsetPair struct {
	Source, Target             string
	Partition                  int32
	SourceOffset, TargetOffset int64
}

// DryRun is what reading a plan gave. Matches tells that everything planned was
// read and nothing speaks against running it now; otherwise Problems say why.
type DryRun struct {
	ID                      string
	Planned, Records, Bytes int64
	Segments                int
	Seconds                 float64
	Matches                 bool
	Problems                []string
	Partitions              []DryRunPartition
}

// DryRunPartition is what was read of one partition. Hash is that of the
// receipt.
type DryRunPartition struct {
	Source, Target string
	Partition      int32
	Records, Bytes int64
	Hash           string
}
