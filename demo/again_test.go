package demo_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/demo"
)

// watch collects what a service says of itself.
type watch struct {
	mu   sync.Mutex
	last map[string]demo.Progress
}

func (w *watch) see(p demo.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[string]demo.Progress{}
	}
	w.last[p.Service] = p
}

func (w *watch) of(service string) demo.Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[service]
}

// A second start finds what the first has published and goes on after it.
func TestGatewayResumes(t *testing.T) {
	brokers := kafka(t)
	from, middle, to := date("2023-11-01"), date("2023-12-15"), date("2024-01-12")
	var w watch
	cfg := config(brokers, from, middle)
	cfg.Progress = w.see
	stop := run(t, cfg, demo.ECBGateway)
	eventually(t, "the first days", func() bool { return w.of(demo.ECBGateway).Phase == demo.PhaseDone })
	stop()
	for range 2 { // the second time there is nothing to do
		w = watch{}
		cfg = config(brokers, from, to)
		cfg.Progress = w.see
		stop = run(t, cfg, demo.ECBGateway)
		eventually(t, "all days", func() bool { return w.of(demo.ECBGateway).Phase == demo.PhaseDone })
		stop()
	}
	e := expect(t, from, to)
	records := committed(t, brokers, demo.TopicReceived, e.rates)
	if len(records) != e.rates {
		t.Fatalf("%d rates, want %d", len(records), e.rates)
	}
	verifyReceived(t, pipeline{received: records}, e)
	if p := w.of(demo.ECBGateway); p.Out != int64(e.rates) || p.Day != to.Format(time.DateOnly) {
		t.Errorf("progress %+v, want %d rates up to %s", p, e.rates, to.Format(time.DateOnly))
	}
}

