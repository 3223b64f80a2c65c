package archiver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// What cannot be read does not stop its partition: its bytes are kept as they
// were fetched, a gap names them, and reading goes on behind it. Because a
// fetch may also have been damaged on its way, it is asked for again, on its
// own, several times before it is given up.

// suspicion is of what stands at the offset that a partition waits for. While
// there is one nothing is taken in.
type suspicion struct {
	at    int64 // the offset
	err   error // what was said of it
	large bool  // it can be read, and not be archived
	next  int64 // of large: the offset behind it; -1: its whole batch's end

	running bool
	askAt   time.Time // not before
	wait    time.Duration
}

// How often a batch is asked for before it is unreadable, and the pauses
// between: what a network did passes, what stands on a disk stays.
const (
	readAttempts  = 5
	readPause     = 100 * time.Millisecond
	readPauseMost = 2 * time.Second
	readTimeout   = 2 * time.Minute // of one examination, its PUT included
)

// examiners is how many partitions are examined at once, of which one holds
// what is larger than a segment takes.
const examiners = 16

// suspect has the offset that the partition waits for examined. Needs mu.
func (a *Archiver) suspect(p *partition, s suspicion) {
	if p.suspect == nil {
		p.suspect = &s
	}
	p.pause = true // the client would repeat the error as fast as it can
}

// tooLarge finds the first record that is larger than a segment may hold; -1:
// none is.
func tooLarge(records []schema.Record) (int, error) {
	for i := range records {
		if err := segment.Holds(&records[i]); err != nil {
			return i, err
		}
	}
	return -1, nil
}

// examination is one look at what is suspect.
type examination struct {
	a      *Archiver
	p      *partition // only to be found again
	of     *suspicion
	open   []kafka.Open // transactions that wait for their markers
	stream schema.Stream
	log    *slog.Logger
}

// examined is what it found. Neither: it can be read now.
type examined struct {
	gone bool        // the log does not have the offset any more
	gap  *schema.Gap // what cannot be read, and the object that keeps it
	raw  int
	// committed says how transactions ended whose markers may be in it.
	committed map[int64]bool
}

// examine starts the examinations that are due. Needs mu, and does not wait.
func (a *Archiver) examine(ctx context.Context, now time.Time) {
	for _, p := range a.partitions {
		s := p.suspect
		if s == nil || s.running || p.guard != passed || p.stopped != "" || now.Before(s.askAt) || a.examining >= examiners || s.large && a.large {
			continue
		}
		s.running = true
		a.examining++
		a.large = a.large || s.large
		e := &examination{
			a: a, p: p, of: s, open: p.waiting(), stream: p.stream,
			log: a.log.With("topic", p.stream.Topic, "partition", p.stream.Partition, "offset", s.at),
		}
		a.guards.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, readTimeout)
			defer cancel()
			found, err := e.run(bounded)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.examining--
			a.large = a.large && !s.large
			if ctx.Err() == nil {
				a.examined(e, found, err)
			}
		})
	}
}

// examined applies what was found out. Needs mu.
func (a *Archiver) examined(e *examination, found examined, err error) {
	p, s := e.p, e.of
	key := kafkaKey(e.stream)
	if a.partitions[key] != p || p.stopped != "" || p.suspect != s {
		return // dropped, or doubted, meanwhile: what stands there is read again
	}
	defer a.changed.Broadcast()
	if err != nil {
		if errors.Is(err, kafka.ErrTopicGone) {
			a.topics.look()
		}
		s.running = false
		s.wait = min(max(2*s.wait, time.Second), 15*time.Second)
		s.askAt = time.Now().Add(retry.Spread(s.wait))
		a.trouble(causeOfReading(key), fmt.Errorf("%w; looking closer failed: %w", s.err, err))
		return
	}
	p.suspect = nil
	switch {
	case found.gone:
		p.ask = true // and where the log starts now
		return
	case found.gap != nil:
		a.clear(causeOfReading(key))
		a.metrics.unreadable.Add(float64(found.gap.To - found.gap.From))
		e.log.Error("offsets cannot be read; their bytes are kept, and reading goes on behind them",
			"offset", found.gap.From, "to", found.gap.To, "key", found.gap.Object.Key, "bytes", found.raw, "why", *found.gap.Evidence)
		a.counted(p, func() { p.unread(*found.gap, found.committed, time.Now()) })
		if p.skim != nil { // nothing need come behind it
			a.skimmed(p, &kafka.Batch{TopicPartition: key})
		}
	}
	p.resume, p.seek = true, true
}

// waiting are the transactions whose markers were not read yet.
func (p *partition) waiting() (all []kafka.Open) {
	if p.skim != nil {
		for producer, from := range p.skim.open {
			all = append(all, kafka.Open{Producer: producer, From: from})
		}
		return all
	}
	for producer, w := range p.open {
		all = append(all, kafka.Open{Producer: producer, From: w.from})
	}
	return all
}

