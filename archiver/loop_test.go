package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// These tests put the loop's state by hand into the interleavings that engines
// produce once in a year.

var zero = kafka.TopicPartition{Topic: "t"}

// looping is an archiver without engines, with one partition and a budget of
// 1 MiB.
func looping(next int64) (*Archiver, *partition) {
	log := slog.New(slog.DiscardHandler)
	p := opened(next)
	a := &Archiver{
		cutAt: DefaultCut, log: log, options: Options{Memory: 1 << 20},
		partitions: map[kafka.TopicPartition]*partition{zero: p}, troubles: map[cause]string{}, left: map[schema.StreamKey]leftover{}, past: map[string]tally{},
	}
	a.changed = sync.NewCond(&a.mu)
	a.letters = newLetters(log)
	a.metrics = newMetrics()
	a.catchup = newCatchup(nil, nil, nil, nil, a.letters, log)
	a.feed = newFeed(Feed{}, nil, nil, a.letters, a.catchup, nil, log)
	return a, p
}

// arrive brings n records of 256 KiB.
func (a *Archiver) arrive(status schema.Status, producerID int64, n int) {
	for range n {
		r := schema.Record{Offset: a.partitions[zero].expected, ProducerID: producerID, Status: status, Value: make([]byte, 256<<10)}
		a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{r}}, time.Now())
	}
}

func TestTransactionBeyondTheBudgetIsCutAsItComes(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Undecided, 1, 8)
	a.cutDue(time.Now())
	if !p.aside {
		t.Fatal("a full buffer of undecided records was not set aside")
	}
	a.takeBack(p, 8) // the broker says: stable below 8
	first := p.expected
	p.seek, p.resume = false, false // the loop has done it
	for offset := first; offset < 8; offset++ {
		a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{
			{Offset: offset, ProducerID: 1, Status: schema.Undecided, Value: make([]byte, 256<<10)},
		}}, time.Now())
	}
	if p.rows.len() != 0 || a.held != p.skim.bytes() || p.seek {
		t.Fatalf("skimming holds %d rows, %d bytes, seek %t before the marker was seen", p.rows.len(), a.held, p.seek)
	}
	a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{
		{Offset: 8, ProducerID: 1, Status: schema.Control, Key: marker(1)},
	}}, time.Now())
	if !p.seek || p.expected != first {
		t.Fatalf("seek %t to %d: the transaction is not read again from %d", p.seek, p.expected, first)
	}
	p.seek = false
	a.arrive(schema.Undecided, 1, 3)
	if p.decided != 3 || p.rows.at(0).Status != schema.Committed {
		t.Errorf("%d of 3 records are decided as they come, the first %s", p.decided, p.rows.at(0).Status)
	}
	a.arrive(schema.Undecided, 2, 1) // another one, that hangs
	if p.decided != 3 {
		t.Error("a record of an open transaction was decided")
	}
}

// A large transaction over several leader epochs ends: what was skimmed is held
// against the log at each of them, not dropped and skimmed again.
func TestSkimOutlivesTheNextEpoch(t *testing.T) {
	a, p := looping(0)
	bring := func(offset int64, epoch int32) {
		r := schema.Record{Offset: offset, ProducerID: 1, LeaderEpoch: epoch, Status: schema.Undecided, Value: make([]byte, 256<<10)}
		if offset == 8 {
			r.Status, r.Key = schema.Control, marker(1)
		}
		a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{r}}, time.Now())
	}
	pass := func() {
		t.Helper()
		if p.guard != doubted {
			t.Fatal("no guard was asked for")
		}
		found := finding{outcome: outcomeSame, approved: p.hand != nil, skim: p.skimmed != nil}
		a.guarded(&guard{p: p, stream: p.stream, head: p.head, hand: p.hand, expected: p.expected, skimmed: p.skimmed}, found, nil)
		p.seek = false // the loop has done it
	}
	bring(0, 1)
	bring(1, 2)
	pass()
	for offset := int64(1); offset < 8; offset++ {
		bring(offset, 2)
	}
	a.cutDue(time.Now())
	a.takeBack(p, 9) // the broker says: stable below 9
	p.seek, p.resume = false, false
	for offset := range int64(9) {
		bring(offset, min(int32(offset)+1, 2))
	}
	pass()
	bring(0, 1)
	bring(1, 2)
	pass()
	bring(1, 2)
	if p.rows.len() != 2 || p.decided != 2 {
		t.Errorf("%d of %d records are decided though the log was skimmed: it would be skimmed for ever", p.decided, p.rows.len())
	}
}

func TestWhatTheIndexWillTakeIsNotSetAside(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Committed, 0, 2)
	a.arrive(schema.Undecided, 1, 4)
	a.cutDue(time.Now())
	if p.aside {
		t.Error("set aside, though two records only wait for the index and can be cut then")
	}
}