// The live days arrive again with new traces, and their windows are full from
// the first day on.
func TestLiveDaysRunAgain(t *testing.T) {
	brokers := kafka(t)
	from, to := date("2023-12-01"), date("2024-01-10")
	var w watch
	again := make(chan struct{})
	cfg := config(brokers, from, to)
	cfg.Progress, cfg.Again = w.see, again
	run(t, cfg, demo.RateEnricher, demo.RiskEngine, demo.RiskAlerts)
	slow := cfg
	slow.LiveInterval = time.Hour
	stop := run(t, slow, demo.ECBGateway)
	eventually(t, "the live days", func() bool { return w.of(demo.ECBGateway).Phase == demo.PhaseLive })
	if err := demo.RunAgain(t.Context(), cfg); !errors.Is(err, demo.ErrStillRunning) {
		t.Fatalf("running again in the middle of a run: %v, want %v", err, demo.ErrStillRunning)
	}
	stop()
	run(t, cfg, demo.ECBGateway)
	eventually(t, "the first run", func() bool { return w.of(demo.ECBGateway).Phase == demo.PhaseDone })
	again <- struct{}{}
	eventually(t, "the second run", func() bool {
		p := w.of(demo.ECBGateway)
		return p.Phase == demo.PhaseDone && p.Run == 2
	})
	// A third run by another process; the idle gateway notices nothing.
	other := config(brokers, from, to)
	if err := demo.RunAgain(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	first, live := expect(t, from, to), expect(t, demo.LiveFrom, to)
	perDay := 0 // volatilities: every currency of every live day
	for _, d := range live.days {
		perDay += len(d.Quotes)
	}
	// A further run's windows are full from its last day before 2024 on.
	warm := len(expect(t, date("2023-12-29"), date("2023-12-29")).days[0].Quotes)
	want := first.volatilities + 2*(perDay+warm)
	records := committed(t, brokers, demo.TopicVolatility, want)
	if len(records) != want {
		t.Errorf("%d volatilities, want %d", len(records), want)
	}
	byRun := map[float64]int{}
	traces := map[string]map[string]bool{}
	for _, r := range records {
		b := body(t, r)
		run, day := b["run"].(float64), b["fixingDate"].(string)
		if day >= "2024-01-01" {
			byRun[run]++
			if run > 1 && b["sigmas"] == nil && b["priorVolatilityPercent"] == nil {
				t.Fatalf("%s: nothing to hold the move against in run %v", r.Value, run)
			}
		}
		if traces[day] == nil {
			traces[day] = map[string]bool{}
		}
		traces[day][one(t, r, "traceId")] = true
	}
	for _, run := range []float64{2, 3} {
		if byRun[run] != perDay {
			t.Errorf("run %v has %d volatilities of live days, want %d", run, byRun[run], perDay)
		}
	}
	if n := len(traces["2024-01-10"]); n != 3 {
		t.Errorf("the last day has %d traces, want 3", n)
	}
	exposures := committed(t, brokers, demo.TopicExposure, 3*(len(first.days)+2*(21+len(live.days))))
	if want := 3 * (len(first.days) + 2*(21+len(live.days))); len(exposures) != want {
		t.Errorf("%d exposures, want %d", len(exposures), want)
	}
}

// What cannot be processed goes to dead letters with its context, and what
// comes after it is processed.
func TestDeadLetters(t *testing.T) {
	brokers := kafka(t)
	from, to := date("2023-12-18"), date("2023-12-29")
	run(t, config(brokers, from, to), demo.Services()...)
	e := expect(t, from, to)
	exposures := committed(t, brokers, demo.TopicExposure, e.exposures)
	cl := client(t, brokers)
	bad := []*kgo.Record{
		{Topic: demo.TopicReceived, Key: []byte("USD"), Value: []byte(`{"currency":`), Headers: []kgo.RecordHeader{{Key: "mine", Value: []byte("kept")}}},
		{Topic: demo.TopicReceived, Key: nil, Value: nil},
		{Topic: demo.TopicReceived, Key: []byte("USD"), Value: []byte(`{"eventId":"x"}`)},
		{Topic: demo.TopicEnriched, Key: []byte("USD"), Value: []byte(`[]`)},
		{Topic: demo.TopicExposure, Key: []byte("p"), Value: []byte(`{"fixingDate":"2023-12-18"}`)},
	}
	for _, r := range bad {
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var dead []*kgo.Record
	for topic, n := range map[string]int{demo.TopicRejected: 3, demo.TopicEnriched + ".dlq": 1, demo.TopicExposure + ".dlq": 1} {
		dead = append(dead, committed(t, brokers, topic, n)...)
	}
	if len(dead) != len(bad) {
		t.Fatalf("%d dead letters, want %d", len(dead), len(bad))
	}
	for _, r := range dead {
		for _, name := range []string{"__streams.errors.exception", "__streams.errors.message", "__streams.errors.topic", "__streams.errors.partition", "__streams.errors.offset", "x-source-service"} {
			if one(t, r, name) == "" {
				t.Errorf("header %s of a dead letter is empty", name)
			}
		}
	}
	if n := len(exposures); n != e.exposures {
		t.Errorf("%d exposures before the bad records, want %d", n, e.exposures)
	}
	// More days come, and are processed, by services that have been restarted.
	later := date("2024-01-04")
	run(t, config(brokers, from, later), demo.ECBGateway)
	e = expect(t, from, later)
	if got := len(committed(t, brokers, demo.TopicExposure, e.exposures+1)); got != e.exposures+1 {
		t.Errorf("%d exposures, want %d and the bad one", got, e.exposures)
	}
}

// A process that is asked to stop ends its transaction and stops soon.
func TestStopsSoon(t *testing.T) {
	brokers := kafka(t)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	began := time.Now()
	ended := make(chan error, 4)
	for _, name := range demo.Services() {
		go func() { ended <- demo.Run(ctx, name, config(brokers, crisisFrom, crisisTo)) }()
	}
	for range demo.Services() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

// The services outlive their broker: they wait until it is back, and then go
// on exactly.
func TestBrokerRestarts(t *testing.T) {
	dir := t.TempDir()
	c := cluster(t, kfake.DataDir(dir))
	brokers := c.ListenAddrs()
	_, port, err := net.SplitHostPort(brokers[0])
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	var w watch
	to := date("2008-10-31")
	cfg := config(brokers, crisisFrom, to)
	cfg.Batch, cfg.Progress = 100, w.see
	run(t, cfg, demo.Services()...)
	for i := range 2 {
		at := int64(1500 * (i + 1))
		eventually(t, "some records", func() bool { return w.of(demo.RiskEngine).In > at })
		c.Close()
		time.Sleep(300 * time.Millisecond)
		c = cluster(t, kfake.DataDir(dir), kfake.Ports(number))
	}
	verify(t, brokers, expect(t, crisisFrom, to))
}
