//go:build synctests

package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// deed is one thing that may happen. It tells whether it could.
type deed struct {
	weight int
	what   func(*world, context.Context) (bool, error)
}

var deeds = []deed{
	{30, (*world).produce},
	{30, (*world).transact},
	{6, (*world).moveLeader},
	{2, (*world).bounce},
	{3, (*world).copy},
	{5, (*world).fallBack},
	{3, (*world).deleteRecords},
	{2, (*world).recreate},
	{4, (*world).join},
	{3, (*world).leave},
	{5, (*world).kill},
	{6, (*world).stall},
	{8, (*world).wake},
	{4, (*world).breakKafka},
	{3, (*world).deliverLate},
	{3, (*world).changeWeather},
	{5, (*world).askSeal},
	{4, (*world).read},
	{3, (*world).hold},
	{8, (*world).breakDisk},
}

// act does one thing, and lets some time pass.
func (w *world) act(ctx context.Context) error {
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	for done := false; !done; {
		n := w.script.below(total)
		for _, d := range deeds {
			if n -= d.weight; n < 0 {
				var err error
				if done, err = d.what(w, ctx); err != nil {
					return err
				}
				break
			}
		}
	}
	switch {
	case w.script.chance(0.3):
	case w.script.chance(0.85):
		time.Sleep(w.script.time(10*time.Millisecond, 3*time.Second))
	default:
		time.Sleep(w.script.time(3*time.Second, 25*time.Second))
	}
	return nil
}

func (w *world) anyStream() (stream, bool) {
	list := w.kafka.streams()
	if len(list) == 0 {
		return stream{}, false
	}
	return oneOf(w.script, list), true
}

func (w *world) produce(ctx context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	client, n := w.producers.plain, w.script.within(1, 12)
	if w.script.chance(0.5) {
		client = w.producers.idempotent
	}
	w.producers.send(ctx, client, s, n, nil)
	w.note("produce %d to %s", n, s)
	return true, nil
}

// transact begins a transaction, adds to one or ends it.
func (w *world) transact(ctx context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	t := oneOf(w.script, w.producers.transactional)
	if t.open == nil {
		if err := w.producers.begin(t); err != nil {
			return false, err
		}
	}
	if t.open == nil {
		return false, nil
	}
	n := w.script.within(1, 6)
	w.producers.send(ctx, t.client, s, n, t.open)
	w.note("%s produces %d to %s", t.id, n, s)
	if w.script.chance(0.5) {
		commit := w.script.chance(0.6)
		w.producers.end(ctx, t, commit)
		w.note("%s ends, commit: %t", t.id, commit)
	}
	return true, nil
}

func (w *world) moveLeader(context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	to := int32(w.script.below(w.settings.brokers))
	w.note("broker %d leads %s", to, s)
	if w.script.chance(0.2) {
		w.kafka.fake.RehashCoordinators()
	}
	return true, w.kafka.fake.MoveTopicPartition(s.topic, s.partition, to)
}

// reconnect makes new producers: the old ones know brokers that are no more.
func (w *world) reconnect(do func() error) error {
	for _, t := range w.producers.transactional {
		t.drop()
	}
	w.producers.close()
	if err := do(); err != nil {
		return err
	}
	return w.producers.connect(w.settings.writers)
}

func (w *world) bounce(ctx context.Context) (bool, error) {
	p := passage{down: w.script.time(0, 20*time.Second), committed: w.script.chance(0.3)}
	w.note("the brokers are restarted, what was open is committed: %t", p.committed)
	return true, w.reconnect(func() error { return w.kafka.restart(ctx, p) })
}

func (w *world) copy(ctx context.Context) (bool, error) {
	return true, w.copyWith(ctx, passage{down: w.script.time(0, 5*time.Second), committed: w.script.chance(0.3)})
}

func (w *world) copyWith(ctx context.Context, p passage) error {
	w.note("the followers have what there is now; what is open is committed: %t", p.committed)
	w.copied = true
	return w.reconnect(func() error { return w.kafka.keep(ctx, p) })
}

func (w *world) fallBack(ctx context.Context) (bool, error) {
	if !w.copied {
		return false, nil
	}
	p := passage{down: w.script.time(0, 20*time.Second), committed: w.script.chance(0.3)}
	if w.script.chance(0.5) {
		p.arriving = w.unseen(0, 12)
	}
	return true, w.fallBackWith(ctx, w.script.chance(0.5), p)
}

func (w *world) fallBackWith(ctx context.Context, swap bool, p passage) error {
	w.note("unclean elections: the followers lead; the others keep their logs: %t; what is open is committed: %t", swap, p.committed)
	w.copied = swap
	return w.reconnect(func() error { return w.kafka.setBack(ctx, swap, p) })
}

