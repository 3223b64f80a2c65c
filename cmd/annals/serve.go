package main

import (
	"context"
	"net/http"
	"sync"
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

// serveCommand is annals serve.
type serveCommand struct {
	settings
}

// Run implements kong's command.
func (c *serveCommand) Run(ctx context.Context, in *invocation) error {
	return runRoles(ctx, in, c.settings, []string{"serve"})
}

// archiveCommand is annals archive.
type archiveCommand struct {
	settings
	Instance string `placeholder:"NAME" help:"Static name in the consumer group (a StatefulSet's pod name, say): a restart takes the partitions back at once."`
}

// Run implements kong's command.
func (c *archiveCommand) Run(ctx context.Context, in *invocation) error {
	return runRoles(ctx, in, c.settings, []string{"archive"}, c.Instance)
}

// runRoles runs roles on the user's own engines.
func runRoles(ctx context.Context, in *invocation, s settings, roles []string, instance ...string) (err error) {
	cfg, log, err := s.load(in)
	if err != nil {
		return err
	}
	if err := cfg.RequireEngines(); err != nil {
		return err
	}
	limitMemory(2 * int64(cfg.Archive.Memory.Bytes))
	p, err := connect(cfg, log)
	if err != nil {
		return err
	}
	defer both(&err, p.close)
	var a *archiver.Archiver
	if roles[0] == "archive" {
		if a, err = p.archiver(append(instance, "")[0], false); err != nil {
			return err
		}
	}
	server, jobs, err := p.server(roles, a, false)
	if err != nil {
		return err
	}
	if _, err := server.Listen(); err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return p.migrate(running) })
	group.Go(func() error { return server.Run(running) })
	if a != nil {
		group.Go(func() error { return a.Run(running) })
	} else {
		group.Go(func() error { return jobs.Work(running) })
	}
	return group.Wait()
}

// server makes the web server of this process, and the replay service whose
// Work a process with the role serve runs; a is nil where it does not archive.
func (p *parts) server(roles []string, a *archiver.Archiver, demo bool) (*web.Server, *replay.Service, error) {
	admin, err := kafka.NewAdmin(p.kafka)
	if err != nil {
		return nil, nil, err
	}
	p.closers = append(p.closers, admin.Close)
	fresh, err := kafka.NewReader(p.kafka)
	if err != nil {
		return nil, nil, err
	}
	engine, err := query.New(query.Options{
		Index: p.index, Store: p.store, Ledger: p.book, Extract: p.rules, Broker: admin, Fresh: fresh,
		Bucket: p.store.Bucket(), Prefix: p.store.Prefix(), Logger: p.log,
	})
	if err != nil {
		return nil, nil, err
	}
	jobs, err := p.replayService(engine)
	if err != nil {
		return nil, nil, err
	}
	exporter, err := custody.New(custody.Options{
		Store: p.store, Ledger: p.book, Traces: exportTraces{traces{engine}}, Lineages: lineages{engine},
		Agent: "annals " + telemetry.Version().String(), Logger: p.log,
	})
	if err != nil {
		return nil, nil, err
	}
	services := web.Services{
		Queries: queries{engine}, Replays: replays{jobs}, Exports: exports{exporter}, Health: p.health(admin, a),
	}
	if a != nil {
		services.Sealer = sealer{a}
	}
	server, err := web.New(web.Options{
		Listen: p.cfg.Web.Listen, AllowedHosts: p.cfg.Web.AllowedHosts, Registry: p.registry,
		Build: telemetry.Version().String(), Roles: roles, Demo: demo, Logger: p.log,
		Principal: func(*http.Request) (policy.Principal, error) { return policy.Everything(), nil },
	}, services)
	return server, jobs, err
}

func (p *parts) replayService(engine *query.Engine) (*replay.Service, error) {
	connection, err := replay.Connect(p.kafka)
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, connection.Close)
	return replay.New(replay.Options{
		PositionTopic: p.cfg.Replay.PositionTopic, PositionReplication: int16(p.cfg.Replay.PositionReplication),
		Worker: p.writer, Logger: p.log, Registerer: p.registry,
	}, connection, p.store, p.book, traces{engine})
}

// sealer is the archiver as the web API asks it.
type sealer struct{ a *archiver.Archiver }

// Seal implements web.Sealer.
func (s sealer) Seal(ctx context.Context, wait bool) (int, int64, error) {
	sealed, err := s.a.Seal(ctx, wait)
	return sealed.Partitions, sealed.Records, err
}

// health asks the dependencies at most every two seconds, in the background of
// the request that finds the last answer too old.
func (p *parts) health(admin *kafka.Admin, a *archiver.Archiver) func() map[string]string {
	var mu sync.Mutex
	state := map[string]string{"kafka": "not asked yet", "store": "not asked yet", "index": "not asked yet"}
	var asked time.Time
	check := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		said := func(err error) string {
			if err == nil {
				return ""
			}
			return err.Error()
		}
		now := map[string]string{"kafka": said(admin.Ping(ctx)), "store": said(p.store.Ping(ctx)), "index": said(p.index.Ping(ctx))}
		if a != nil {
			for what, trouble := range a.Health() {
				if now[what] == "" {
					now[what] = trouble
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		state = now
	}
	asked = time.Now()
	go check()
	return func() map[string]string {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) > 2*time.Second {
			asked = time.Now()
			go check()
		}
		return state
	}
}