// unread records what cannot be read. A transaction that has ended is given its
// verdict, since its marker may be there, and the next one of its producer would
// be taken for it. While the log is only skimmed for its markers the gap is
// passed over: it comes again.
func (p *partition) unread(g schema.Gap, committed map[int64]bool, now time.Time) {
	if p.skim != nil {
		p.skim.pass(g.From, g.To, committed)
		return
	}
	for producer, well := range committed {
		verdict := schema.Aborted
		if well {
			verdict = schema.Committed
		}
		p.end(producer, verdict)
	}
	p.settle(now)
	if g.From > p.expected {
		p.jump(g.From, now)
	}
	p.touch(now)
	g.From = p.expected
	p.gaps = append(p.gaps, g)
	p.expected = g.To
}

// position is the offset that is wanted next.
func (p *partition) position() int64 {
	if p.skim != nil {
		return p.skim.next
	}
	return p.expected
}

func (e *examination) run(ctx context.Context) (examined, error) {
	leader, err := e.leader(ctx)
	if err != nil {
		return examined{}, err
	}
	u, said, err := e.read(ctx, &leader)
	switch {
	case errors.Is(err, kafka.ErrOffsetOutOfRange):
		return examined{gone: true}, nil
	case err != nil:
		return examined{}, err
	case u == nil:
		e.log.Info("what could not be read can be read now", "offset", e.of.at, "before", e.of.err)
		return examined{}, nil
	}
	next, how, committed := e.of.next, "", map[int64]bool(nil)
	if next <= e.of.at {
		if err := e.a.admin.Ends(ctx, e.stream, leader, e.of.at, u); err != nil {
			return examined{}, err
		}
		next, how = u.Next, "; "+u.How
	}
	if !e.of.large { // else it can be read, and is no marker
		committed, err = e.a.admin.Ended(ctx, e.stream, leader, e.of.at, e.open)
		switch {
		case errors.Is(err, kafka.ErrOffsetOutOfRange):
			return examined{gone: true}, nil
		case err != nil:
			return examined{}, err
		}
	}
	object, err := e.keep(ctx, u.Raw, next)
	if err != nil {
		return examined{}, err
	}
	evidence := clip(fmt.Sprintf("fetch: %s; batch: %s; %s%s", said, u.Header, attempts(e.of.large), how))
	return examined{gap: &schema.Gap{Class: schema.GapUnreadable, From: e.of.at, To: next, Evidence: &evidence, Object: object}, raw: len(u.Raw), committed: committed}, nil
}

func attempts(large bool) string {
	if large {
		return "it can be read"
	}
	return fmt.Sprintf("asked for %d times", readAttempts)
}

// mostEvidence bounds what a broker's bytes can have us write into a commit.
const mostEvidence = 1000

func clip(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) > mostEvidence {
		text = strings.ToValidUTF8(text[:mostEvidence], "") + "…"
	}
	return text
}

// leader makes sure that the topic is the stream's.
func (e *examination) leader(ctx context.Context) (kafka.Leader, error) {
	leader, err := e.a.admin.Leader(ctx, e.stream.Topic, e.stream.Partition)
	switch {
	case err != nil:
		return leader, err
	case leader.TopicID != e.stream.TopicID:
		return leader, schema.Errorf(schema.NotFound, "%w: the ID is %s now", kafka.ErrTopicGone, leader.TopicID)
	case leader.Node < 0:
		return leader, schema.Errorf(schema.Unavailable, "the partition has no leader now")
	}
	return leader, nil
}

// read asks for what is suspect until it can be read (nil), or often enough.
// Only the last answer is held.
func (e *examination) read(ctx context.Context, leader *kafka.Leader) (*kafka.Unreadable, string, error) {
	if e.of.large {
		u, err := e.a.admin.Batch(ctx, e.stream, *leader, e.of.at)
		return u, e.of.err.Error(), err
	}
	answers := map[schema.Digest]bool{}
	pauses := retry.Between(readPause, readPauseMost)
	for n := 1; ; n++ {
		u, err := e.a.admin.Unreadable(ctx, e.stream, *leader, e.of.at)
		if u == nil || err != nil {
			return nil, "", err
		}
		answers[sha256.Sum256(u.Raw)] = true
		if n == readAttempts {
			said := u.Err.Error()
			if len(answers) > 1 {
				said += fmt.Sprintf(" (%d different answers, the last is kept)", len(answers))
			}
			return u, said, nil
		}
		if err := pauses.Wait(ctx); err != nil {
			return nil, "", schema.Errorf(schema.Unavailable, "read %s at %d again: %w", e.stream, e.of.at, err)
		}
		if *leader, err = e.leader(ctx); err != nil { // another one's copy may be sound
			return nil, "", err
		}
	}
}

// keep puts the raw bytes where the gap will name them. Nothing counts them
// until a commit does: an object that no commit comes to name is an orphan.
func (e *examination) keep(ctx context.Context, raw []byte, next int64) (*schema.ObjectRef, error) {
	ref := schema.ObjectRef{SHA256: sha256.Sum256(raw), Bytes: int64(len(raw))}
	ref.Key = schema.BatchKey(e.stream, e.of.at, next, ref.SHA256)
	object, err := e.a.store.Put(ctx, ref.Key, raw)
	if err != nil {
		return nil, fmt.Errorf("keep the raw batch: %w", err)
	}
	if object.VersionID != "" {
		ref.VersionID = &object.VersionID
	}
	return &ref, nil
}
