package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/demo/ecb"
)

const (
	// ratesPerDay says how many days of history make a batch, about.
	ratesPerDay = 32
	// warmUp is how many days before the live ones a further run begins with,
	// so that its windows are full when its first live day arrives: a window
	// of 20 returns and the one to hold against it need 21 rates before.
	warmUp = window + 1
)

// ErrStillRunning says that the live days cannot be run again yet.
var ErrStillRunning = errors.New("not all days have arrived yet")

// gateway publishes the fixing days. What it has published is what its topics
// say: it keeps nothing itself.
type gateway struct {
	cfg     Config
	log     *slog.Logger
	report  *reporter
	history []ecb.Day
	live    []ecb.Day
	before  []ecb.Day // the last days before the live ones, whatever the limits
}

// published is where a gateway left off.
type published struct {
	fixing   fixing
	rates    int64
	rejected int64
}

func newGateway(cfg Config, log *slog.Logger, report *reporter) (*gateway, error) {
	all, err := ecb.Load()
	if err != nil {
		return nil, fmt.Errorf("load rates: %w", err)
	}
	g := &gateway{cfg: cfg, log: log, report: report}
	g.history, g.live = cfg.days(all)
	for _, d := range all.Days {
		if d.Date.Before(LiveFrom) {
			g.before = append(g.before, d)
		}
	}
	g.before = g.before[len(g.before)-warmUp:]
	return g, nil
}

// session publishes what is missing; then it waits for a request to run the
// live days again, which it reports by returning true, or for the context.
func (g *gateway) session(ctx context.Context, again bool) (bool, error) {
	cl, at, err := g.open(ctx)
	if err != nil {
		return false, err
	}
	defer cl.Close()
	if again {
		if err := g.mayRunAgain(at); err != nil {
			g.log.Warn("not running again", "err", err)
		} else {
			at, err = g.begin(ctx, cl, at)
			if err != nil {
				return false, err
			}
		}
	}
	if at, err = g.publishRest(ctx, cl, at); err != nil || ctx.Err() != nil {
		return false, err
	}
	select { // a request from before is no request to do it once more
	case <-g.cfg.Again:
		g.log.Warn("not running again", "reason", ErrStillRunning)
	default:
	}
	g.log.Info("all days are published", "run", max(1, at.fixing.Run), "rates", at.rates, "rejected", at.rejected)
	g.tell(at, PhaseDone, len(g.live), len(g.live))
	g.report.flush()
	select {
	case <-ctx.Done():
		return false, nil
	case _, ok := <-g.cfg.Again:
		if !ok {
			<-ctx.Done()
		}
		return ok, nil
	}
}

// open connects, fences a predecessor, and finds where it left off.
func (g *gateway) open(ctx context.Context) (*kgo.Client, published, error) {
	opts, err := g.cfg.client(ECBGateway)
	if err != nil {
		return nil, published{}, err
	}
	cl, err := kgo.NewClient(append(opts, producer(ECBGateway)...)...)
	if err != nil {
		return nil, published{}, fmt.Errorf("open Kafka client: %w", err)
	}
	at, err := func() (published, error) {
		if err := ensureTopics(ctx, cl, TopicReceived, TopicRejected); err != nil {
			return published{}, err
		}
		if _, _, err := cl.ProducerID(ctx); err != nil {
			return published{}, fmt.Errorf("get producer id: %w", err)
		}
		return g.find(ctx, cl)
	}()
	if err != nil {
		cl.Close()
		return nil, published{}, err
	}
	return cl, at, nil
}

// peek says whether the live days may be run again, without becoming the
// gateway.
func (g *gateway) peek(ctx context.Context) error {
	opts, err := g.cfg.client(ECBGateway)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("open Kafka client: %w", err)
	}
	defer cl.Close()
	if err := ensureTopics(ctx, cl, TopicReceived, TopicRejected); err != nil {
		return err
	}
	at, err := g.find(ctx, cl)
	if err != nil {
		return err
	}
	return g.mayRunAgain(at)
}

// find reads the newest of its events in each partition: days are published
// in order and whole, so the one with the highest sequence says it all.
func (g *gateway) find(ctx context.Context, cl *kgo.Client) (published, error) {
	var at published
	event := func(r *kgo.Record) (e rateReceived, f fixing, own bool) {
		if decode(r, &e) != nil || e.SourceService != ECBGateway {
			return e, f, false
		}
		f, err := e.part().check()
		return e, f, err == nil
	}
	rates, err := newest(ctx, g.cfg, ECBGateway, cl, TopicReceived, func(r *kgo.Record) bool {
		_, _, own := event(r)
		return own
	})
	if err != nil {
		return at, err
	}
	for _, r := range rates {
		if e, f, _ := event(r); e.Sequence > at.rates {
			at.rates, at.fixing = e.Sequence, f
		}
	}
	cells, err := newest(ctx, g.cfg, ECBGateway, cl, TopicRejected, func(r *kgo.Record) bool {
		return headerValue(r, "sourceService") == ECBGateway && decode(r, &rejectedCell{}) == nil
	})
	if err != nil {
		return at, err
	}
	for _, r := range cells {
		var cell rejectedCell
		if err := decode(r, &cell); err != nil {
			return at, err
		}
		at.rejected = max(at.rejected, cell.Sequence)
	}
	return at, nil
}

