//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// drill is an order of events that chance seldom brings about: the shortest way,
// in the model, to where a rule of the protocol is all that stands in the way of
// a wrong archive. The faults of its seed go on meanwhile.
type drill struct {
	name   string
	large  bool // transactions are larger than the buffers
	asleep bool // an archiver sleeps through the night
	spool  bool // there is one, and small
	what   func(*world, context.Context) error
}

var drills = []drill{
	{name: "the head moves behind an idle owner, and the log is another", what: (*world).drillIdle},
	{name: "whoever opens has read nothing yet, and the log is another", what: (*world).drillOpened},
	{name: "the log loses what is buffered", what: (*world).drillBuffered},
	{name: "the log turns to records of an older epoch", what: (*world).drillOlder},
	{name: "the log is another one while the guard is asked, and then again", what: (*world).drillTwice},
	{name: "the log loses a marker", large: true, what: (*world).drillMarker},
	{name: "the log ends in a gap", what: (*world).drillGapEnd},
	{name: "a marker is deleted before it is read", what: (*world).drillDeletedMarker},
	{name: "an archiver dies at a compaction's commit", what: (*world).drillDeadCompactor},
	{name: "the log loses what is being compacted", what: (*world).drillLostCompaction},
	{name: "two compact the same", what: (*world).drillTwoCompactors},
	{name: "a topic goes whose index nobody completed", what: (*world).drillGone},
	{name: "a day passes between a segment and its commit", asleep: true, what: (*world).drillLateCommit},
}

// spoolDrill is no seed's: what it sees is left to no chance, every run has it.
var spoolDrill = drill{name: "a spool has no room, and loses what it has", spool: true, what: (*world).drillSpool}

// onlyDrill is the one whose name has ANNALS_DRILL in it; nil: that is not set.
func onlyDrill() (*drill, error) {
	name := os.Getenv("ANNALS_DRILL")
	if name == "" {
		return nil, nil
	}
	all := append(slices.Clone(drills), spoolDrill)
	i := slices.IndexFunc(all, func(d drill) bool { return strings.Contains(d.name, name) })
	if i < 0 {
		return nil, fmt.Errorf("ANNALS_DRILL: no drill has %q in its name", name)
	}
	return &all[i], nil
}

// muster has one archiver own everything, and the group at rest.
func (w *world) muster(ctx context.Context) (stream, error) {
	for _, t := range w.producers.transactional {
		t.drop()
	}
	w.mu.Lock()
	w.slowly = false
	w.mu.Unlock()
	for _, p := range slices.Clone(w.running) {
		switch {
		case p.gate.isShut():
			w.forget(p)
			p.crash()
		case p != w.running[0]:
			w.forget(p)
			p.cancel()
		}
	}
	if len(w.running) == 0 {
		if _, err := w.launch(); err != nil {
			return stream{}, err
		}
	}
	time.Sleep(75 * time.Second) // the sessions of the dead end, and what they left open
	if len(w.kafka.streams()) == 0 {
		if err := w.kafka.create("topic-0", 1); err != nil {
			return stream{}, err
		}
	}
	s, _ := w.anyStream()
	return s, w.caughtUp(ctx, s)
}

