//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

// settings are what a seed draws before anything begins.
type settings struct {
	brokers, topics, partitions, archivers, writers int
	page                                            int // keys a LIST
	big                                             int // bytes of the largest value
	options                                         archiver.Options
	storeFaults                                     float64 // share of the requests, while there are faults
	indexFaults                                     float64
	latency                                         time.Duration
	nights                                          int
	acts                                            int // between two nights
	sleeper                                         bool
	apart                                           bool // the group's coordinator outlives the brokers
	drill                                           *drill
}

// drawSettings draws them; only is the drill that all seeds end in, nil: as drawn.
func drawSettings(d *dice, only *drill) settings {
	s := settings{
		brokers: d.within(2, 3), topics: d.within(1, 2), partitions: d.within(1, 2), archivers: d.within(2, 3), writers: d.within(1, 3),
		page: oneOf(d, []int{7, 100, 1000}), big: oneOf(d, []int{20, 200, 1500}),
		storeFaults: oneOf(d, []float64{0, 0.02, 0.1}), indexFaults: oneOf(d, []float64{0, 0, 0.05}),
		latency: oneOf(d, []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond}),
		nights:  oneOf(d, []int{0, 1, 1, 2}), acts: d.within(10, 25), apart: d.chance(0.5),
	}
	s.options = archiver.Options{
		Discovery: d.time(3*time.Second, 10*time.Second), StaleLeader: d.time(5*time.Second, 30*time.Second),
		StartLatest: d.chance(0.1),
		Cut: archiver.Cut{
			Bytes: int64(d.within(2_000, 20_000)), MinBytes: int64(d.within(200, 2_000)),
			Age: d.time(time.Second, 5*time.Second), MaxAge: d.time(3*time.Second, 15*time.Second),
		},
		Feed:    archiver.Feed{Rows: d.within(5, 100), Every: 300 * time.Millisecond},
		Compact: archiver.Compact{After: time.Hour, Every: d.time(10*time.Second, 30*time.Second)},
		Collect: archiver.Collect{After: archiver.MinCollect},
	}
	if d.chance(0.6) || only != nil {
		if s.drill = &drills[d.below(len(drills))]; only != nil {
			s.drill = only
		}
		s.drilled(d)
		return s
	}
	if s.nights > 0 && d.chance(0.15) {
		s.asleep()
		return s
	}
	if d.chance(0.25) {
		s.options.Memory = int64(d.within(4_000, 20_000))
	}
	return s
}

// asleep has an archiver sleep through each night: slow to cut and quick to
// collect, and patient, or its polls would be most of the work.
func (s *settings) asleep() {
	s.sleeper = true
	s.options.Poll, s.options.Discovery, s.options.Silence = 30*time.Second, time.Minute, 10*time.Minute
	s.options.Cut = archiver.Cut{Bytes: 1 << 20, MinBytes: 1 << 20, Age: time.Minute, MaxAge: 90 * time.Second}
	s.options.Compact.Every = 10 * time.Second
}

// drilled leaves little but the drill to happen.
func (s *settings) drilled(d *dice) {
	s.topics, s.partitions, s.nights, s.acts, s.apart = 1, 1, 0, d.within(0, 6), true
	if s.drill.large {
		s.big, s.options.Memory = 1500, int64(d.within(6_000, 15_000))
	}
	if s.drill.asleep {
		s.asleep()
	}
}

// world is everything in one bubble.
type world struct {
	settings  settings
	script    *dice // what happens
	net       *dice // how long it takes, and what of it fails
	kafka     *cluster
	producers *producers
	bucket    *s3
	book      *ledger.Ledger // the simulation's own way to the bucket, without faults
	store     *objstore.Store
	index     *set
	rules     *extract.Rules
	logger    *slog.Logger
	began     time.Time

	dir      string
	launched int
	running  []*process
	all      []*process
	leftover string // the spool's folder of a process that was killed, for the next one

	mu     sync.Mutex
	calm   bool // no faults
	slowly bool // some answers take very long
	away   bool // the index answers nothing
	trace  []string
	copied bool
	dawn   func(context.Context) error // what happens in the morning; nil: nothing
}

// newWorld makes one that ends in a drill; nil: as its seed draws it.
func newWorld(seed uint64, only *drill, dir string, logger *slog.Logger) (*world, error) {
	w := &world{script: newDice(seed, 1), net: newDice(seed, 2), bucket: newS3(), index: newSet(), logger: logger, began: time.Now(), dir: dir}
	w.settings = drawSettings(w.script, only)
	w.settings.spooled(w.script)
	w.settings.options.Compact.TempDir = dir
	w.kafka = newCluster(w.settings.brokers, dir)
	w.producers = &producers{kafka: w.kafka, draw: w.script, big: w.settings.big}
	w.index.fail = func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case w.away:
			return errIndexAway
		case w.calm || !w.net.chance(w.settings.indexFaults):
			return nil
		default:
			return oneOf(w.net, []error{errIndexAway, errIndexHalf})
		}
	}
	var err error
	if w.rules, err = extract.New(extract.Options{}); err != nil {
		return nil, err
	}
	w.store, err = objstore.Open(unsigned(w.bucket, 0))
	if err != nil {
		return nil, err
	}
	w.book = ledger.New(w.store, logger)
	return w, nil
}

