package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/snapshot"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// parts are the clients that every role is made of.
type parts struct {
	cfg       config.Config
	log       *slog.Logger
	registry  *prometheus.Registry
	kafka     kafka.Options
	store     *objstore.Store
	book      *ledger.Ledger
	index     *index.Index
	rules     *extract.Rules
	policy    *policy.Rules
	contracts *contract.Registry // nil: none
	tracer    *telemetry.Tracer  // nil: nothing is traced
	looks     *snapshot.Metrics  // made with the archiver
	writer    string             // names this process in commits and leases
	tempDir   string             // of exports and compactions; "": the system's
	spoolDir  string             // of the spool, where none is configured; "": there is none
	closers   []func()
}

// connect makes the clients. Nothing is dialled yet.
func connect(cfg config.Config, log *slog.Logger) (*parts, error) {
	p := &parts{cfg: cfg, log: log, registry: telemetry.NewRegistry(telemetry.Version())}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("ask for the host's name: %w", err)
	}
	p.writer = fmt.Sprintf("%s/%d", host, os.Getpid())
	if p.kafka, err = kafkaOptions("kafka", cfg.Kafka, log); err != nil {
		return nil, err
	}
	if p.store, err = openStore(cfg.S3, log); err != nil {
		return nil, err
	}
	p.registry.MustRegister(p.store.Collectors()...)
	p.book = ledger.New(p.store, log)
	if p.index, err = openIndex(&cfg, log); err != nil {
		return nil, err
	}
	if p.policy, err = cfg.Policies(); err != nil {
		return nil, err
	}
	if cfg.Contracts.Dir != "" {
		if p.contracts, err = contract.Load(cfg.Contracts.Dir); err != nil {
			return nil, fmt.Errorf("contracts.dir: %w", err)
		}
	}
	rules := cfg.Extract.Options()
	rules.Policy, rules.Contracts = p.policy, p.contracts
	if rules.Decoder, err = p.openSchemas(cfg.Schemas); err != nil {
		return nil, err
	}
	if p.rules, err = extract.New(rules); err != nil {
		return nil, err
	}
	if p.tracer, err = openTracer(cfg.Telemetry.OTLP, p.writer, log); err != nil {
		return nil, err
	}
	p.registry.MustRegister(p.tracer.Collectors()...)
	return p, nil
}

func (p *parts) close() error {
	for _, shut := range p.closers {
		shut()
	}
	p.store.Close()
	err := p.index.Close()
	closing, cancel := context.WithTimeout(context.Background(), lastTraces)
	defer cancel()
	if late := p.tracer.Close(closing); late != nil {
		p.log.Warn("the last traces were not sent", "component", "traces", "err", late)
	}
	return err
}

// lastTraces is how long a process waits at its end for its traces to be taken.
const lastTraces = 3 * time.Second

// firstMigration is how long the first attempt may keep the archiver waiting.
const firstMigration = 10 * time.Second

// tables makes the index's tables before the archiver starts, where the index
// answers: what is fed to tables that are not there yet has to be read from S3
// again later. An index that does not answer is migrate's to wait for and to
// complain of.
func (p *parts) tables(ctx context.Context) {
	first, cancel := context.WithTimeout(ctx, firstMigration)
	defer cancel()
	if err := p.index.Migrate(first); err != nil {
		p.log.Debug("the index has no tables yet", "component", "index", "err", err)
	}
}

