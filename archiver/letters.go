package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/deadletter"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// What cannot be processed becomes a dead letter in the archive, and processing
// goes on without it. Of what was read the letter is written before the commit
// that accounts for it; of what is archived, and not extracted or indexed, soon
// after: if it is lost in between, whoever processes the record next fails on
// it again.

// mostLetters bounds those that wait to be written; they are a few KB each.
const mostLetters = 4096

// letters are on their way to the store.
type letters struct {
	store   deadletter.Store // nil: they are only logged
	cluster func() string
	writer  string
	build   string
	log     *slog.Logger
	trouble func(err error) // nil err: it has passed
	counted *prometheus.CounterVec

	mu      sync.Mutex
	waiting map[string]*schema.DeadLetter // by key
	wake    chan struct{}
}

func newLetters(log *slog.Logger) *letters {
	return &letters{
		log: log, waiting: map[string]*schema.DeadLetter{}, wake: make(chan struct{}, 1),
		cluster: func() string { return "" }, trouble: func(error) {},
		counted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annals_archiver_dead_letters_total", Help: "What could not be processed, by component, and lost where the letter itself could not be kept.",
		}, []string{"component"}),
	}
}

// letterLost is the component of letters that nobody will read but the log's
// reader.
const letterLost = "lost"

// of makes a letter about one record.
func (ls *letters) of(component schema.DeadLetterComponent, r *schema.Record, attempts int64, err error) schema.DeadLetter {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	return schema.DeadLetter{
		Format: schema.DeadLetterFormat, Component: component, Cluster: ls.cluster(), Topic: r.Topic, TopicID: r.TopicID,
		Partition: r.Partition, Branch: r.Branch, From: r.Offset, To: r.Offset + 1, Error: clip(err.Error()), Attempts: attempts,
		First: now, Last: now, Writer: ls.writer, Build: ls.build,
	}
}

// add hands a letter over. It does not wait.
func (ls *letters) add(l schema.DeadLetter) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	key := l.Key()
	if had := ls.waiting[key]; had != nil {
		had.Attempts, had.Last, had.Error = had.Attempts+l.Attempts, l.Last, l.Error
		return
	}
	ls.counted.WithLabelValues(string(l.Component)).Inc()
	lost := ls.store == nil || len(ls.waiting) >= mostLetters
	ls.log.Error("cannot be processed", "component", string(l.Component), "topic", l.Topic, "partition", l.Partition,
		"from", l.From, "to", l.To, "attempts", l.Attempts, "key", key, "kept", !lost, "err", l.Error)
	if lost {
		ls.counted.WithLabelValues(letterLost).Inc()
		return
	}
	ls.waiting[key] = &l
	select {
	case ls.wake <- struct{}{}:
	default:
	}
}

// run writes letters until ctx ends, each for as long as it takes.
func (ls *letters) run(ctx context.Context) {
	pauses := retry.Between(250*time.Millisecond, 15*time.Second)
	for ctx.Err() == nil {
		l, ok := ls.next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-ls.wake:
			}
			continue
		}
		if err := deadletter.Put(ctx, ls.store, l); err != nil {
			if kind := schema.KindOf(err); kind == schema.Corrupt || kind == schema.Invalid {
				ls.counted.WithLabelValues(letterLost).Inc()
				ls.log.Error("a dead letter cannot be kept", "key", l.Key(), "err", err)
				continue
			}
			if ctx.Err() != nil {
				return
			}
			ls.trouble(err)
			ls.again(l)
			pause(ctx, pauses.Next())
			continue
		}
		ls.trouble(nil)
		pauses.Reset()
	}
}

func (ls *letters) next() (schema.DeadLetter, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for key, l := range ls.waiting {
		delete(ls.waiting, key)
		return *l, true
	}
	return schema.DeadLetter{}, false
}

func (ls *letters) again(l schema.DeadLetter) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if had := ls.waiting[l.Key()]; had != nil {
		had.Attempts, had.First = had.Attempts+l.Attempts, l.First
		return
	}
	ls.waiting[l.Key()] = &l
}

// writeUnread writes the letters of a cut's unreadable gaps, before its commit.
func (a *Archiver) writeUnread(ctx context.Context, j *job, c *schema.Commit) error {
	for _, g := range j.gaps {
		if g.Object == nil {
			continue
		}
		l := a.letters.of(schema.LetterReading, &schema.Record{
			Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition, Branch: c.Branch, Offset: g.From,
		}, readAttempts, fmt.Errorf("%s", *g.Evidence))
		l.To, l.Raw = g.To, g.Object
		err := a.patiently(ctx, j, func() error { return deadletter.Put(ctx, a.store, l) })
		if err != nil {
			return err
		}
		a.letters.counted.WithLabelValues(string(l.Component)).Inc()
	}
	return nil
}

// careful are rules that survive a record: what makes them panic is archived
// and indexed without what they would have read.
type careful struct {
	Rules
	letters *letters
}

// Extract implements Rules.
func (c careful) Extract(r *schema.Record, into *schema.Extraction) {
	defer func() {
		failed := recover()
		if failed == nil {
			return
		}
		into.Reset()
		into.Errors = append(into.Errors, "extraction failed")
		c.letters.log.Error("extraction failed", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset,
			"panic", fmt.Sprint(failed), "stack", string(debug.Stack()))
		c.letters.add(c.letters.of(schema.LetterExtraction, r, 1, fmt.Errorf("the rules failed: %v", failed)))
	}()
	c.Rules.Extract(r, into)
}

const (
	refusals     = 3  // attempts at a row that the index refuses
	mostRefused  = 16 // rows of one insert: more of them, and it is not the rows
	refusalPause = 100 * time.Millisecond
)

// refuses tells an index that is not able from one that does not want.
func refuses(ctx context.Context, err error) bool {
	kind := schema.KindOf(err)
	return err != nil && ctx.Err() == nil && (kind == schema.Invalid || kind == schema.Internal)
}

// insert inserts rows but for those, few, that the index refuses each time:
// these become dead letters. Any other error is the insert's.
func (ls *letters) insert(ctx context.Context, x Index, rows []index.Row, at time.Time) error {
	err := x.InsertRecords(ctx, rows, at)
	if !refuses(ctx, err) {
		return err
	}
	refused, narrowed := ls.narrow(ctx, x, rows, at, err, nil)
	if narrowed != nil {
		return narrowed
	}
	for _, l := range refused {
		ls.add(l)
	}
	return nil
}

// narrow halves rows that were refused until single ones are found.
func (ls *letters) narrow(ctx context.Context, x Index, rows []index.Row, at time.Time, why error, found []schema.DeadLetter) ([]schema.DeadLetter, error) {
	if len(rows) == 1 {
		pauses := retry.Between(refusalPause, time.Second)
		for n := 1; n < refusals; n++ {
			if err := pauses.Wait(ctx); err != nil {
				return found, why
			}
			if why = x.InsertRecords(ctx, rows, at); !refuses(ctx, why) {
				return found, why
			}
		}
		l := ls.of(schema.LetterIndex, rows[0].Record, refusals, why)
		l.TraceID, l.EventID = named(rows[0].Extraction.TraceID), named(rows[0].Extraction.EventID)
		if found = append(found, l); len(found) > mostRefused {
			return found, why
		}
		return found, nil
	}
	for half := range slices.Chunk(rows, (len(rows)+1)/2) {
		err := x.InsertRecords(ctx, half, at)
		if refuses(ctx, err) {
			found, err = ls.narrow(ctx, x, half, at, err, found)
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

func named(id string) *string {
	if id == "" {
		return nil
	}
	id = clip(id)
	return &id
}
