package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/deadletter"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// What cannot be processed becomes a dead letter in the archive, and processing
// goes on without it. Of what was read the letter is written before the commit
// that accounts for it; of what the index refused, before it counts as inserted:
// nobody would come to it again. Of what the rules failed on, soon after: the row
// says so too, and whoever extracts it next fails on it again.

// mostLetters bounds those that wait to be written; they are a few KB each.
const mostLetters = 4096

// letters are on their way to the store.
type letters struct {
	store   deadletter.Store // nil: they are only logged
	cluster func() string
	writer  string
	build   string
	log     *slog.Logger
	topic   string
	send    func(ctx context.Context, m kafka.Message) error // to the topic; nil: there is none
	trouble func(err error)                                  // nil err: it has passed
	counted *prometheus.CounterVec

	mu      sync.Mutex
	waiting map[string]*pending // by key
	wake    chan struct{}
}

func newLetters(log *slog.Logger) *letters {
	return &letters{
		log: log, waiting: map[string]*pending{}, wake: make(chan struct{}, 1),
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

// pending is a letter on its way; kept tells that its object is there, and
// only the topic is missing.
type pending struct {
	schema.DeadLetter
	kept bool
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
	ls.log.Error("cannot be processed", "step", string(l.Component), "topic", l.Topic, "partition", l.Partition,
		"offset", l.From, "to", l.To, "attempts", l.Attempts, "key", key, "kept", !lost, "err", l.Error)
	if lost {
		ls.counted.WithLabelValues(letterLost).Inc()
		return
	}
	ls.queue(key, &pending{DeadLetter: l})
}

// kept counts a letter whose object is there, and hands it over for the topic.
func (ls *letters) kept(l schema.DeadLetter) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.counted.WithLabelValues(string(l.Component)).Inc()
	if ls.send == nil {
		return
	}
	if len(ls.waiting) >= mostLetters {
		ls.counted.WithLabelValues(letterLost).Inc()
		ls.log.Error("a dead letter is kept, and not produced: too many wait", "topic", l.Topic, "partition", l.Partition,
			"offset", l.From, "key", l.Key())
		return
	}
	ls.queue(l.Key(), &pending{l, true})
}

// queue needs the mutex.
func (ls *letters) queue(key string, p *pending) {
	ls.waiting[key] = p
	select {
	case ls.wake <- struct{}{}:
	default:
	}
}

// run writes letters until ctx ends, each for as long as it takes.
func (ls *letters) run(ctx context.Context) {
	pauses := retry.Between(250*time.Millisecond, 15*time.Second)
	for ctx.Err() == nil {
		p := ls.next()
		if p == nil {
			select {
			case <-ctx.Done():
			case <-ls.wake:
			}
			continue
		}
		err := ls.deliver(ctx, p)
		switch {
		case err == nil:
			ls.trouble(nil)
			pauses.Reset()
		case ctx.Err() != nil:
			return
		case never(err):
			ls.counted.WithLabelValues(letterLost).Inc()
			ls.log.Error("a dead letter cannot be kept or produced", "topic", p.Topic, "partition", p.Partition,
				"offset", p.From, "key", p.Key(), "kept", p.kept, "err", err)
		default:
			ls.trouble(err)
			ls.again(p)
			pause(ctx, pauses.Next())
		}
	}
}

// deliver puts a letter's object, and produces it where a topic is configured.
// What is about that topic is not produced to it: it would beget itself.
func (ls *letters) deliver(ctx context.Context, p *pending) error {
	if !p.kept {
		if err := deadletter.Put(ctx, ls.store, p.DeadLetter); err != nil {
			return err
		}
		p.kept = true
	}
	if ls.send == nil || p.Topic == ls.topic {
		return nil
	}
	value, err := p.Encode()
	if err != nil {
		return err
	}
	header := func(name, value string) schema.Header { return schema.Header{Name: name, Value: []byte(value)} }
	return ls.send(ctx, kafka.Message{
		Key: []byte(p.Key()), Value: value,
		Headers: []schema.Header{
			header("annals-dead-letter", p.ID()), header("annals-component", string(p.Component)), header("annals-topic", p.Topic),
			header("annals-partition", strconv.FormatInt(int64(p.Partition), 10)), header("annals-offset", strconv.FormatInt(p.From, 10)),
			header("annals-error", p.Error),
		},
	})
}

func (ls *letters) next() *pending {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for key, p := range ls.waiting {
		delete(ls.waiting, key)
		return p
	}
	return nil
}

func (ls *letters) again(p *pending) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if had := ls.waiting[p.Key()]; had != nil {
		had.First = p.First
		if !p.kept {
			had.Attempts += p.Attempts
		}
		return
	}
	ls.waiting[p.Key()] = p
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
		if err := a.letters.ended(l, err); err != nil { // of one that is lost the gap says the same
			return err
		}
	}
	return nil
}

// never tells an error of a letter that is the same the next time: what stands in
// its place is damaged, for one.
func never(err error) bool {
	kind := schema.KindOf(err)
	return err != nil && (kind == schema.Corrupt || kind == schema.Invalid || beyond(err))
}

// ended counts a letter that was put. One that cannot be, this time or the next, is
// only logged; any other error is given back.
func (ls *letters) ended(l schema.DeadLetter, err error) error {
	switch {
	case err == nil:
		ls.kept(l)
	case never(err):
		ls.lost(l, err)
	default:
		return err
	}
	return nil
}

// lost counts and logs a letter that nobody will read but the log's reader.
func (ls *letters) lost(l schema.DeadLetter, err error) {
	ls.counted.WithLabelValues(string(l.Component)).Inc()
	ls.counted.WithLabelValues(letterLost).Inc()
	ls.log.Error("cannot be processed, and the dead letter cannot be kept", "step", string(l.Component), "topic", l.Topic, "partition", l.Partition,
		"offset", l.From, "to", l.To, "attempts", l.Attempts, "key", l.Key(), "why", l.Error, "err", err)
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
		if err := ls.keep(ctx, l); err != nil {
			return err // without the letter nothing would tell that the row is missing
		}
	}
	return nil
}

// keep writes a letter now. One that cannot be written, this time or the next, is
// only logged.
func (ls *letters) keep(ctx context.Context, l schema.DeadLetter) error {
	if ls.store == nil {
		ls.add(l)
		return nil
	}
	err := deadletter.Put(ctx, ls.store, l)
	if err == nil {
		ls.log.Error("cannot be processed", "step", string(l.Component), "topic", l.Topic, "partition", l.Partition,
			"offset", l.From, "to", l.To, "attempts", l.Attempts, "key", l.Key(), "kept", true, "err", l.Error)
	}
	return ls.ended(l, err)
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