// migrate makes the index's tables, and waits for an index that is away: the
// archive does not need it, search does.
func (p *parts) migrate(ctx context.Context) error {
	for pauses := retry.Between(500*time.Millisecond, time.Minute); ; {
		err := p.index.Migrate(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		wait := pauses.Next()
		p.log.Warn("the index is not ready; archiving goes on", "component", "index", "err", err, "retry_in", wait.Round(time.Millisecond).String())
		if retry.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// archiver makes the archiver of this process. instance makes its group
// membership static, if it is not empty; recheck says that the engines were not
// stopped cleanly.
func (p *parts) archiver(instance string, recheck bool) (*archiver.Archiver, error) {
	topics, err := p.cfg.Archived()
	if err != nil {
		return nil, err
	}
	p.looks = snapshot.NewMetrics(p.registry)
	cut := p.cfg.Archive.Cut
	compact := p.cfg.Archive.Compact
	spool := archiver.Spool{Dir: p.cfg.Archive.Spool.Dir, Bytes: int64(p.cfg.Archive.Spool.Bytes)}
	if spool.Dir == "" {
		spool.Dir = p.spoolDir
	}
	if spool.Bytes > 0 && spool.Dir == "" {
		return nil, schema.InvalidField("archive.spool.dir", "archive.spool.dir: name a folder on a local disk for the spool of %v", p.cfg.Archive.Spool.Bytes)
	}
	return archiver.New(archiver.Options{
		Kafka: p.kafka, Tail: kafka.ConsumerOptions{Group: p.cfg.Archive.Group, InstanceID: instance},
		Topics: topics, Named: p.cfg.Kafka.Topics.Named(), StartLatest: p.cfg.Archive.Start == "latest", Discovery: p.cfg.Kafka.MetadataMaxAge.Std(),
		Cut: archiver.Cut{
			Bytes: int64(cut.Bytes), MinBytes: int64(cut.MinBytes), Age: cut.Age.Std(), MaxAge: cut.MaxAge.Std(),
		},
		Compact: archiver.Compact{
			Off: !compact.Enabled, Target: int64(compact.Target), After: compact.After.Std(), Rate: int64(compact.Rate), TempDir: p.tempDir,
		},
		Collect:     archiver.Collect{Off: !p.cfg.Archive.Collect.Enabled, After: p.cfg.Archive.Collect.After.Std()},
		LetterTopic: p.cfg.Archive.DeadLetters.Topic,
		Recheck:     recheck, Memory: int64(p.cfg.Archive.Memory.Bytes), Spool: spool, Feed: archiver.Feed{Rows: p.cfg.Index.Batch.Rows, Every: p.cfg.Index.Batch.Interval.Std()},
		Writer: p.writer, Build: telemetry.Version().String(),
		Logger: p.log, Registerer: p.registry, Series: p.cfg.Metrics.Partitions.Max, Tracer: p.tracer,
	}, p.store, p.book, p.index, p.rules)
}

// snapshots archives what consumer groups have committed and the topics' access rules,
// until ctx ends.
func (p *parts) snapshots(ctx context.Context) error {
	every := p.cfg.Archive.Snapshots.Interval.Std()
	if every == 0 {
		return nil
	}
	admin, err := kafka.NewAdmin(p.kafka)
	if err != nil {
		return err
	}
	defer admin.Close()
	return snapshot.NewRecorder(admin, p.store, every, p.looks, p.log).Run(ctx)
}

// runRole runs one role on the user's own engines; archive makes the archiver,
// if the role has one.
func runRole(ctx context.Context, in *invocation, s settings, role string, archive func(*parts) (*archiver.Archiver, error)) (err error) {
	cfg, log, err := s.load(in)
	if err != nil {
		return err
	}
	if err := cfg.RequireEngines(); err != nil {
		return err
	}
	if archive != nil { // what serves lives on less, with Go's own pace of collection
		limitMemory(cfg.Archive.Memory.Bytes, 0)
	}
	p, err := connect(cfg, log)
	if err != nil {
		return err
	}
	defer both(&err, p.close)
	var a *archiver.Archiver
	if archive != nil {
		if a, err = archive(p); err != nil {
			return err
		}
	}
	roles := []string{role}
	server, err := p.server(roles, a, false)
	if err != nil {
		return err
	}
	if _, err := server.Listen(); err != nil {
		return err
	}
	p.tables(ctx)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return p.migrate(running) })
	group.Go(func() error { return server.run(running, roles) })
	if a != nil {
		group.Go(func() error { return a.Run(running) })
		group.Go(func() error { return p.snapshots(running) })
	}
	return group.Wait()
}

// both joins what two stops say.
func both(err *error, stop func() error) {
	*err = errors.Join(*err, stop())
}

// besideBuffers is what an archiver needs beside its buffers and their
// garbage: fetches under way, encoders, blocks for the index.
const besideBuffers = 264 << 20

// garbagePercent lets garbage grow to several times of what is in use, up to
// the limit: with Go's own 100 an archiver whose buffers are half full collects
// at half of what it may take, twice as often.
const garbagePercent = 400

// limitMemory tells the garbage collector what an archiver with such buffers,
// and what else is in the process, may take, so that garbage does not double
// them. A limit near what is in use would have it do little else: half of the
// CPU went there. GOMEMLIMIT and GOGC, if set, have the last word.
func limitMemory(buffers config.Bytes, beside int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(2*int64(buffers) + besideBuffers + beside)
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(garbagePercent)
		}
	}
}