// caughtUp waits until all of a log is archived, for as long as faults may take.
func (w *world) caughtUp(ctx context.Context, s stream) error {
	for range 120 {
		head, err := w.book.Head(ctx, w.streamOf(s))
		if err != nil && schema.KindOf(err) != schema.NotFound {
			return err
		}
		if info := w.kafka.fake.PartitionInfo(s.topic, s.partition); err == nil && info != nil && head.Next >= info.HighWatermark {
			return nil
		}
		for _, p := range w.running {
			if _, err := p.a.Seal(ctx, false); err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
	}
	return nil
}

func (w *world) archive(ctx context.Context, s stream, n int) error {
	w.producers.send(ctx, w.producers.plain, s, n, nil)
	w.note("produce %d to %s, and have them archived", n, s)
	return w.caughtUp(ctx, s)
}

// prepare has a log, archived, of which the followers have all but the last few.
func (w *world) prepare(ctx context.Context) (stream, error) {
	s, err := w.muster(ctx)
	if err == nil {
		err = w.archive(ctx, s, w.script.within(1, 5))
	}
	if err == nil {
		err = w.copyWith(ctx, passage{})
	}
	if err == nil {
		err = w.caughtUp(ctx, s)
	}
	return s, err
}

func (w *world) drillIdle(ctx context.Context) error {
	s, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	if err := w.archive(ctx, s, w.script.within(1, 5)); err != nil {
		return err
	}
	if _, err := w.holdOn(ctx, s); err != nil {
		return err
	}
	return w.fallBackWith(ctx, false, passage{arriving: w.unseen(0, 8)})
}

func (w *world) drillOpened(ctx context.Context) error {
	s, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	if err := w.archive(ctx, s, w.script.within(1, 5)); err != nil {
		return err
	}
	for _, p := range slices.Clone(w.running) {
		w.forget(p)
		p.stop()
	}
	if _, err := w.launch(); err != nil {
		return err
	}
	time.Sleep(w.script.time(10*time.Second, 20*time.Second))
	return w.fallBackWith(ctx, false, passage{arriving: w.unseen(4, 10)})
}

func (w *world) drillBuffered(ctx context.Context) error {
	s, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	n := w.script.within(1, 5)
	w.producers.send(ctx, w.producers.plain, s, n, nil)
	w.note("produce %d to %s", n, s)
	if w.script.chance(0.6) { // a guard may be asked first, and takes a while
		w.readAll(ctx, 5*time.Second)
	} else {
		time.Sleep(w.script.time(100*time.Millisecond, 1500*time.Millisecond))
	}
	return w.fallBackWith(ctx, false, passage{arriving: w.unseen(0, 8)})
}

// readAll waits until everything was read, if not archived, or faults have kept
// it from that for so long: then it is another history, and as good.
func (w *world) readAll(ctx context.Context, patience time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for bounded.Err() == nil && w.running[0].a.CatchUp(bounded) != nil {
		time.Sleep(100 * time.Millisecond) // the brokers did not answer
	}
}

// drillGapEnd has the archive go on behind what was deleted before anybody read
// it, and then a log lead that ends below.
func (w *world) drillGapEnd(ctx context.Context) error {
	s, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	for _, p := range slices.Clone(w.running) {
		w.note("archiver %s is killed", p.name)
		w.forget(p)
		p.crash()
	}
	n := w.script.within(3, 9)
	w.producers.send(ctx, w.producers.plain, s, n, nil)
	w.note("produce %d to %s", n, s)
	if err := w.deleteAll(ctx, s); err != nil {
		return err
	}
	if _, err := w.launch(); err != nil {
		return err
	}
	if err := w.caughtUp(ctx, s); err != nil {
		return err
	}
	return w.fallBackWith(ctx, false, passage{})
}

// deleteAll deletes all that a log has.
func (w *world) deleteAll(ctx context.Context, s stream) error {
	if err := w.kafka.observe(ctx); err != nil {
		return err
	}
	h := w.kafka.truth[s]
	to := w.kafka.fake.PartitionInfo(s.topic, s.partition).LastStableOffset
	h.deleted = max(h.deleted, to)
	w.note("records of %s below %d are deleted", s, to)
	return w.kafka.fake.DeleteRecords(s.topic, s.partition, to)
}

// drillDeletedMarker has the end of a transaction deleted whose records were
// read, and its producer's next one end otherwise.
func (w *world) drillDeletedMarker(ctx context.Context) error {
	s, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	w.readAll(ctx, time.Minute) // the brokers were restarted, and a transaction waits for nobody
	t := w.producers.transactional[0]
	transact := func(n int, ends func(*writer)) error {
		if err := w.producers.begin(t); err != nil || t.open == nil {
			return err
		}
		w.producers.send(ctx, t.client, s, n, t.open)
		w.note("%s produces %d to %s", t.id, n, s)
		ends(t)
		return nil
	}
	end := func(commit bool) func(*writer) {
		return func(t *writer) {
			w.producers.end(ctx, t, commit)
			w.note("%s ends, commit: %t", t.id, commit)
		}
	}
	if err := transact(w.script.within(1, 4), func(*writer) { w.readAll(ctx, 5*time.Second) }); err != nil {
		return err
	}
	for _, p := range w.running {
		w.note("archiver %s is cut off", p.name)
		p.gate.shut()
		p.conns.cut() // a fetch is under way, and would be answered with the marker
	}
	if t.open != nil {
		end(false)(t)
	}
	if err := w.deleteAll(ctx, s); err != nil {
		return err
	}
	if err := transact(w.script.within(1, 4), end(true)); err != nil {
		return err
	}
	for _, p := range w.running {
		w.note("archiver %s is back", p.name)
		p.gate.unlock(false)
	}
	return nil
}

// fork has two logs with a beginning in common: of the one that leads, a few
// records are read; the other has more, of an older epoch, which nobody has seen.
func (w *world) fork(ctx context.Context) (stream, error) {
	s, err := w.prepare(ctx)
	if err == nil {
		err = w.fallBackWith(ctx, true, passage{parting: w.unseen(5, 10)})
	}
	if err == nil {
		w.producers.send(ctx, w.producers.plain, s, w.script.within(1, 3), nil)
	}
	return s, err
}

func (w *world) drillOlder(ctx context.Context) error {
	if _, err := w.fork(ctx); err != nil {
		return err
	}
	time.Sleep(w.script.time(500*time.Millisecond, 5*time.Second))
	return w.fallBackWith(ctx, true, passage{})
}

func (w *world) drillTwice(ctx context.Context) error {
	s, err := w.fork(ctx)
	if err == nil {
		err = w.caughtUp(ctx, s)
	}
	if err != nil {
		return err
	}
	if _, err := w.moveLeader(ctx); err != nil {
		return err
	}
	time.Sleep(w.settings.options.Discovery + 5*time.Second) // it has seen that, and read nothing since
	// The guard comes to nothing in the log whose record has come,
	deaf := kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetForLeaderEpoch}, Err: kerr.FencedLeaderEpoch, Count: -1}
	err = w.fallBackWith(ctx, true, passage{arriving: func(context.Context) error { w.kafka.fake.Fault(deaf); return nil }})
	if err != nil {
		return err
	}
	time.Sleep(w.script.time(time.Second, 4*time.Second))
	// and is answered in the other one.
	if err := w.fallBackWith(ctx, true, passage{}); err != nil {
		return err
	}
	time.Sleep(w.script.time(12*time.Second, 25*time.Second))
	return w.fallBackWith(ctx, true, passage{})
}