func TestLostWhileSetAsideIsReadAgain(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Committed, 0, 1)
	a.arrive(schema.Undecided, 1, 8)
	p.fed = 1
	a.setAside(time.Now())
	p.pause = false // the loop has paused it
	a.cutDue(time.Now().Add(time.Hour))
	winner := ledger.Head{Commit: &schema.Commit{Seq: 1}, Next: 1}
	a.settle(a.backlog[0], winner, index.SegmentRow{}, &ledger.LostError{Winner: winner}, 0)
	if p.guard != doubted {
		t.Error("the winner's chain is taken on without asking whether it is a prefix of the log")
	}
	a.guarded(&guard{p: p, stream: p.stream, head: winner}, finding{outcome: outcomeSame}, nil)
	if !p.resume || !p.seek {
		t.Errorf("resume %t, seek %t: nobody would ever read the partition again", p.resume, p.seek)
	}
	if len(a.catchup.dirty) == 0 {
		t.Error("the winner's commit is not compared with the index; it may have died before telling it")
	}
}

func TestSetAsideIsSaid(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Undecided, 1, 8)
	p.blockedSince = time.Now().Add(-time.Hour)
	a.setAside(time.Now())
	if open := a.readings()[0].openFor; open < 3599*time.Second {
		t.Errorf("the transaction is open for %s, the metric says", open)
	}
	if said := a.Health()["kafka"]; !strings.Contains(said, "open transaction") {
		t.Errorf("Health says %q", said)
	}
}

// Whatever makes the history doubtful, nothing behind it is taken in, cut or
// given to the index until a guard has passed.
func TestDoubtedPartitionIsLeftAlone(t *testing.T) {
	for name, doubt := range map[string]func(a *Archiver, p *partition){
		"the client says so": func(a *Archiver, _ *partition) {
			a.takeIn(&kafka.Batch{TopicPartition: zero, Err: fmt.Errorf("%w: reset to 50", kafka.ErrTruncated)}, time.Now())
		},
		"another leader epoch": func(a *Archiver, p *partition) {
			later := schema.Record{Offset: p.expected, LeaderEpoch: 1, Status: schema.Committed}
			a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{later}}, time.Now())
		},
	} {
		a, p := looping(100)
		a.arrive(schema.Committed, 0, 1)
		doubt(a, p)
		a.arrive(schema.Committed, 0, 1)
		a.feedFresh(time.Now().Add(time.Hour))
		a.cutDue(time.Now().Add(time.Hour))
		if p.rows.len() != 1 || p.fed != 0 || len(a.backlog) != 0 || !p.pause || p.expected != 101 {
			t.Errorf("%s: %d rows, %d fed, %d cuts, paused %t, at %d", name, p.rows.len(), p.fed, len(a.backlog), p.pause, p.expected)
		}
		later := entry{101, 1}
		a.guarded(&guard{p: p, stream: p.stream, head: p.head, leader: kafka.Leader{Epoch: 1}, hand: &later, expected: 101}, finding{outcome: outcomeSame, approved: true}, nil)
		p.seek = false // the loop has done it
		a.bring(101, 1)
		if p.rows.len() != 2 || !p.resume {
			t.Errorf("%s: after the guard has passed: %d rows, resume %t", name, p.rows.len(), p.resume)
		}
	}
}

// A doubt that takes long must not hold the whole budget.
func TestDoubtedBufferGivesWay(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Committed, 0, 8)
	a.doubt(p, "test")
	a.cutDue(time.Now())
	if p.rows.len() == 0 {
		t.Error("the buffer gave way at once: a guard takes a moment")
	}
	a.cutDue(time.Now().Add(2 * guardPatience))
	if a.held != 0 || p.rows.len() != 0 || p.guard != doubted || p.resume {
		t.Errorf("%d bytes are held, guard %d, resume %t", a.held, p.guard, p.resume)
	}
}

func TestGapThatGrowsWhileItIsSealed(t *testing.T) {
	p := opened(0)
	now := time.Now()
	p.gap(100, schema.GapBeforeLogStart, "log start 100", now)
	first := p.cut(cutAsked, 0, now)
	p.gap(200, schema.GapBeforeLogStart, "log start 200", now) // overtaken again before the commit is there
	p.release(0, ledger.Head{Commit: &schema.Commit{}, Next: first.next})
	second := p.cut(cutAsked, 0, now)
	if len(second.gaps) != 1 || second.gaps[0].From != 100 || second.gaps[0].To != 200 || second.base != 100 {
		t.Errorf("second cut from %d: %+v", second.base, second.gaps)
	}
}