// unseen produces a few records to each partition in the midst of a passage: no
// archiver has seen the log as it was before, or will.
func (w *world) unseen(least, most int) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, p := range w.all {
			p.conns.cut()
		}
		client, err := w.kafka.client(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
		if err != nil {
			return err
		}
		defer client.Close()
		for _, s := range w.kafka.streams() {
			if n := w.script.within(least, most); n > 0 {
				w.producers.send(ctx, client, s, n, nil)
				w.note("produce %d to %s, unseen", n, s)
			}
		}
		return nil
	}
}

// hold places a commit that moves nothing: whoever appends from an older head
// loses the seq, and nothing else.
func (w *world) hold(ctx context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	return w.holdOn(ctx, s)
}

func (w *world) holdOn(ctx context.Context, s stream) (bool, error) {
	head, err := w.book.Head(ctx, w.streamOf(s))
	if schema.KindOf(err) == schema.NotFound && err != nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	digest := head.Digest
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: schema.KindHold, Cluster: "simulation", Topic: s.topic, TopicID: s.id, Partition: s.partition,
		Branch: head.Commit.Branch, Seq: head.Commit.Seq + 1, Previous: &digest, Attempt: uuid.NewString(), Writer: "holder",
		Base: head.Next, Next: head.Next, Authority: &schema.Authority{Reason: "a case", RequestedBy: "simulation", ApprovedBy: []string{}},
		Clock: time.Now().UTC().Format(time.RFC3339Nano),
	}
	var lost *ledger.LostError
	if _, err = w.book.Append(ctx, head, c); errors.As(err, &lost) {
		return false, nil
	}
	w.note("a hold is placed on %s", s)
	w.index.noteCommit(index.SegmentOf(c))
	return true, err
}

func (w *world) deleteRecords(ctx context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	if err := w.kafka.observe(ctx); err != nil {
		return false, err
	}
	h := w.kafka.truth[s]
	last := int64(len(h.records)) - 1 // stays: kfake forgets where an empty log ended
	if last <= h.start {
		return false, nil
	}
	// Below the last stable offset, as the brokers ask.
	to := h.start + 1 + int64(w.script.below(int(last-h.start)))
	if stable := w.kafka.fake.PartitionInfo(s.topic, s.partition).LastStableOffset; to > stable {
		to = stable
	}
	if to <= h.start {
		return false, nil
	}
	w.note("records of %s below %d are deleted", s, to)
	h.deleted = max(h.deleted, to)
	return true, w.kafka.fake.DeleteRecords(s.topic, s.partition, to)
}

func (w *world) recreate(ctx context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	w.note("topic %s is deleted", s)
	for _, t := range w.producers.transactional {
		t.drop()
	}
	if err := w.kafka.remove(ctx, s.topic); err != nil {
		return false, err
	}
	time.Sleep(w.script.time(0, 15*time.Second))
	w.note("and created again")
	return true, w.kafka.create(s.topic, int32(w.settings.partitions))
}

func (w *world) join(context.Context) (bool, error) {
	if len(w.running) >= w.settings.archivers {
		return false, nil
	}
	p, err := w.launch()
	if err == nil {
		w.note("archiver %s starts", p.name)
	}
	return true, err
}

func (w *world) anyProcess() *process {
	if len(w.running) == 0 {
		return nil
	}
	return oneOf(w.script, w.running)
}

func (w *world) forget(p *process) {
	w.running = slices.DeleteFunc(w.running, func(q *process) bool { return p == q })
}

func (w *world) leave(context.Context) (bool, error) {
	p := w.anyProcess()
	if p == nil || p.gate.isShut() {
		return false, nil
	}
	w.note("archiver %s is stopped", p.name)
	w.forget(p)
	p.cancel()
	return true, nil
}

func (w *world) kill(context.Context) (bool, error) {
	p := w.anyProcess()
	if p == nil {
		return false, nil
	}
	w.note("archiver %s is killed", p.name)
	w.forget(p)
	p.crash()
	return true, nil
}

func (w *world) stall(context.Context) (bool, error) {
	p := w.anyProcess()
	if p == nil || p.gate.isShut() {
		return false, nil
	}
	w.note("archiver %s is cut off", p.name)
	p.gate.shut()
	if w.script.chance(0.4) {
		time.Sleep(w.script.time(30*time.Second, 2*time.Minute))
	}
	return true, nil
}

func (w *world) wake(context.Context) (bool, error) {
	p := w.anyProcess()
	if p == nil || !p.gate.isShut() {
		return false, nil
	}
	w.note("archiver %s is back", p.name)
	p.gate.unlock(false)
	return true, nil
}

var kafkaFaults = []kfake.Fault{
	{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition},
	{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.UnknownServerError},
	{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress, TopLevel: true},
	{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true},
	{Keys: []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup}, Err: kerr.CoordinatorLoadInProgress, TopLevel: true},
	{Keys: []kmsg.Key{kmsg.OffsetForLeaderEpoch}, Err: kerr.FencedLeaderEpoch},
	{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable},
	{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator},
	{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition},
	{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend},
}

