package replay

import (
	"cmp"
	"context"
	"io"
	"iter"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Store is where segments are read and where plans and jobs stand.
// objstore.Store is one. After nil a write is durable and seen by every reader.
// Errors have the kinds of package objstore: NotFound, Conflict, Exhausted beyond
// a limit, Corrupt, and Unavailable for what passes. Reads and Stat are repeated
// by the store, conditional writes by the service, which looks first at what
// became of them. Calls may be concurrent.
type Store interface {
	PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error)
	PutIfMatch(ctx context.Context, key, etag string, body []byte) (objstore.Object, error)
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt
	Stat(ctx context.Context, key string) (objstore.Object, error)
	List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error]
}

// Ledger says what is archived. ledger.Ledger is one. Corrupt is a chain that
// does not hold; NotFound a stream without one; the caller decides about both,
// nothing is retried but by the store below. Calls may be concurrent.
type Ledger interface {
	Streams(ctx context.Context) iter.Seq2[schema.Stream, error]
	View(ctx context.Context, s schema.Stream, known *ledger.View) (*ledger.View, error)
	// Gaps reads those of a commit of a chain.
	Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error)
}

// Traces finds the records of traces. query.Engine is one.
type Traces interface {
	// Traced gives the records of each trace that the principal may see, sealed or
	// not. A trace that nobody knows is NotFound.
	Traced(ctx context.Context, who policy.Principal, traceIDs []string) ([]answer.Traced, error)
}

// Brokers are a Kafka cluster that is written to. Connect makes one. Unavailable
// and Exhausted pass: the job is tried again from its position. Conflict is a
// topic that exists, NotFound offsets or topics that do not, Permission a missing
// right. Calls may be concurrent.
type Brokers interface {
	Cluster(ctx context.Context) (kafka.Cluster, error)
	Offsets(ctx context.Context, topics ...string) (map[string]map[int32]kafka.Offsets, error)
	Describe(ctx context.Context, topics ...string) ([]kafka.Topic, error)
	Config(ctx context.Context, topic string) ([]kafka.ConfigEntry, error)
	CreateReplicated(ctx context.Context, name string, partitions int32, replication int16, configs map[string]string) (schema.TopicID, error)
	MayCreate(ctx context.Context, name string, partitions int32, replication int16) error
	MayTransact(ctx context.Context, id string) error
	SetConfig(ctx context.Context, topic, key, value string) error
	// Range is that of kafka.Reader.
	Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error]
	Producer(options kafka.ProducerOptions) (Producer, error)
	// What a consumer group has committed, and committing for one without members:
	// those of kafka.Admin.
	CommittedBy(ctx context.Context, group string) (c kafka.Committed, state string, err error)
	Commit(ctx context.Context, group string, c kafka.Committed) error
}

// Producer is a transactional producer; its methods are kafka.Producer's, which
// says what each promises. It belongs to one attempt. After an error of Commit the
// outcome is unknown: the attempt ends, and the next one reads the position.
// kafka.ErrFenced is somebody else's later attempt.
type Producer interface {
	Init(ctx context.Context) (int64, error)
	ID() int64
	Begin(ctx context.Context) error
	Produce(ctx context.Context, topic string, partition int32, r *schema.Record, acked func())
	Commit(ctx context.Context) error
	Abort(ctx context.Context) error
	Mark(ctx context.Context, topic string, partition int32, r *schema.Record) (int64, error)
	Close()
}

// Options of a Service. PositionTopic and Worker are required.
type Options struct {
	// PositionTopic is the compacted topic that holds how far jobs are. It is
	// created when missing, with PositionReplication replicas (-1 or 0: the
	// broker's default).
	PositionTopic       string
	PositionReplication int16
	// Worker names this process in leases.
	Worker string
	// Jobs is how many jobs this process works on at once; 2 if zero.
	Jobs int
	// Lease is for how long a claim holds without being renewed, and so how long
	// a dead worker's job waits; 20 s if zero.
	Lease time.Duration
	// Poll is how often Work looks for jobs of other processes; 5 s if zero.
	Poll time.Duration
	// Batch bounds a transaction in bytes of keys, values and headers; 4 MiB if
	// zero. About six of them are in memory at once for each job.
	Batch int64
	// Part bounds an object of a replay into files, in bytes of keys, values and
	// headers; 16 MiB if zero. Workers of one job must have the same.
	Part int64
	// Exact bounds what planning reads, in bytes of segment objects; 256 MiB if
	// zero. Beyond, counts come from the ledger where a segment is selected as a
	// whole, bytes are estimated, and the plan says so.
	Exact int64
	// Transaction is after how long the broker aborts what a dead worker left
	// open; one minute if zero. The broker bounds it (transaction.max.timeout.ms).
	Transaction time.Duration
	// Interval is how often a paced job commits, and so how much later than the
	// record readers of committed data see it; one second if zero. Transaction
	// must be four times as long at least.
	Interval time.Duration
	// Ahead bounds the records that a paced job reads ahead, in bytes of memory, over
	// all its partitions: 40 MiB if zero. A job has one partition for every 40 KiB at most.
	Ahead int64
	// Patience is how long a job may be held up by what passes, without progress,
	// before it fails and waits to be run again; 30 minutes if zero.
	Patience time.Duration
	// Extract decodes payloads for filters; nil: those that are JSON are read. Policy
	// and Contracts say what of a topic filters may not look into; nil: nothing.
	Extract   *extract.Rules
	Policy    *policy.Rules
	Contracts *contract.Registry
	// Approval says which plans need a second person; ApprovalNone if "". Sandbox is
	// how the names of the topics begin that need none where ApprovalOutsideSandbox
	// holds; schema.ReplayTopicPrefix if "". ApprovalExpiry is for how long an approval lets a job be
	// begun, or be let go on by a person; a day if zero.
	Approval       string
	Sandbox        string
	ApprovalExpiry time.Duration
	Limits         Limits // of one user; none if zero
	// Clusters are those that a plan may name as its target, besides the archived one.
	Clusters   map[string]Brokers
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Tracer     *telemetry.Tracer     // of a job's steps; nil: nothing is traced. Nothing of it goes into the records
}