func TestSealSaysWhatItCouldNotSeal(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Committed, 0, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	time.AfterFunc(50*time.Millisecond, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.giveUp(p, onStore, fmt.Errorf("the bucket is gone"))
		a.changed.Broadcast()
	})
	if _, err := a.Seal(ctx, true); err == nil || !strings.Contains(err.Error(), "bucket is gone") {
		t.Errorf("a seal of what was given up: %v", err)
	}
}

func TestHealthSaysWhatItLeavesOut(t *testing.T) {
	a, _ := looping(0)
	for n := range int32(mostSaid + 3) {
		a.trouble(causeOfReading(kafka.TopicPartition{Topic: "t", Partition: n}), fmt.Errorf("a batch that cannot be decoded"))
	}
	if said := a.Health()["kafka"]; strings.Count(said, "decoded") != mostSaid || !strings.HasSuffix(said, "and 3 more, which the log names") {
		t.Errorf("Health says %q", said)
	}
}

// What a store does not take while the group waits is not waited for any longer, and
// what is revoked by a process that stops no longer than it may take to stop.
func TestRevokedEndsWithinTheRebalance(t *testing.T) {
	for name, x := range map[string]struct{ rebalance, leavesIn time.Duration }{
		"rebalance": {rebalance: 200 * time.Millisecond}, "stop": {rebalance: time.Hour, leavesIn: 100 * time.Millisecond},
	} {
		a, p := looping(0)
		a.options.Tail.RebalanceTimeout, a.cutAt.MinBytes = x.rebalance, 1
		if x.leavesIn > 0 {
			a.leavesBy = time.Now().Add(x.leavesIn)
		}
		a.arrive(schema.Committed, 0, 1)
		began := time.Now()
		assignments{a}.Revoked(t.Context(), []kafka.TopicPartition{zero})
		if took := time.Since(began); took < 50*time.Millisecond || took > 20*time.Second {
			t.Errorf("%s: revoked in %s, a store that does not answer was given 100ms", name, took)
		}
		if len(a.backlog) != 1 || len(a.partitions) != 0 || a.held != 0 || p.head.Next != 0 {
			t.Errorf("%s: %d cuts, %d partitions, %d bytes held", name, len(a.backlog), len(a.partitions), a.held)
		}
	}
	for given, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 10 * time.Second: 5 * time.Second} {
		if got := (kafka.ConsumerOptions{RebalanceTimeout: given}).RevokedWithin(); got != want {
			t.Errorf("with a rebalance timeout of %s: %s, want %s", given, got, want)
		}
	}
}

// A transaction's records were read, and then nothing for as long as a cleaner may
// take for them and their marker: the next marker of the producer is another
// transaction's, and decides nothing before the log was read again.
func TestMarkersThatMayBeCleanedAwayAreNotWaitedFor(t *testing.T) {
	begin := time.Now()
	record := func(offset int64, status schema.Status, kind uint16) schema.Record {
		r := schema.Record{Offset: offset, ProducerID: 1, Status: status}
		if status == schema.Control {
			r.Key = marker(kind)
		}
		return r
	}
	for name, c := range map[string]struct {
		compacted bool
		after     time.Duration
		again     bool
	}{
		"long after":         {true, stillFor + time.Second, true},
		"soon after":         {true, stillFor - time.Second, false},
		"nothing is cleaned": {false, 100 * stillFor, false},
	} {
		a, p := looping(0)
		p.compacted = c.compacted
		take := func(at time.Duration, records ...schema.Record) {
			a.takeIn(&kafka.Batch{TopicPartition: zero, Records: records}, begin.Add(at))
		}
		plain := schema.Record{Offset: 0, ProducerID: -1, Status: schema.Committed}
		take(0, plain, record(1, schema.Undecided, 0))
		take(c.after, record(5, schema.Undecided, 0), record(6, schema.Control, 0)) // aborts the second one
		if p.seek != c.again || c.again && (p.expected != 1 || p.decided != 1) {
			t.Errorf("%s: seek %t to %d, %d decided", name, p.seek, p.expected, p.decided)
		}
		if !c.again {
			continue
		}
		p.seek = false // the loop has done it
		take(c.after+time.Second, record(5, schema.Undecided, 0), record(6, schema.Control, 0))
		if p.expected != 7 || len(p.gaps) != 1 || p.gaps[0].Class != schema.GapCleaned || p.gaps[0].From != 1 || p.gaps[0].To != 5 {
			t.Errorf("%s: read up to %d, gaps %+v", name, p.expected, p.gaps)
		}
		if a.held != p.memory() {
			t.Errorf("%s: %d bytes are counted as held, %d are", name, a.held, p.memory())
		}
	}
}
