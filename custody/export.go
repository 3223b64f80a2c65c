package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// DefaultSpoolBytes is the room for one export's temporary files.
const DefaultSpoolBytes = 32 << 30

// Store is where segments and commits are read. *objstore.Store is one. NotFound
// and Corrupt end an export, for the ledger names what is read; what passes the
// store repeats itself. Calls may be concurrent.
type Store interface {
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt
}

// Ledger says what is archived. *ledger.Ledger is one. Corrupt is a chain that does
// not hold. Nothing is retried: an export that failed is asked for again. Calls
// may be concurrent.
type Ledger interface {
	Streams(ctx context.Context) iter.Seq2[schema.Stream, error]
	View(ctx context.Context, s schema.Stream, known *ledger.View) (*ledger.View, error)
	Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error)
}

// Traces finds the records of a trace and how they follow from one another.
// query.Engine is one.
type Traces interface {
	// Trace gives the hops of a trace in causal order, sealed or not, as far as
	// who may see them: which are sealed, the ledger decides. NotFound if there
	// is none.
	Trace(ctx context.Context, who policy.Principal, request answer.TraceRequest) (*answer.Trace, error)
}

// Fresh counts what is not sealed yet. query.Engine is one. An error leaves the
// number unknown.
type Fresh interface {
	// Unsealed counts the committed records that are indexed behind the tails of
	// some partitions, with record times in milliseconds from from to before to;
	// nil is no bound.
	Unsealed(ctx context.Context, who policy.Principal, tails []answer.Tail, from, to *int64) (int64, error)
}

// Options are what an Exporter works with.
type Options struct {
	Store  Store
	Ledger Ledger
	Traces Traces // nil: traces cannot be exported
	Fresh  Fresh  // nil: exports of topics do not say how much was not sealed
	// Policy is what holds for topics; nil: nothing is withheld.
	Policy *policy.Rules
	// Contracts are what producers promised; nil: nothing.
	Contracts *contract.Registry

	// TempDir is where an export keeps files until they are sent: the lines of
	// JSON of all records, and the Parquet file and the segment that it is at.
	// "" is the system's.
	TempDir string
	// SpoolBytes bounds them, for each export. 0: DefaultSpoolBytes.
	SpoolBytes int64

	// Agent names the program in bag-info.txt, as "annals v1.2.3".
	Agent  string
	Now    func() time.Time  // nil: the system's clock
	Logger *slog.Logger      // nil: nothing is logged
	Tracer *telemetry.Tracer // of exports; nil: nothing is traced
}

// Exporter writes export bags.
type Exporter struct {
	options Options
	logger  *slog.Logger
}

