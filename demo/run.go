package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Run runs one service (see [Services]) until the context ends, which is no
// error. When Kafka fails it, it starts over from what is committed, waiting
// longer each time, for as long as it takes. It returns an error when the
// configuration is wrong or when another process of the same name has taken
// over.
func Run(ctx context.Context, name string, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if !slices.Contains(Services(), name) {
		return fmt.Errorf("unknown service %q: there are %s", name, strings.Join(Services(), ", "))
	}
	cfg = cfg.withDefaults()
	log := cfg.Logger.With("component", name)
	report := newReporter(cfg.Progress)
	if name == ECBGateway {
		g, err := newGateway(cfg, log, report)
		if err != nil {
			return err
		}
		return g.run(ctx)
	}
	return persist(ctx, log, func(ctx context.Context) error {
		t := &transactor{name: name, cfg: cfg, log: log, report: report}
		switch name {
		case RateEnricher:
			t.inputs, t.outputs, t.step = []string{TopicReceived}, []string{TopicEnriched}, newEnricher()
			t.cfg.AbortEvery = 0
		case RiskEngine:
			t.inputs, t.outputs, t.step = []string{TopicEnriched}, []string{TopicVolatility, TopicExposure}, newEngine()
		case RiskAlerts:
			t.inputs, t.outputs, t.step = []string{TopicVolatility, TopicExposure}, []string{TopicAlerts}, newAlerting()
			t.cfg.AbortEvery = 0
		}
		return t.session(ctx)
	})
}

// RunAgain publishes the live days once more, as a further run with new trace
// ids, and returns when the last has arrived. It takes ecb-gateway's place
// while it does; the other services must be running. It returns
// [ErrStillRunning] while days of the run before are still to come.
func RunAgain(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	g, err := newGateway(cfg, cfg.Logger.With("component", ECBGateway), newReporter(cfg.Progress))
	if err != nil {
		return err
	}
	if err := g.peek(ctx); err != nil {
		return err // before taking anybody's place
	}
	cl, at, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if at, err = g.begin(ctx, cl, at); err != nil {
		return err
	}
	if at, err = g.publishRest(ctx, cl, at); err != nil {
		return err
	}
	if ctx.Err() == nil {
		g.tell(at, PhaseDone, len(g.live), len(g.live))
	}
	g.report.flush()
	return nil
}

func (g *gateway) run(ctx context.Context) error {
	again := false
	return persist(ctx, g.log, func(ctx context.Context) error {
		for ctx.Err() == nil {
			next, err := g.session(ctx, again)
			if err != nil {
				return err // a run that had begun is found in the topic
			}
			again = next
		}
		return nil
	})
}

// persist runs sessions until one ends without an error.
func persist(ctx context.Context, log *slog.Logger, session func(context.Context) error) error {
	const first, longest = 100 * time.Millisecond, 10 * time.Second
	wait := first
	for {
		began := time.Now()
		err := session(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case fenced(err):
			return fmt.Errorf("another process of the same name has taken over: %w", err)
		case errors.Is(err, errReassigned):
			log.Info("starting over", "reason", err)
		default:
			log.Warn("starting over", "err", err, "after", wait.String())
		}
		if time.Since(began) > longest {
			wait = first
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait)): // jitter: services fail together
		}
		wait = min(2*wait, longest)
	}
}