func (w *world) breakKafka(context.Context) (bool, error) {
	f := oneOf(w.script, kafkaFaults)
	f.Count = w.script.within(1, 5)
	w.note("brokers answer %d × %s to %v", f.Count, f.Err.Message, f.Keys)
	w.kafka.fake.Fault(f)
	if w.kafka.groups != nil {
		w.kafka.groups.Fault(f)
	}
	return true, nil
}

func (w *world) deliverLate(context.Context) (bool, error) {
	any := false
	for _, p := range w.all {
		n, err := p.faults.Deliver()
		if err != nil {
			return false, err
		}
		any = any || n > 0
	}
	return any, nil
}

func (w *world) changeWeather(context.Context) (bool, error) {
	w.mu.Lock()
	w.slowly = !w.slowly
	slowly := w.slowly
	w.mu.Unlock()
	w.note("the store is slow: %t", slowly)
	return true, nil
}

func (w *world) askSeal(ctx context.Context) (bool, error) {
	p := w.anyProcess()
	if p == nil {
		return false, nil
	}
	_, err := p.a.Seal(ctx, false)
	w.note("archiver %s is asked to seal", p.name)
	return true, err
}

// read looks up what is current and reads it a while later, as a query does.
func (w *world) read(ctx context.Context) (bool, error) {
	s, ok := w.anyStream()
	if !ok {
		return false, nil
	}
	keys, err := w.lookUp(ctx, s)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	time.Sleep(w.script.time(0, 30*time.Second))
	return true, w.stillThere(ctx, keys)
}

// lookUp names the objects that a reader is about to read.
func (w *world) lookUp(ctx context.Context, s stream) (keys []string, err error) {
	view, err := w.book.View(ctx, w.streamOf(s), nil)
	if schema.KindOf(err) == schema.NotFound && err != nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reader: %w", err)
	}
	for _, segment := range view.Current() {
		keys = append(keys, segment.Ref.Key)
	}
	return keys, nil
}

func (w *world) stillThere(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if _, err := w.store.Stat(ctx, key); err != nil {
			return fmt.Errorf("reader: what a view named is gone: %w", err)
		}
	}
	return nil
}

func (w *world) streamOf(s stream) schema.Stream {
	return schema.Stream{Cluster: "simulation", Topic: s.topic, TopicID: s.id, Partition: s.partition}
}

// night stops the archivers, one way or another, for a day or more. In some
// seeds one of them sleeps instead, in the moment between a segment and its
// commit, and goes on in the morning as if nothing had been.
func (w *world) night(ctx context.Context) error {
	for _, t := range w.producers.transactional {
		t.drop()
	}
	var sleeper *process
	if w.settings.sleeper {
		sleeper = w.lullaby(ctx)
	}
	for _, p := range slices.Clone(w.running) {
		if p == sleeper {
			continue
		}
		w.forget(p)
		if p.gate.isShut() || w.script.chance(0.3) {
			p.crash()
		} else {
			p.cancel()
		}
	}
	for _, p := range w.all {
		if p != sleeper {
			<-p.done
		}
	}
	w.producers.close()
	long := w.script.time(25*time.Hour, 40*time.Hour)
	w.note("night: %s", long)
	time.Sleep(long)
	if err := w.producers.connect(w.settings.writers); err != nil {
		return err
	}
	for len(w.running) < w.settings.archivers {
		if _, err := w.launch(); err != nil {
			return err
		}
	}
	var reading []string
	for _, s := range w.kafka.streams() {
		keys, err := w.lookUp(ctx, s)
		if err != nil {
			return err
		}
		reading = append(reading, keys...)
	}
	if w.dawn != nil {
		if err := w.dawn(ctx); err != nil {
			return err
		}
	}
	time.Sleep(w.settings.options.Compact.Every + 10*time.Second)
	if sleeper != nil {
		w.note("archiver %s wakes up", sleeper.name)
		sleeper.gate.unlock(false)
		time.Sleep(10 * time.Second)
	}
	return w.stillThere(ctx, reading)
}

// lullaby puts the first archiver that is about to commit a segment to sleep.
func (w *world) lullaby(ctx context.Context) *process {
	drowsy := make(chan *process, 1)
	for _, p := range w.running {
		if !p.gate.isShut() {
			p.wire.drowse(false, func(context.Context) {
				select {
				case drowsy <- p:
					p.gate.shut()
				default:
				}
			})
		}
	}
	for _, s := range w.kafka.streams() {
		w.producers.send(ctx, w.producers.plain, s, 3, nil)
	}
	defer func() {
		for _, p := range w.running {
			p.wire.drowse(false, nil)
		}
	}()
	select {
	case p := <-drowsy:
		w.note("archiver %s falls asleep before a commit", p.name)
		return p
	case <-time.After(2 * w.settings.options.Cut.MaxAge):
		return nil
	}
}
