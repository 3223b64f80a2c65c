package answer

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// ReplayRequest is a trace, or topics with a time range, and where to. The zero
// time is no bound.
type ReplayRequest struct {
	TraceID string   `json:"trace_id"`
	Topics  []string `json:"topics"`
	// TopicID, with one topic, is which one of the name is meant; nil: the one
	// whose archive began last.
	TopicID *schema.TopicID `json:"topic_id,omitempty"`
	From    time.Time       `json:"from"` // record timestamps, inclusive
	To      time.Time       `json:"to"`   // exclusive
	// TargetPrefix makes target names of source names; "" stands for
	// "replay.<first 8 digits of the plan's ID>.".
	TargetPrefix string `json:"target_prefix"`
	// TargetTopics names targets by source; the others get the prefix.
	TargetTopics      map[string]string `json:"target_topics"`
	AllowExisting     bool              `json:"allow_existing"`     // targets may exist
	AllowSource       bool              `json:"allow_source"`       // a target may be the source itself; needs AllowExisting too
	ProvenanceHeaders bool              `json:"provenance_headers"` // headers that name the original record are added
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

// The states of a ReplayJob, in the API's words.
const (
	JobPlanned     = "planned"     // accepted; no record is produced yet
	JobRunning     = "running"     // records are being produced
	JobReconciling = "reconciling" // everything is produced, the target is read back
	JobDone        = "done"        // the target is what was planned
	JobFailed      = "failed"      // it cannot go on by itself; Error says why
	JobCancelled   = "cancelled"   // stopped for good
)

// ReplayJob is a replay's state. Its ID is its plan's. Zero times have not come
// yet.
type ReplayJob struct {
	ID                         string
	State                      string // JobPlanned, …
	Plan                       ReplayPlan
	Planned, Produced          int64
	ReadBack                   int64 // from JobReconciling on
	Started, Updated, Finished time.Time
	ETASeconds                 float64 // 0: unknown
	// Error is why the job failed, or what it is waiting for while it runs.
	Error   string
	Receipt *Receipt // nil until it is there
}

// Receipt reconciles what was planned with what stands in the target topics.
type Receipt struct {
	Planned    int64              `json:"planned"`
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
	ReadBack     int64  `json:"read_back"`
	PlannedHash  string `json:"planned_sha256"`
	ReadBackHash string `json:"read_back_sha256"`
	Matches      bool   `json:"matches"`
	From         int64  `json:"from,string"`
	To           int64  `json:"to,string"`
	Foreign      int64  `json:"foreign"`
	Difference   string `json:"difference"` // the first one, in words
}