// publishRest publishes the days of the current run that are not there yet.
func (g *gateway) publishRest(ctx context.Context, cl *kgo.Client, at published) (published, error) {
	at.fixing.Run = max(1, at.fixing.Run)
	if at.fixing.Run == 1 {
		if at.rates > 0 {
			g.log.Info("going on after what is published", "fixing_day", at.fixing.Day.String(), "rates", at.rates)
		}
		rest := after(g.history, at.fixing.Day, at.rates)
		for len(rest) > 0 && ctx.Err() == nil {
			n := min(len(rest), max(1, g.cfg.Batch/ratesPerDay))
			var err error
			if at, err = g.publish(ctx, cl, at, rest[:n]); err != nil {
				return at, err
			}
			rest = rest[n:]
			g.tell(at, PhaseHistory, len(g.history)-len(rest), len(g.history))
		}
	}
	g.report.flush()
	rest := after(g.live, at.fixing.Day, at.rates)
	if len(rest) == 0 {
		return at, nil
	}
	g.tell(at, PhaseLive, len(g.live)-len(rest), len(g.live))
	g.report.flush()
	tick := time.NewTicker(g.cfg.LiveInterval)
	defer tick.Stop()
	for len(rest) > 0 {
		select {
		case <-ctx.Done():
			return at, nil
		case <-tick.C:
		}
		var err error
		if at, err = g.publish(ctx, cl, at, rest[:1]); err != nil {
			return at, err
		}
		rest = rest[1:]
		g.tell(at, PhaseLive, len(g.live)-len(rest), len(g.live))
	}
	return at, nil
}

// after are the days that follow the last published one.
func after(days []ecb.Day, last day, published int64) []ecb.Day {
	if published == 0 {
		return days
	}
	for i := range days {
		if dayOf(days[i].Date) > last {
			return days[i:]
		}
	}
	return nil
}

// mayRunAgain refuses while days of the current run are missing.
func (g *gateway) mayRunAgain(at published) error {
	if len(g.live) == 0 {
		return errors.New("there are no live days among the days to publish")
	}
	if last := dayOf(g.live[len(g.live)-1].Date); at.rates == 0 || at.fixing.Day < last {
		return fmt.Errorf("%w: the last is %s, published up to %s", ErrStillRunning, last, at.fixing.Day)
	}
	return nil
}

// begin starts a further run with the days before the live ones.
func (g *gateway) begin(ctx context.Context, cl *kgo.Client, at published) (published, error) {
	at.fixing.Run++
	g.log.Info("running the live days again", "run", at.fixing.Run)
	return g.publish(ctx, cl, at, g.before)
}

// publish publishes days as one transaction, and returns where that leads.
func (g *gateway) publish(ctx context.Context, cl *kgo.Client, at published, days []ecb.Day) (published, error) {
	// What is begun is ended, also when the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	var records []*kgo.Record
	for i := range days {
		at.fixing.Day = dayOf(days[i].Date)
		rs, err := dayEvents(&at, &days[i])
		if err != nil {
			return at, err
		}
		records = append(records, rs...)
	}
	if err := cl.BeginTransaction(); err != nil {
		return at, fmt.Errorf("begin transaction: %w", err)
	}
	if err := produce(ctx, cl, records); err != nil {
		return at, errors.Join(err, cl.EndTransaction(ctx, kgo.TryAbort))
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return at, fmt.Errorf("end transaction: %w", err)
	}
	return at, nil
}

// dayEvents are the events of one fixing day: one trace, W3C headers, the
// contract in the body. It counts them in at.
func dayEvents(at *published, d *ecb.Day) ([]*kgo.Record, error) {
	trace := randomID()
	fixed := at.fixing.Day.fixedAt()
	records := make([]*kgo.Record, 0, len(d.Quotes)+len(d.Gaps))
	for i, q := range d.Quotes {
		at.rates++
		when := fixed.Add(time.Duration(i) * time.Millisecond)
		event := rateReceived{
			contract: contract{
				EventID:       randomID(),
				EventType:     eventReceived,
				EventVersion:  at.fixing.Day.version(),
				SourceService: ECBGateway,
				TraceID:       trace,
				Timestamp:     when.Format(stampFormat),
			},
			Run:           at.fixing.Run,
			Sequence:      at.rates,
			FixingDate:    at.fixing.Day.String(),
			Base:          "EUR",
			Currency:      q.Currency,
			Rate:          json.Number(q.Rate),
			RatesInFixing: len(d.Quotes),
			Provider:      ecb.Provider,
			File:          ecb.File,
			Line:          d.Line,
		}
		if event.EventVersion >= 2 {
			event.Fixing = fixingRule
		}
		value, err := encode(event)
		if err != nil {
			return nil, err
		}
		records = append(records, &kgo.Record{
			Topic:     TopicReceived,
			Key:       []byte(q.Currency),
			Value:     value,
			Timestamp: when,
			Headers: []kgo.RecordHeader{
				header("traceparent", traceparent(trace)),
				header("content-type", "application/json"),
			},
		})
	}
	for _, gap := range d.Gaps {
		at.rejected++
		r, err := reject(at.fixing, d, gap, trace, at.rejected, fixed)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

func (g *gateway) tell(at published, phase Phase, days, total int) {
	p := Progress{
		Service: ECBGateway, Phase: phase, Run: max(1, at.fixing.Run),
		In: at.rates + at.rejected, Out: at.rates, Dead: at.rejected,
		Days: days, TotalDays: total, HistoryDays: len(g.history),
	}
	if at.rates > 0 {
		p.Day = at.fixing.Day.String()
	}
	g.report.report(p)
}