// unsigned are the options of a store whose requests are not signed, which the
// bucket does not look at and which took a tenth of a seed's time. It needs an
// environment without keys.
func unsigned(transport http.RoundTripper, page int) objstore.Options {
	return objstore.Options{
		Endpoint: "s3.simulation", Region: "us-east-1", Bucket: bucket, PathStyle: true,
		Credentials: objstore.CredentialsEnv, Transport: transport, PageKeys: page,
	}
}

// note adds a line to the trace, which is printed when a seed fails.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%12s  ", time.Since(w.began).Round(time.Millisecond)) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, line)
	w.logger.Info("SCRIPT", "does", line)
}

func (w *world) history() string { return strings.Join(w.trace, "\n") }

// delay is how long a request to the store is on its way.
func (w *world) delay() time.Duration {
	w.mu.Lock()
	calm, slowly := w.calm, w.slowly
	w.mu.Unlock()
	switch {
	case calm:
		return 0
	case slowly && w.net.chance(0.05):
		return w.net.time(0, 45*time.Second)
	default:
		return w.net.time(0, w.settings.latency)
	}
}

var storeFaults = []objstoretest.Fault{
	objstoretest.Refused, objstoretest.Lost, objstoretest.ReplyLost, objstoretest.Twice, objstoretest.Late, objstoretest.Error500,
	objstoretest.Applied500, objstoretest.SlowDown, objstoretest.Conflict, objstoretest.Full, objstoretest.Truncated,
	objstoretest.NoAnswer, objstoretest.ShortAnswer, objstoretest.Unranged,
}

// fault draws what becomes of a request to the store.
func (w *world) fault(r *http.Request) objstoretest.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm || !w.net.chance(w.settings.storeFaults) {
		return objstoretest.None
	}
	f := oneOf(w.net, storeFaults)
	if (f == objstoretest.Conflict || f == objstoretest.Full) && r.Method != http.MethodPut {
		return objstoretest.Error500
	}
	if (f == objstoretest.ShortAnswer || f == objstoretest.Unranged) && r.Method != http.MethodGet {
		return objstoretest.ReplyLost
	}
	return f
}

// live is the whole of a seed: the script, calm, and what must hold then.
func (w *world) live(ctx context.Context) (err error) {
	if err := os.MkdirAll(w.kafka.dir, 0o700); err != nil {
		return err
	}
	if err := w.kafka.start(); err != nil {
		return err
	}
	if w.settings.apart {
		if err := w.kafka.setApart(); err != nil {
			return err
		}
	}
	w.kafka.up.Store(true)
	defer func() {
		w.setCalm(true)
		for _, p := range w.all {
			p.gate.unlock(false)
			p.cancel()
		}
		for _, p := range w.all {
			<-p.done
			p.wire.late.Wait()
			if err == nil && p.err != nil {
				err = fmt.Errorf("archiver %s gave up: %w", p.name, p.err)
			}
			if diskErr := p.disk.close(); err == nil && diskErr != nil {
				err = fmt.Errorf("archiver %s: %w", p.name, diskErr)
			}
		}
		w.producers.close()
		w.kafka.up.Store(false)
		w.kafka.close()
	}()
	for i := range w.settings.topics {
		if err := w.kafka.create(fmt.Sprintf("topic-%d", i), int32(w.settings.partitions)); err != nil {
			return err
		}
	}
	if err := w.producers.connect(w.settings.writers); err != nil {
		return err
	}
	for range w.settings.archivers {
		if _, err := w.launch(); err != nil {
			return err
		}
	}
	for night := 0; ; night++ {
		for range w.settings.acts {
			if err := w.act(ctx); err != nil {
				return err
			}
		}
		if night == w.settings.nights {
			break
		}
		if err := w.night(ctx); err != nil {
			return err
		}
	}
	if w.settings.drill != nil {
		w.note("drill: %s", w.settings.drill.name)
		if err := w.settings.drill.what(w, ctx); err != nil {
			return err
		}
	}
	if err := w.rest(ctx); err != nil {
		return err
	}
	return w.verify(ctx)
}

func (w *world) setIndexAway(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

func (w *world) setCalm(calm bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm = calm
}
