package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// ReplayRequest is traces, or topics with a time range, and where to. The zero
// time is no bound. A record is replayed when every list that is given has it;
// an empty list asks for nothing.
type ReplayRequest struct {
	TraceID string   `json:"trace_id"`
	Topics  []string `json:"topics"` // names, or patterns of what is archived
	// TraceIDs are several; TraceID stands for a list of one.
	TraceIDs []string `json:"trace_ids,omitempty"`
	// IncludeReplays takes, of traces, the copies that former replays made, too.
	IncludeReplays bool `json:"include_replays,omitempty"`
	// TopicID, with one topic, is which one of the name is meant; nil: the one
	// whose archive began last.
	TopicID *schema.TopicID `json:"topic_id,omitempty"`
	From    time.Time       `json:"from"` // record timestamps, inclusive
	To      time.Time       `json:"to"`   // exclusive
	// EventFrom and EventTo bound the time that the event itself says, in the same
	// way. A record without one is not selected.
	EventFrom time.Time `json:"event_from,omitzero"`
	EventTo   time.Time `json:"event_to,omitzero"`
	// Query is a search as it is typed, of terms that a selection has fields for. It
	// is gone when it is planned: what it says stands in those.
	Query string `json:"query,omitempty"`
	// Unsealed says what becomes of records that Kafka has and the ledger not yet; ""
	// stands for UnsealedCut of topics and UnsealedFail of traces. It is no part of a
	// plan.
	Unsealed string `json:"unsealed,omitempty"`
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
	// Filter is an expression in CEL over a record's headers and decoded payload, as
	// package filter has it. FilterErrors says what becomes of records of which it
	// cannot be told; "" stands for FilterFail.
	Filter       string `json:"filter,omitempty"`
	FilterErrors string `json:"filter_errors,omitempty"`
	// TargetCluster is where the targets are; "" is the cluster that is archived,
	// others are named in the configuration.
	TargetCluster string `json:"target_cluster,omitempty"`
	// TargetFile has the records written to objects of the job, and to no topic:
	// FileNDJSON or FileParquet. What says something of topics is refused then.
	TargetFile string `json:"target_file,omitempty"`
	// TargetPrefix makes target names of source names; "" stands for
	// "replay.<first 8 digits of the plan's ID>.".
	TargetPrefix string `json:"target_prefix"`
	// TargetTopics names targets by source; the others get the prefix.
	TargetTopics      map[string]string `json:"target_topics"`
	AllowExisting     bool              `json:"allow_existing"`     // targets may exist
	AllowSource       bool              `json:"allow_source"`       // a target may be the source itself; needs AllowExisting too
	ProvenanceHeaders bool              `json:"provenance_headers"` // headers that name the original record are added
	// ProvenanceOutside adds them where a target is in another cluster, or its name is
	// outside the sandbox. It is gone when it is planned: ProvenanceHeaders says what
	// came of it.
	ProvenanceOutside bool `json:"-"`
	// Partitioning is PartitionBySource, which "" stands for, or PartitionByKey;
	// TargetPartitions how many partitions are written to, 0 as many as the source
	// has. Where they say anything else than "the same", ProvenanceHeaders are added.
	Partitioning     string `json:"partitioning,omitempty"`
	TargetPartitions int32  `json:"target_partitions,omitempty"`
	// Timestamps is TimestampsKeep, which "" stands for, TimestampsNow, or
	// TimestampsShift by ShiftMillis.
	Timestamps  string `json:"timestamps,omitempty"`
	ShiftMillis int64  `json:"shift_ms,omitempty,string"`
	// Oversized says what becomes of records that are larger than their target
	// takes; "" stands for OversizedFail.
	Oversized string `json:"oversized"`
	// Redrive puts dead letters back to where they come from; then nothing else is
	// selected, and no target named.
	Redrive *RedriveRequest `json:"-"`
}

// ReplayFiles are what a replay wrote into files, in the order of the plan.
type ReplayFiles struct {
	ID, Format string
	Files      []ReplayFile
}

// ReplayFile is one object in the archive's bucket, and which records it has: of Topic's
// partition, from offset From to before Next.
type ReplayFile struct {
	Key       string
	SHA256    schema.Digest
	Bytes     int64
	Records   int64
	Topic     string
	TopicID   schema.TopicID
	Partition int32
	From      int64
	Next      int64
}

// The kinds of files into which a replay may write.
const (
	FileNDJSON  = "ndjson"
	FileParquet = "parquet"
)

// ReplayOffsets is a range of one partition's offsets: From ≤ offset < To.
type ReplayOffsets struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from,string"`
	To        int64  `json:"to,string"`
}

// How the partition of a record in its target is chosen.
const (
	PartitionBySource = "source" // the source's, modulo those that are written to
	PartitionByKey    = "key"    // as Kafka's clients do; without a key as PartitionBySource
)