// New makes an Exporter. It asks nothing of anybody yet.
func New(options Options) (*Exporter, error) {
	if options.Store == nil || options.Ledger == nil {
		return nil, schema.Errorf(schema.Invalid, "open exporter: no store or ledger")
	}
	if options.SpoolBytes < 0 {
		return nil, schema.Errorf(schema.Invalid, "open exporter: a spool of %d bytes", options.SpoolBytes)
	}
	if options.SpoolBytes == 0 {
		options.SpoolBytes = DefaultSpoolBytes
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Agent == "" {
		options.Agent = "annals"
	}
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Exporter{options: options, logger: logger}, nil
}

// Export writes a bag as a tar stream. After an error whatever was written is
// worthless; most errors come before the first byte. Kinds: Invalid for a
// request that means nothing, Permission for a topic whose policy withholds
// something, NotFound when nothing matches, Conflict when what
// matches is not sealed yet, Exhausted beyond a bound, Corrupt when the archive
// does not hold what the ledger says.
func (e *Exporter) Export(ctx context.Context, who policy.Principal, r answer.ExportRequest, w io.Writer) (err error) {
	began := e.options.Now()
	ctx, span := e.options.Tracer.Start(ctx, "export")
	defer func() { span.End(err) }()
	if err := check(&r); err != nil {
		return err
	}
	p, err := e.plan(ctx, who, &r)
	if err != nil {
		return err
	}
	if err := e.permitted(p); err != nil {
		return err
	}
	temporary, err := newSpool(e.options.TempDir, e.options.SpoolBytes)
	if err != nil {
		return err
	}
	defer func() {
		if gone := temporary.remove(); gone != nil {
			err = errors.Join(err, fmt.Errorf("remove temporary files: %w", gone))
		}
	}()
	j, err := e.begin(&r, p, temporary, w)
	if err != nil {
		return err
	}
	span.Set(slog.String("export_id", j.scope.ID))
	if err := j.run(ctx, who); err != nil {
		return fmt.Errorf("export %s: %w", j.scope.ID, err)
	}
	if err := j.bag.close(ctx, e.info(who, &r, &j.scope, began)); err != nil {
		return fmt.Errorf("export %s: %w", j.scope.ID, err)
	}
	span.Set(slog.Int64("records", j.scope.Records), slog.Int64("bytes", j.bag.bytes))
	e.logger.InfoContext(ctx, "exported a bag", "component", "custody", "export_id", j.scope.ID, "principal", who.Name,
		"records", j.scope.Records, "bytes", j.bag.bytes, "took", e.options.Now().Sub(began))
	return nil
}

// permitted refuses what a policy withholds: a bag holds exact bytes, and a
// masked record would not be the one that was archived.
func (e *Exporter) permitted(p *plan) error {
	for i := range p.streams {
		topic := p.streams[i].view.Stream.Topic
		why, by := "is secret", e.options.Policy.Of(topic).Secret.By
		if held := e.options.Policy.Of(topic); !held.Secret.Value {
			why, by = "holds personal data", held.Personal.By
		}
		if e.options.Policy.Of(topic).Restricts() {
			return schema.WithHint(schema.Errorf(schema.Permission, "topic %q %s, by %s of the configuration: it is not exported", topic, why, by),
				"leave the topic out")
		}
		if c := e.options.Contracts.SensitiveTopic(topic); c != nil {
			return schema.WithHint(schema.Errorf(schema.Permission, "topic %q may hold what contract %s (%s, version %s) calls sensitive: it is not exported", topic, c.File, c.Type, c.Version),
				"leave the topic out")
		}
	}
	return nil
}

// export is one export while it runs.
type export struct {
	*Exporter
	request *answer.ExportRequest
	plan    *plan
	window  window
	scope   scope
	spool   *spool
	bag     *bag
	lines   *spoolFile
	line    *lineWriter
	listed  []listed                         // the first records, for the report
	held    map[schema.Coordinates]*struct{} // of a trace: what is in the bag
}

func (e *Exporter) begin(r *answer.ExportRequest, p *plan, temporary *spool, w io.Writer) (*export, error) {
	j := &export{Exporter: e, request: r, plan: p, window: windowOf(r), spool: temporary}
	j.scope = scope{
		Format: Format, Query: queryOf(r, p.traceID), Unsealed: p.unsealed, Superseded: p.superseded,
		Older: append([]incarnation{}, p.older...), Streams: make([]streamScope, len(p.streams)),
	}
	for i := range p.streams {
		s := p.streams[i].view.Stream
		j.scope.Streams[i] = streamScope{
			Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
			statement: p.streams[i].state, Files: []fileScope{},
		}
	}
	if r.TraceID != "" {
		j.held = map[schema.Coordinates]*struct{}{}
	}
	var err error
	if j.scope.ID, err = exportID(j.scope.Query, j.scope.Streams); err != nil {
		return nil, err
	}
	if j.lines, err = temporary.create("records.jsonl"); err != nil {
		return nil, err
	}
	j.line = newLineWriter(j.lines)
	j.bag = newBag(w, "annals-export-"+j.scope.ID, e.options.Now())
	return j, nil
}

// run writes the payload.
func (j *export) run(ctx context.Context, who policy.Principal) (err error) {
	defer func() { err = errors.Join(err, j.lines.drop()) }()
	for i := range j.plan.streams {
		if err := j.stream(ctx, i); err != nil {
			return err
		}
	}
	if j.scope.Records == 0 {
		return j.plan.nothing(j.request)
	}
	if err := j.bag.payload(ctx, linesFile, j.lines.size, j.lines.content()); err != nil {
		return err
	}
	j.scope.Format = j.scope.format()
	text, err := j.scope.encode()
	if err != nil {
		return err
	}
	if err := j.bag.text(ctx, scopeFile, text); err != nil {
		return err
	}
	return j.report(ctx, who)
}

// info is bag-info.txt: what differs between two exports of the same.
func (e *Exporter) info(who policy.Principal, r *answer.ExportRequest, s *scope, began time.Time) []infoField {
	fields := []infoField{
		{"Bagging-Date", began.UTC().Format(time.DateOnly)},
		{"Bag-Software-Agent", oneLine(e.options.Agent)},
		{"External-Description", fmt.Sprintf("%d Kafka records from the audit archive", s.Records)},
	}
	if r.Case != "" {
		fields = append(fields, infoField{"External-Identifier", r.Case})
	}
	return append(fields,
		infoField{"Annals-Export-Format", s.Format},
		infoField{"Annals-Export-ID", s.ID},
		infoField{"Annals-Exported-At", clock(began)},
		infoField{"Annals-Requested-By", oneLine(who.Name)},
	)
}