func (w *world) drillMarker(ctx context.Context) error {
	s, err := w.muster(ctx)
	if err != nil {
		return err
	}
	t := w.producers.transactional[0]
	if err := w.producers.begin(t); err != nil {
		return err
	}
	if t.open != nil {
		n := w.script.within(20, 50)
		w.producers.send(ctx, t.client, s, n, t.open)
		w.note("%s produces %d to %s", t.id, n, s)
	}
	committed := w.script.chance(0.5)
	if err := w.copyWith(ctx, passage{committed: committed}); err != nil {
		return err
	}
	time.Sleep(w.script.time(200*time.Millisecond, 6*time.Second))
	return w.fallBackWith(ctx, false, passage{committed: !committed, arriving: w.unseen(0, 8)})
}

// strike waits in the morning for a compaction's commit that is about to be sent
// and lets something happen first.
func (w *world) strike(first func(*process) error) func(context.Context) error {
	return func(ctx context.Context) error {
		struck, done := make(chan *process, 1), make(chan struct{})
		for _, p := range w.running {
			p.wire.drowse(true, func(ctx context.Context) {
				select {
				case struck <- p:
				default:
					return
				}
				select {
				case <-done:
				case <-ctx.Done():
				}
			})
		}
		defer func() {
			close(done)
			for _, p := range w.all {
				p.wire.drowse(false, nil)
			}
		}()
		select {
		case p := <-struck:
			return first(p)
		case <-time.After(2*w.settings.options.Compact.Every + 20*time.Second):
			w.note("nothing was compacted")
			return nil
		}
	}
}

