package query

import (
	"cmp"
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Index is where records are found. *index.Index is one.
type Index interface {
	Trace(ctx context.Context, spellings []string, scope index.Scope, limit int) ([]index.Hit, bool, error)
	Lookup(ctx context.Context, ids []index.ID, within *index.Window, scope index.Scope) ([]index.Found, bool, error)
	Resolve(ctx context.Context, ids []index.ID, within *index.Window, scope index.Scope) ([]index.Found, bool, error)
	ResolveWhole(ctx context.Context, ids []index.ID, within *index.Window, scope index.Scope) ([]index.Found, bool, error)
	Search(ctx context.Context, f index.Filter, scope index.Scope, limit int) ([]index.Hit, bool, error)
	Sample(ctx context.Context, f index.Filter, scope index.Scope, size int) ([]index.Hit, error)
	Branches(ctx context.Context) ([]index.Branch, error)
	CountBehind(ctx context.Context, tails []index.Tail, from, to *int64) (int64, error)
	Covering(ctx context.Context, positions []schema.Position) (map[schema.Position]index.SegmentRow, error)
	Topology(ctx context.Context) ([]index.Feed, error)
	Violations(ctx context.Context, f index.ViolationFilter, scope index.Scope, limit int) ([]index.Violation, bool, error)
	Volumes(ctx context.Context, eventType *string, scope index.Scope) ([]index.TypeVolume, bool, error)
	Hours(ctx context.Context, hours []time.Time, scope index.Scope) ([]index.HourVolume, bool, error)
	Count(ctx context.Context, f index.Filter, scope index.Scope) (int64, error)
}

// Store is where segments and dead letters are read. *objstore.Store is one.
type Store interface {
	List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error]
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt
}

// Ledger says what is archived. *ledger.Ledger is one.
type Ledger interface {
	Streams(ctx context.Context) iter.Seq2[schema.Stream, error]
	View(ctx context.Context, s schema.Stream, known *ledger.View) (*ledger.View, error)
	Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error)
}

// Broker is Kafka as it is now. *kafka.Admin is one.
type Broker interface {
	Cluster(ctx context.Context) (kafka.Cluster, error)
	Offsets(ctx context.Context, topics ...string) (map[string]map[int32]kafka.Offsets, error)
}

// FreshReader reads records that are not sealed yet. *kafka.Reader is one.
type FreshReader interface {
	Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error]
}

// Extractor reads ids and contract fields from a record. *extract.Rules is one.
type Extractor interface {
	Extract(rec *schema.Record, into *schema.Extraction)
	// Payload is a payload as JSON text; unread where it is not known what it is.
	Payload(rec *schema.Record) (text []byte, unread bool)
	// Kind is a record's type, whatever is withheld of it, to decide what is; not
	// known where the payload, in which it may stand, cannot be read.
	Kind(rec *schema.Record) (eventType, version string, known bool)
	// FindsByKey and FindsByHeader tell whether records of a topic are in the index
	// by their keys, and by headers of a name.
	FindsByKey(topic string) bool
	FindsByHeader(topic, name string) bool
}

// Schemas decodes payloads that name a schema, and says of what they are.
// registry.Decoder is one.
type Schemas interface {
	extract.Decoder
	// Describe gives the schema's type and the full name of what the payload is;
	// "" where that is not known.
	Describe(id extract.SchemaID, indexes, body []byte) (kind, name string)
}

// Options are what an Engine works with. Broker and Fresh may be nil: lag is
// then unknown, and payloads of fresh records cannot be read.
type Options struct {
	Index   Index
	Store   Store
	Ledger  Ledger
	Extract Extractor
	// Schemas decodes payloads that name a schema, where they are compared, looked
	// into or shown: best by what is archived alone, so that a scan asks no
	// registry. Nil: such payloads are bytes.
	Schemas Schemas
	// Policy is what holds for topics; nil: nothing is withheld.
	Policy *policy.Rules
	// Sandbox is how the names of the topics begin whose records are taken for the copies
	// of replays, not for dead letters that failed again; schema.ReplayTopicPrefix if "".
	Sandbox string
	// Contracts are what producers promised; nil: nothing.
	Contracts *contract.Registry
	// Chosen tells whether a topic is one that is read from Kafka, whatever its
	// policy; nil: all are.
	Chosen func(topic string) bool
	// Consumers gives the consumer groups of topics, and how many could not be
	// asked about; nil: they are unknown.
	Consumers func(ctx context.Context) (byTopic map[string][]string, hidden int, err error)
	Broker    Broker
	Fresh     FreshReader
	// Archiver gives what the archiver of this process knows of Kafka's topics;
	// nil where it has none.
	Archiver func() answer.Listing
	// Bucket and Prefix are where the segments are, for people: Prefix is put
	// before the keys that Segments gives.
	Bucket, Prefix string
	// ScanBytes and ScanTime bound one scan: what it reads of segments, as they
	// are stored, and how long it may take. 0: DefaultScanBytes, DefaultScanTime.
	// One segment is read whatever its size.
	ScanBytes int64
	ScanTime  time.Duration
	// Anomalies are the thresholds of what counts as one; zero: DefaultAnomalyRules.
	Anomalies AnomalyRules
	Logger    *slog.Logger // nil: nothing is logged
}

// Engine answers queries.
type Engine struct {
	options  Options
	logger   *slog.Logger
	decode   *extract.Rules // of Options.Schemas
	catalogs catalogs
	segments openSegments
	stages   knownStages
	feeds    knownFeeds
	sealed   knownVolumes
	patterns knownPatterns
	waits    knownWaits
	views    knownViews
}

// New makes an engine. It asks nothing of anybody yet.
func New(options Options) (*Engine, error) {
	switch {
	case options.Index == nil:
		return nil, schema.Errorf(schema.Invalid, "open query engine: no index")
	case options.Store == nil || options.Ledger == nil || options.Extract == nil:
		return nil, schema.Errorf(schema.Invalid, "open query engine: no store, ledger or extraction rules")
	}
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	options.ScanBytes, options.ScanTime = cmp.Or(options.ScanBytes, DefaultScanBytes), cmp.Or(options.ScanTime, DefaultScanTime)
	options.Anomalies = cmp.Or(options.Anomalies, DefaultAnomalyRules)
	decode, err := extract.New(extract.Options{Decoder: options.Schemas})
	if err != nil {
		return nil, err
	}
	e := &Engine{options: options, logger: logger, decode: decode}
	e.segments.limit = readerBudget
	return e, nil
}
