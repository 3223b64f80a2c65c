package web

import (
	"context"
	"io"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Services are what the API asks of the process. A nil Replays, Exports or
// Sealer answers 409 and says where to ask instead. Every method may be called
// from many goroutines, ends when its context does, and returns errors with a
// [schema.Kind]; see [answer.NotFoundError] for what was searched in vain.
type Services struct {
	Queries Queries
	Replays Replays
	Exports Exports
	Sealer  Sealer
	// Health names each dependency (kafka, store, index) with what is wrong with
	// it, or "" where it is well. Being behind is not being unwell. It must not
	// wait for anything.
	Health func() map[string]string
	// Alive returns an error when this process stands still, so that only a
	// restart helps; nil where nothing can. It must not wait for anything.
	Alive func() error
	// Lag is how far archiving is behind; nil where this process does not
	// archive. It must not wait for anything.
	Lag func() Lag
}

// Lag is how far this process is behind with archiving, over the partitions
// that it has. /readyz shows it.
type Lag struct {
	Behind     bool    `json:"-"`                 // more than is normal
	Partitions int     `json:"partitions_behind"` // that are
	Records    int64   `json:"records"`           // in Kafka and not sealed
	Seconds    float64 `json:"seconds"`           // for how long the oldest of them has been in Kafka
	Retention  float64 `json:"retention_ratio"`   // the share of Kafka's retention that the nearest to its end has used up
	Worst      string  `json:"worst,omitempty"`   // topic/partition of the oldest
}

// Queries answer questions about what is archived. The requests were checked;
// slices in the answers may be nil.
type Queries interface {
	// Trace is every hop of a trace in causal order.
	Trace(ctx context.Context, who policy.Principal, request answer.TraceRequest) (*answer.Trace, error)
	// Field follows one place in the payloads through a trace.
	Field(ctx context.Context, who policy.Principal, request answer.FieldRequest) (*answer.FieldHistory, error)
	// Verdict says whether everything is there of a trace or of a range.
	Verdict(ctx context.Context, who policy.Principal, request answer.VerdictRequest) (*answer.Verdict, error)
	// Anomalies are what differs from how it was, at a moment; zero: now.
	Anomalies(ctx context.Context, who policy.Principal, at time.Time) (*answer.Anomalies, error)
	// Identify finds every role that an id plays. Nothing found is an answer
	// without matches, not an error.
	Identify(ctx context.Context, who policy.Principal, id string) (*answer.Identification, error)
	// Search is a page of records, newest first.
	Search(ctx context.Context, who policy.Principal, request answer.SearchRequest) (*answer.Page, error)
	// Matches writes every record that a search finds to w. After an error
	// whatever was written is worthless.
	Matches(ctx context.Context, who policy.Principal, request answer.SearchRequest, format answer.Format, w io.Writer) (*answer.Statement, error)
	// Scan reads the archive itself; tell gets each record found and, otherwise,
	// how far it is.
	Scan(ctx context.Context, who policy.Principal, request answer.ScanRequest, tell func(*answer.Hit, *answer.ScanProgress) error) (*answer.Scan, error)
	// Record reads one record's bytes.
	Record(ctx context.Context, who policy.Principal, request answer.RecordRequest) (*answer.Record, error)
	// Topics lists every topic, archived or not.
	Topics(ctx context.Context, who policy.Principal) (*answer.Topics, error)
	// Policies are what holds for each topic and why; of every topic if topic
	// is "".
	Policies(ctx context.Context, who policy.Principal, topic string) (*answer.TopicPolicies, error)
	// Violations counts which rules records break.
	Violations(ctx context.Context, who policy.Principal, request answer.ViolationRequest) (*answer.Violations, error)
	// CheckContract holds a contract to archived events.
	CheckContract(ctx context.Context, who policy.Principal, request answer.ContractCheckRequest) (*answer.ContractCheck, error)
	// EventTypes is the event catalog; of one type if it is not "".
	EventTypes(ctx context.Context, who policy.Principal, eventType string) (*answer.EventTypes, error)
	// Coverage is what is archived of each partition, and which topics are not;
	// of every topic if topic is "".
	Coverage(ctx context.Context, who policy.Principal, topic string) (*answer.Coverage, error)
	// Gaps lists gaps, the newest found first.
	Gaps(ctx context.Context, who policy.Principal, request answer.GapRequest) (*answer.GapPage, error)
	// DeadRecords lists records that services could not process.
	DeadRecords(ctx context.Context, who policy.Principal, request answer.DeadRecordRequest) (*answer.DeadRecordPage, error)
	// DeadRecordGroups counts them by what they failed of.
	DeadRecordGroups(ctx context.Context, who policy.Principal, request answer.DeadRecordRequest) (*answer.DeadRecordGroups, error)
	// DeadChain follows a record through its failures.
	DeadChain(ctx context.Context, who policy.Principal, request answer.RecordRequest) (*answer.DeadChain, error)
	// DeadLetters lists what Annals could not process, by topic and offset.
	DeadLetters(ctx context.Context, who policy.Principal, request answer.DeadLetterRequest) (*answer.DeadLetterPage, error)
	// Segments are the current segments of a topic.
	Segments(ctx context.Context, who policy.Principal, request answer.SegmentRequest) (*answer.Segments, error)
}

// Replays plan and run replays. A job's id is its plan's.
type Replays interface {
	// Plan resolves a selection; nothing is produced.
	Plan(ctx context.Context, who policy.Principal, request answer.ReplayRequest) (*answer.ReplayPlan, error)
	// Run starts a plan's job, or gives the one that is there already.
	Run(ctx context.Context, who policy.Principal, planID string, pace *answer.ReplayPace) (*answer.ReplayJob, error)
	// Get gives a job.
	Get(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error)
	// List gives the jobs, newest first.
	List(ctx context.Context, who policy.Principal) (*answer.ReplayList, error)
	// Cancel stops a job for good.
	Cancel(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error)
	// Pause stops a job until it is resumed.
	Pause(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error)
	// Resume lets a paused job go on.
	Resume(ctx context.Context, who policy.Principal, id string) (*answer.ReplayJob, error)
	// Step has a paused job produce some records more and pause again.
	Step(ctx context.Context, who policy.Principal, id string, records int64) (*answer.ReplayJob, error)
	// SetPace changes how fast a job produces.
	SetPace(ctx context.Context, who policy.Principal, id string, pace answer.ReplayPace) (*answer.ReplayJob, error)
	// Approve and Reject decide about a job that somebody else asked for; id is
	// the whole one.
	Approve(ctx context.Context, who policy.Principal, id, comment string) (*answer.ReplayJob, error)
	Reject(ctx context.Context, who policy.Principal, id, reason string) (*answer.ReplayJob, error)
	// Stopped tells whether all replays are stopped; StopAll and StartAll change it.
	Stopped(ctx context.Context, who policy.Principal) (*answer.ReplayStop, error)
	StopAll(ctx context.Context, who policy.Principal, reason string) (*answer.ReplayStop, error)
	StartAll(ctx context.Context, who policy.Principal, reason string) (*answer.ReplayStop, error)
	// Watch tells how a job is, now and whenever it has changed, until it has ended
	// or tell returns an error; nil tells that nothing happened for a while.
	Watch(ctx context.Context, who policy.Principal, id string, tell func(*answer.ReplayJob) error) error
	// Receipt is a job's receipt as a page of HTML.
	Receipt(ctx context.Context, who policy.Principal, id string) ([]byte, error)
	// Files lists what a replay wrote into files, File gives one of them.
	Files(ctx context.Context, who policy.Principal, id string) (*answer.ReplayFiles, error)
	File(ctx context.Context, who policy.Principal, id string, n int) (*answer.ReplayFile, []byte, error)
	// DryRun reads everything and produces nothing.
	DryRun(ctx context.Context, who policy.Principal, id string) (*answer.DryRun, error)
	// MapOffset pairs an offset of a source with one of its target.
	MapOffset(ctx context.Context, who policy.Principal, id string, q answer.OffsetQuery) (*answer.OffsetPair, error)
	// GroupOffsets says where a consumer group of the source stands in the target,
	// and commits that if asked to.
	GroupOffsets(ctx context.Context, who policy.Principal, id string, r answer.GroupOffsetsRequest) (*answer.GroupOffsets, error)
}

// Exports write bags.
type Exports interface {
	// Export writes a tar stream. After an error whatever was written is
	// worthless, and the client is made to see that.
	Export(ctx context.Context, who policy.Principal, request answer.ExportRequest, w io.Writer) error
}

// Sealer asks an archiver to seal what it holds now.
type Sealer interface {
	// Seal returns how many partitions held something, and how many records.
	// With wait it returns when all of it is in the ledger.
	Seal(ctx context.Context, wait bool) (partitions int, records int64, err error)
}