// seen waits until the chain's head is one, for not quite as long as a request to
// the store may take.
func (w *world) seen(ctx context.Context, s stream, one func(ledger.Head) bool) error {
	for range 55 {
		head, err := w.book.Head(ctx, w.streamOf(s))
		if err != nil || one(head) {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil
}

// compactable has a closed day with some segments to join.
func (w *world) compactable(ctx context.Context, s stream) error {
	for range w.script.within(5, 8) {
		if err := w.archive(ctx, s, w.script.within(1, 4)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) drillDeadCompactor(ctx context.Context) error {
	s, err := w.muster(ctx)
	if err == nil {
		err = w.compactable(ctx, s)
	}
	if err != nil {
		return err
	}
	w.dawn = w.strike(func(p *process) error {
		w.note("archiver %s is killed, its commit is on its way", p.name)
		w.forget(p)
		p.wire.letPass()
		p.crash()
		return nil
	})
	return w.night(ctx)
}

func (w *world) drillLostCompaction(ctx context.Context) error {
	s, err := w.prepare(ctx)
	if err == nil {
		err = w.compactable(ctx, s)
	}
	if err != nil {
		return err
	}
	w.dawn = w.strike(func(p *process) error {
		w.note("archiver %s is about to commit a compaction", p.name)
		if err := w.fallBackWith(ctx, false, passage{arriving: w.unseen(0, 8)}); err != nil {
			return err
		}
		return w.seen(ctx, s, func(head ledger.Head) bool { return head.Commit.Branch > 0 })
	})
	return w.night(ctx)
}

func (w *world) drillTwoCompactors(ctx context.Context) error {
	s, err := w.muster(ctx)
	if err == nil {
		err = w.compactable(ctx, s)
	}
	if err != nil {
		return err
	}
	w.dawn = func(ctx context.Context) error {
		rival, err := w.launchIn("rivals")
		if err != nil {
			return err
		}
		w.note("archiver %s, of another group, owns everything too", rival.name)
		return w.strike(func(p *process) error {
			w.note("archiver %s is about to commit a compaction", p.name)
			return w.seen(ctx, s, func(head ledger.Head) bool { return head.Commit.Kind == schema.KindCompaction })
		})(ctx)
	}
	return w.night(ctx)
}

// drillLateCommit has an archiver sleep for a day between a segment and its
// commit, while the others find the segment old and in no commit.
func (w *world) drillLateCommit(ctx context.Context) error {
	s, err := w.muster(ctx)
	if err == nil {
		err = w.archive(ctx, s, w.script.within(1, 5))
	}
	if err != nil {
		return err
	}
	return w.night(ctx)
}

// drillGone has an archiver die between a commit and its index rows, and the
// topic go before anybody else opens it: it has no next owner that would notice.
func (w *world) drillGone(ctx context.Context) error {
	s, err := w.muster(ctx)
	if err != nil {
		return err
	}
	w.note("the index is away")
	w.setIndexAway(true)
	if err := w.archive(ctx, s, w.script.within(1, 5)); err != nil {
		return err
	}
	for _, p := range slices.Clone(w.running) {
		w.note("archiver %s is killed", p.name)
		w.forget(p)
		p.crash()
	}
	w.note("topic %s is deleted", s)
	if err := w.kafka.remove(ctx, s.topic); err != nil {
		return err
	}
	w.note("the index is back")
	w.setIndexAway(false)
	if w.script.chance(0.5) {
		time.Sleep(w.script.time(0, 15*time.Second))
		w.note("and the topic is created again")
		return w.kafka.create(s.topic, int32(w.settings.partitions))
	}
	return nil
}

// drillSpool has a spool without room, and then everything that can happen to
// its disk, while records are in it.
func (w *world) drillSpool(ctx context.Context) error {
	s, err := w.muster(ctx)
	if err != nil {
		return err
	}
	w.producers.dense = true
	for range 20 { // what is cut leaves room a moment later
		w.producers.send(ctx, w.producers.plain, s, 2, nil)
		time.Sleep(w.script.time(10*time.Millisecond, 400*time.Millisecond))
	}
	for _, fault := range diskFaults {
		time.Sleep(6 * time.Minute) // after a damage it is left alone for five
		if err := w.spoolSome(ctx, s); err != nil {
			return err
		}
		if err := w.caughtUp(ctx, s); err != nil {
			return err
		}
		if err := w.spoolSome(ctx, s); err != nil {
			return err
		}
		if err := w.breakDiskOf(w.running[0], fault); err != nil {
			return err
		}
		w.producers.send(ctx, w.producers.plain, s, 20, nil)
		if err := w.caughtUp(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// spoolSome produces until there is something in the spool.
func (w *world) spoolSome(ctx context.Context, s stream) error {
	w.note("produce to %s, to be spooled", s)
	for range 20 {
		w.producers.send(ctx, w.producers.plain, s, 2, nil)
		time.Sleep(400 * time.Millisecond)
		if used := w.running[0].disk.measured("annals_archiver_spool_bytes"); used > 0 {
			return nil
		}
	}
	return nil
}