// Service plans and runs replays. See the package comment.
type Service struct {
	options Options
	cluster Brokers
	store   Store
	ledger  Ledger
	traces  Traces
	log     *slog.Logger
	metrics *metrics
	nudge   chan struct{} // wakes Work; holds at most one
	dry     chan struct{} // dry runs under way

	mu   sync.Mutex
	held map[string]*claim // by job: what this process works on
	busy map[string]int    // by user: jobs that anybody works on, as seen last

	clockings []clocked // jobs that were delivered last; guarded by mu

	making sync.Mutex
	made   map[string]madeBy // by job: the topics that it made, as read last; guarded by making
}

var workerName = regexp.MustCompile(`^[\x21-\x7e]{1,200}$`)

// New checks the options. Nothing runs until Work. traces may be nil: then a
// trace cannot be planned.
func New(options Options, cluster Brokers, store Store, book Ledger, traces Traces) (*Service, error) {
	if !schema.IsTopicName(options.PositionTopic) {
		return nil, schema.InvalidField("replay.position_topic", "%q is no topic name", options.PositionTopic)
	}
	if !workerName.MatchString(options.Worker) {
		return nil, schema.Errorf(schema.Invalid, "worker name %q: want 1 to 200 visible ASCII characters", options.Worker)
	}
	if options.PositionReplication == 0 {
		options.PositionReplication = -1
	}
	if options.Jobs <= 0 {
		options.Jobs = 2
	}
	if options.Lease <= 0 {
		options.Lease = 20 * time.Second
	}
	if options.Poll <= 0 {
		options.Poll = 5 * time.Second
	}
	if options.Batch <= 0 {
		options.Batch = 4 << 20
	}
	if options.Part <= 0 {
		options.Part = maxPart
	}
	if options.Exact <= 0 {
		options.Exact = 256 << 20
	}
	if options.Transaction <= 0 {
		options.Transaction = time.Minute
	}
	if options.Interval <= 0 {
		options.Interval = min(time.Second, options.Transaction/4)
	}
	if options.Interval > options.Transaction/4 {
		return nil, schema.Errorf(schema.Invalid, "a commit interval of %s: transactions end after %s, want four times the interval", options.Interval, options.Transaction)
	}
	if options.Ahead <= 0 {
		options.Ahead = 40 << 20
	}
	options.Approval, options.Sandbox = cmp.Or(options.Approval, ApprovalNone), cmp.Or(options.Sandbox, schema.ReplayTopicPrefix)
	if !slices.Contains([]string{ApprovalNone, ApprovalOutsideSandbox, ApprovalAlways}, options.Approval) {
		return nil, schema.InvalidField("replay.approval", "%q is none of %s, %s, %s", options.Approval, ApprovalNone, ApprovalOutsideSandbox, ApprovalAlways)
	}
	if options.ApprovalExpiry <= 0 {
		options.ApprovalExpiry = 24 * time.Hour
	}
	if options.Patience <= 0 {
		options.Patience = 30 * time.Minute
	}
	if options.Extract == nil {
		var err error
		if options.Extract, err = extract.New(extract.Options{}); err != nil {
			return nil, err
		}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		options: options, cluster: cluster, store: store, ledger: book, traces: traces, log: options.Logger.With("component", "replay"),
		metrics: newMetrics(options.Registerer), nudge: make(chan struct{}, 1), dry: make(chan struct{}, mostDryRuns), held: map[string]*claim{},
	}, nil
}

// Connection is Brokers over a network.
type Connection struct {
	*kafka.Admin
	*kafka.Reader
	options kafka.Options
}

// Connect checks the options; nothing is dialled yet.
func Connect(options kafka.Options) (*Connection, error) {
	admin, err := kafka.NewAdmin(options)
	if err != nil {
		return nil, err
	}
	reader, err := kafka.NewReader(options)
	if err != nil {
		admin.Close()
		return nil, err
	}
	return &Connection{admin, reader, options}, nil
}

// Producer makes a transactional producer; nothing is dialled yet.
func (c *Connection) Producer(options kafka.ProducerOptions) (Producer, error) {
	return kafka.NewProducer(c.options, options)
}
