package web

import (
	"context"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
)

// Replays plan and run replays. A job's id is its plan's.
type Replays interface {
	// Plan resolves a selection; nothing is produced.
	Plan(ctx context.Context, who policy.Principal, request ReplayRequest) (*Plan, error)
	// Run starts a plan's job, or gives the one that is there already.
	Run(ctx context.Context, who policy.Principal, planID string) (*Job, error)
	// Get gives a job.
	Get(ctx context.Context, who policy.Principal, id string) (*Job, error)
	// List gives the jobs, newest first.
	List(ctx context.Context, who policy.Principal) ([]Job, error)
	// Cancel stops a job for good.
	Cancel(ctx context.Context, who policy.Principal, id string) (*Job, error)
}

// ReplayRequest is a trace, or topics with a time range, and where to. The zero
// time is no bound.
type ReplayRequest struct {
	TraceID           string
	Topics            []string
	From, To          time.Time         // record timestamps; To is exclusive
	TargetPrefix      string            // "": the service's own
	TargetTopics      map[string]string // source to target
	AllowExisting     bool
	AllowSource       bool
	ProvenanceHeaders bool
}

// Plan is exactly what a replay would produce. Zero times are unknown.
type Plan struct {
	ID       string // SHA-256, 64 hex digits
	Created  time.Time
	Request  ReplayRequest
	Topics   []PlanTopic
	Records  int64
	Bytes    int64
	Segments int
	From, To time.Time
	Warnings []string
}

// PlanTopic is a plan's share of one topic.
type PlanTopic struct {
	Source     string
	TopicID    schema.TopicID
	Target     string
	Partitions int
	Records    int64
	Bytes      int64
}

// Job is a replay's state. Zero times have not come yet.
type Job struct {
	ID                         string
	State                      string // planned, running, reconciling, done, failed or cancelled
	Plan                       Plan
	Planned, Produced          int64
	ReadBack                   int64 // valid from reconciling on
	Started, Updated, Finished time.Time
	ETASeconds                 float64 // 0: unknown
	Error                      string
	Receipt                    *Receipt // nil until it is there
}

// Receipt reconciles what was planned with what stands in the target topics.
type Receipt struct {
	Planned, Produced, ReadBack int64
	Matches                     bool
	Exclusive                   bool // nobody else wrote into the ranges that were read back
	Notes                       []string
	Partitions                  []ReceiptPartition
}

// ReceiptPartition is a receipt's line. The hashes are hex.
type ReceiptPartition struct {
	Source, Target            string
	Partition                 int32
	Planned, ReadBack         int64
	PlannedHash, ReadBackHash string
	Matches                   bool
	Foreign                   int64  // records of other producers in the range
	Difference                string // the first one, in words
}
