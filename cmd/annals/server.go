package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
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
}

// run serves until ctx ends; with the role serve it works on replays too.
func (s *serving) run(ctx context.Context, roles []string) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(running) })
	group.Go(func() error { s.health.Watch(running); return nil })
	if slices.Contains(roles, "serve") {
		group.Go(func() error { return s.jobs.Work(running) })
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
		Bucket: p.store.Bucket(), Prefix: p.store.Prefix(), Logger: p.log,
		ScanBytes: int64(p.cfg.Search.ScanBytes), ScanTime: p.cfg.Search.ScanTime.Std(),
	}
	if options.Chosen, err = p.cfg.Kafka.Topics.Filter(); err != nil {
		return nil, err
	}
	if a != nil {
		options.Archiver = a.Topics
	}
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
		Principal: func(*http.Request) (policy.Principal, error) { return policy.Everything(), nil },
	}, services)
	if err != nil {
		return nil, err
	}
	p.registry.MustRegister(server.Collectors()...)
	return &serving{server, jobs, health}, nil
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
	return replay.New(replay.Options{
		PositionTopic: p.cfg.Replay.PositionTopic, PositionReplication: int16(p.cfg.Replay.PositionReplication),
		Worker: p.writer, Logger: p.log, Registerer: p.registry, Tracer: p.tracer,
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