// What becomes of a record's timestamp.
const (
	TimestampsKeep  = "keep"
	TimestampsNow   = "now"   // the moment at which it is produced; the target may be LogAppendTime
	TimestampsShift = "shift" // so much later
)

// What may become of records of the range that are not sealed yet.
const (
	UnsealedCut  = "cut"  // they are left out, with a warning
	UnsealedFail = "fail" // nothing is planned
	UnsealedWait = "wait" // they are waited for, a minute at most; then as UnsealedFail
)

// What may become of records of which a filter cannot tell: their payload cannot be
// decoded, a field that it looks at is not there.
const (
	FilterFail = "fail" // nothing is planned: the error counts and names them
	FilterSkip = "skip" // they are left out; the plan counts and names them
)

// ReplayUntold are the records of one topic of which the plan's filter cannot tell,
// and that are left out.
type ReplayUntold struct {
	Source  string               `json:"source"`
	Records int64                `json:"records,string"`
	First   []ReplayUntoldRecord `json:"first"` // a few, by partition and offset
}

// ReplayUntoldRecord is one of them, and why.
type ReplayUntoldRecord struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset,string"`
	Reason    string `json:"reason"`
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
	ID      string        `json:"id"` // SHA-256, 64 hex digits
	Created time.Time     `json:"created"`
	Request ReplayRequest `json:"request"`
	// TargetClusterID is the ID of the cluster that Request.TargetCluster named.
	TargetClusterID string        `json:"target_cluster_id,omitempty"`
	Topics          []ReplayTopic `json:"topics"`
	Records         int64         `json:"records,string"`
	Bytes           int64         `json:"bytes,string"` // of keys, values and headers
	Segments        int           `json:"segments"`
	// From and To are the first and the last record's time; zero if the
	// records were not read for the plan.
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Warnings []string  `json:"warnings"`
	// Oversized are records that are left out, or for which a target is changed.
	Oversized []ReplayOversized `json:"oversized"`
	// Untold are records that are left out because the filter cannot tell of them.
	Untold  []ReplayUntold `json:"untold,omitempty"`
	Redrive *Redrive       `json:"redrive,omitempty"` // of a redrive
	// NeedsApproval tells that somebody else must approve it before it is run, as
	// the settings are now.
	NeedsApproval bool `json:"-"`
	// EstimatedSeconds is how long it would take as fast as possible, by the jobs that
	// were done last; 0: there are none to tell by.
	EstimatedSeconds float64 `json:"-"`
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

	// As it was when it was planned, and no part of the plan: whether the target is
	// there, the settings with which it would be made if not (nil: not known), and the
	// schemas that the records name, where they were read.
	TargetExists bool              `json:"-"`
	TargetConfig map[string]string `json:"-"`
	Schemas      []string          `json:"-"`
	MoreSchemas  bool              `json:"-"` // than are listed
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
	// Of PaceRate and PaceOriginal: what the clock has before this time, in Unix
	// milliseconds, is not waited for; 0 is no such time.
	FastUntil int64 `json:"fast_until,string"`
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
	JobAwaiting    = "awaiting_approval" // nothing happens until somebody else approves it
	JobPlanned     = "planned"           // accepted; no record is produced yet
	JobRunning     = "running"           // records are being produced
	JobPaused      = "paused"            // stopped until it is resumed
	JobReconciling = "reconciling"       // everything is produced, the target is read back
	JobDone        = "done"              // the target is what was planned
	JobFailed      = "failed"            // it cannot go on by itself; Error says why
	JobCancelled   = "cancelled"         // stopped for good
	JobRejected    = "rejected"          // somebody else refused it, for good
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
	// RequestedBy is who ran the plan first; "" if that was not recorded.
	RequestedBy string
	Approval    *ReplayApproval // nil: none is needed
}

// Receipt reconciles what was planned with what stands in the target topics.
type Receipt struct {
	Planned   int64    `json:"planned"`
	Read      int64    `json:"read"` // from the archive, once more
	Produced  int64    `json:"produced"`
	ReadBack  int64    `json:"read_back"`
	Matches   bool     `json:"matches"`
	Exclusive bool     `json:"exclusive"` // nobody else wrote into the ranges read back
	Notes     []string `json:"notes"`
	// Files is the hash of the list of files, of a replay into files that matches.
	Files      *schema.Digest     `json:"files_sha256,omitempty"`
	Partitions []ReceiptPartition `json:"partitions"`
}

// ReceiptPartition is a receipt's line. The hashes are SHA-256, in hex, over
// every record's key, value, headers and timestamp, in order; where timestamps are
// those of producing, as if they were 0. From and To
// bound the target's offsets that were read back, To exclusive. Foreign counts
// records in that range that other producers wrote.
type ReceiptPartition struct {
	Source    string `json:"source"`
	Target    string `json:"target"`
	Partition int32  `json:"partition"`
	// TargetPartition is there where a replay chooses partitions: it has a line for
	// each pair. nil: the same.
	TargetPartition *int32 `json:"target_partition,omitempty"`

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
	Partition, TargetPartition int32
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
