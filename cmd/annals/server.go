package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/web"
)

// serving is what answers the web API in this process.
type serving struct {
	*web.Server
	jobs   *replay.Service
	health *web.Health
	watch  *query.Watch // nil without the role serve
}

// run serves until ctx ends; with the role serve it works on replays too, and looks
// for anomalies.
func (s *serving) run(ctx context.Context, roles []string) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(running) })
	group.Go(func() error { s.health.Watch(running); return nil })
	if slices.Contains(roles, "serve") {
		group.Go(func() error { return s.jobs.Work(running) })
		group.Go(func() error { s.watch.Run(running); return nil })
	}
	return group.Wait()
}

// server makes what answers the web API; a is nil where this process does not
// archive.
func (p *parts) server(roles []string, a *archiver.Archiver, demo bool) (*serving, error) {
	admin, err := kafka.NewAdmin(p.kafka)
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, admin.Close)
	fresh, err := kafka.NewReader(p.kafka)
	if err != nil {
		return nil, err
	}
	options := query.Options{
		Index: p.index, Store: p.store, Ledger: p.book, Extract: p.rules, Policy: p.policy, Contracts: p.contracts, Broker: admin, Consumers: admin.Consumers, Fresh: fresh,
		Bucket: p.store.Bucket(), Prefix: p.store.Prefix(), Logger: p.log, Sandbox: p.cfg.Replay.SandboxPrefix,
		ScanBytes: int64(p.cfg.Search.ScanBytes), ScanTime: p.cfg.Search.ScanTime.Std(),
		// Without a registry: a scan must not use up how often the archiver may ask it.
		Schemas: registry.NewDecoder(registry.Options{Store: p.store, Name: p.cfg.Schemas.Name, Timeout: p.cfg.Schemas.Timeout.Std()}),
	}
	if options.Chosen, err = p.cfg.Kafka.Topics.Filter(); err != nil {
		return nil, err
	}
	if a != nil {
		options.Archiver = a.Topics
	}
	options.Anomalies = anomalyRules(p.cfg.Anomalies)
	engine, err := query.New(options)
	if err != nil {
		return nil, err
	}
	jobs, err := p.replayService(engine)
	if err != nil {
		return nil, err
	}
	exporter, err := custody.New(custody.Options{
		Store: p.store, Ledger: p.book, Traces: engine, Fresh: engine, Policy: p.policy, Contracts: p.contracts,
		TempDir: p.tempDir, Agent: "annals " + telemetry.Version().String(), Logger: p.log, Tracer: p.tracer,
	})
	if err != nil {
		return nil, err
	}
	health := web.NewHealth(map[string]func(context.Context) error{"kafka": admin.Ping, "store": p.store.Ping, "index": p.index.Ping})
	if a != nil {
		health.Also = a.Health
	}
	services := web.Services{
		Queries: engine, Replays: jobs, Exports: exporter, Health: health.Now,
	}
	if a != nil {
		services.Sealer, services.Lag, services.Alive = sealer{a}, lagOf(a), a.Alive
	}
	server, err := web.New(web.Options{
		Listen: p.cfg.Web.Listen, AllowedHosts: p.cfg.Web.AllowedHosts, Registry: p.registry,
		Build: telemetry.Version().String(), Roles: roles, Demo: demo, Logger: p.log, Tracer: p.tracer,
		Principal: web.Claimed,
	}, services)
	if err != nil {
		return nil, err
	}
	p.registry.MustRegister(server.Collectors()...)
	var watch *query.Watch
	if slices.Contains(roles, "serve") {
		watch = query.NewWatch(engine, p.cfg.Anomalies.Interval.Std(), p.log)
		p.registry.MustRegister(watch.Collectors()...)
	}
	return &serving{server, jobs, health, watch}, nil
}

func anomalyRules(c config.Anomalies) query.AnomalyRules {
	const percent = 0.01
	return query.AnomalyRules{
		Settle: c.Settle.Std(), DropBelow: percent * float64(c.DropBelow), LeastRecords: int64(c.LeastRecords),
		RiseAbove: float64(c.RiseAbove), LeastLetters: int64(c.LeastLetters),
		MismatchAbove: percent * float64(c.MismatchAbove), LeastBroken: int64(c.LeastMismatches),
		Lag: c.Lag.Std(), GapsWithin: c.GapsWithin.Std(),
	}
}

// lagOf is the archiver's lag as /readyz shows it.
func lagOf(a *archiver.Archiver) func() web.Lag {
	return func() web.Lag {
		lag := a.Lag()
		return web.Lag{
			Behind: lag.Behind, Partitions: lag.Partitions, Records: lag.Records,
			Seconds: lag.Oldest.Seconds(), Retention: lag.Retention, Worst: lag.Worst,
		}
	}
}

func (p *parts) replayService(engine *query.Engine) (*replay.Service, error) {
	connection, err := replay.Connect(p.kafka)
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, connection.Close)
	r := p.cfg.Replay
	clusters := map[string]replay.Brokers{}
	for i := range r.Clusters {
		section := fmt.Sprintf("replay.clusters[%d]", i)
		options, err := kafkaOptions(section, r.Clusters[i].Kafka(p.cfg.Kafka), p.log)
		if err != nil {
			return nil, err
		}
		other, err := replay.Connect(options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", section, err)
		}
		p.closers = append(p.closers, other.Close)
		clusters[r.Clusters[i].Name] = other
	}
	return replay.New(replay.Options{
		PositionTopic: r.PositionTopic, PositionReplication: int16(r.PositionReplication),
		Approval: r.Approval, Sandbox: r.SandboxPrefix, ApprovalExpiry: r.ApprovalExpires.Std(),
		Limits:   replay.Limits{Jobs: r.UserJobs, Records: float64(r.UserRecordsPerSecond), Bytes: float64(r.UserBytesPerSecond)},
		Clusters: clusters, Worker: p.writer, Extract: p.rules, Policy: p.policy, Contracts: p.contracts,
		Logger: p.log, Registerer: p.registry, Tracer: p.tracer,
	}, connection, p.store, p.book, engine)
}

// sealer is the archiver as the web API asks it.
type sealer struct{ a *archiver.Archiver }

// indexPatience bounds how long a seal waits for the index too.
const indexPatience = 10 * time.Second

// Seal implements web.Sealer. With wait it lets the index follow, so that a
// search right after it says sealed; an index that is away keeps nobody.
func (s sealer) Seal(ctx context.Context, wait bool) (int, int64, error) {
	sealed, err := s.a.Seal(ctx, wait)
	if err == nil && wait {
		bounded, cancel := context.WithTimeout(ctx, indexPatience)
		defer cancel()
		_ = s.a.Indexed(bounded) // the ledger has it, which is what was asked for
	}
	return sealed.Partitions, sealed.Records, err
}
