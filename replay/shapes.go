package replay

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Request is a trace, or topics with a time range, and where to. The zero time
// is no bound.
type Request struct {
	TraceID string    `json:"trace_id"`
	Topics  []string  `json:"topics"`
	From    time.Time `json:"from"` // record timestamps, inclusive
	To      time.Time `json:"to"`   // exclusive
	// TargetPrefix makes target names of source names; "" stands for
	// "replay.<first 8 digits of the plan's ID>.".
	TargetPrefix string `json:"target_prefix"`
	// TargetTopics names targets by source; the others get the prefix.
	TargetTopics      map[string]string `json:"target_topics"`
	AllowExisting     bool              `json:"allow_existing"`     // targets may exist
	AllowSource       bool              `json:"allow_source"`       // a target may be the source itself; needs AllowExisting too
	ProvenanceHeaders bool              `json:"provenance_headers"` // headers that name the original record are added
}

// Plan is exactly what a replay would produce.
type Plan struct {
	ID       string      `json:"id"` // SHA-256, 64 hex digits
	Created  time.Time   `json:"created"`
	Request  Request     `json:"request"`
	Topics   []PlanTopic `json:"topics"`
	Records  int64       `json:"records,string"`
	Bytes    int64       `json:"bytes,string"` // of keys, values and headers
	Segments int         `json:"segments"`
	// From and To are the first and the last record's time; zero if the
	// records were not read for the plan.
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Warnings []string  `json:"warnings"`
}

// PlanTopic is a plan's share of one topic.
type PlanTopic struct {
	Source     string         `json:"source"`
	TopicID    schema.TopicID `json:"topic_id"`
	Target     string         `json:"target"`
	Partitions int            `json:"partitions"`
	Records    int64          `json:"records,string"`
	Bytes      int64          `json:"bytes,string"`
}

// The states of a job.
const (
	Planned     = "planned"     // accepted; no record is produced yet
	Running     = "running"     // records are being produced
	Reconciling = "reconciling" // everything is produced, the target is read back
	Done        = "done"        // the target is what was planned
	Failed      = "failed"      // it cannot go on by itself; Error says why
	Cancelled   = "cancelled"   // stopped for good
)

// Job is a replay's state. Zero times have not come yet.
type Job struct {
	ID                         string
	State                      string
	Plan                       Plan
	Planned, Produced          int64
	ReadBack                   int64 // from Reconciling on
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
