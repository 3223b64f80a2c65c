package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// idle is how long a poll waits before progress is reported as final.
	idle = 500 * time.Millisecond
	// endPatience bounds finishing a transaction that was begun.
	endPatience = 30 * time.Second
)

// errReassigned says that partitions came or went: the state no longer fits
// them, and is read again in a new session.
var errReassigned = errors.New("partitions were assigned anew")

// step is what a service does with its input. It is used by one goroutine at a
// time and may keep state, provided that the state is a function of the
// records between the position that it names and the committed offset.
type step interface {
	// process returns what a record leads to. An error is the record's fault
	// and leaves the state as it was; the record becomes a dead letter.
	process(r *kgo.Record) ([]*kgo.Record, error)
	// rebuild begins to make the state from records that were processed
	// before: process is called with those of each partition, in order, from
	// the position's offset on, and what it returns is ignored. floor is the
	// highest that was committed, inputs the number of input partitions.
	// rebuilt ends it.
	rebuild(floor fixing, inputs int)
	rebuilt()
	// position is from where on a partition must be read to rebuild the
	// state; next is the offset to consume next.
	position(p partition, next int64) (from int64, floor fixing)
	// day is the newest fixing day handled, "" for none.
	day() string
}

// position is what a service commits beside each partition's offset, as the
// offset's metadata: all it needs to go on after a kill.
type position struct {
	// From is the offset to rebuild the state from.
	From int64 `json:"from"`
	// Floor is the oldest fixing that the whole state refers to.
	Floor fixing `json:"floor"`
	// In, Out and Dead count what was consumed, produced and given up, ever.
	In   int64 `json:"in"`
	Out  int64 `json:"out"`
	Dead int64 `json:"dead,omitempty"`
}

// transactor runs a step: it consumes, processes, produces and commits, each
// batch as one transaction. Any doubt about a transaction ends the session;
// the next one finds what is committed and goes on from there.
type transactor struct {
	name    string
	inputs  []string
	outputs []string
	cfg     Config
	step    step
	log     *slog.Logger
	report  *reporter

	transactions int

	mu        sync.Mutex // below and step: set by the group's goroutine, then used by session's
	positions map[partition]*position
	assigned  bool

	// Taken for a moment only: the group's callbacks set it while they hold
	// locks that the end of a transaction waits for.
	failMu  sync.Mutex
	failure error // ends the session
}

// session runs until the context ends (nil) or something fails.
func (t *transactor) session(ctx context.Context) error {
	opts, err := t.cfg.client(t.name)
	if err != nil {
		return err
	}
	admin, err := kgo.NewClient(slices.Concat(opts, producer(t.name))...)
	if err != nil {
		return fmt.Errorf("open Kafka client: %w", err)
	}
	defer admin.Close()
	// Fences a predecessor and aborts what it left open, before any offset is
	// asked for: an open transaction's offsets are not told for a second.
	if _, _, err := admin.ProducerID(ctx); err != nil {
		return fmt.Errorf("get producer id: %w", err)
	}
	if err := ensureTopics(ctx, admin, slices.Concat(t.inputs, t.outputs)...); err != nil {
		return err
	}
	topics, err := kadm.NewClient(admin).ListTopics(ctx, t.inputs...)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return fmt.Errorf("describe input topics: %w", err)
	}
	session, err := kgo.NewGroupTransactSession(append(
		slices.Concat(opts, producer(t.name)),
		kgo.ConsumerGroup(t.name),
		kgo.ConsumeTopics(t.inputs...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		// A static member: a process started after a kill takes the place of
		// the killed one at once, instead of after the session timeout.
		kgo.InstanceID(t.name),
		kgo.SessionTimeout(30*time.Second),
		kgo.OnOffsetsFetched(func(ctx context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
			return t.assign(ctx, topics, resp)
		}),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { t.fail(errReassigned) }),
	)...)
	if err != nil {
		return fmt.Errorf("open transactional session: %w", err)
	}
	defer session.Close()
	return t.loop(ctx, admin, session)
}

func (t *transactor) loop(ctx context.Context, admin *kgo.Client, session *kgo.GroupTransactSession) error {
	for {
		pollCtx, cancel := context.WithTimeout(ctx, idle)
		fetches := session.PollRecords(pollCtx, t.cfg.Batch)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err := t.failed(); err != nil {
			return err
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return fmt.Errorf("fetch %s/%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		if fetches.NumRecords() == 0 {
			t.report.flush()
			continue
		}
		if err := t.transact(ctx, admin, session, fetches); err != nil {
			return err
		}
	}
}

// assign takes over partitions: it finds what was committed beside their
// offsets and rebuilds the state. It runs on the group's goroutine, before any
// of the partitions' records are polled.
func (t *transactor) assign(ctx context.Context, topics kadm.TopicDetails, resp *kmsg.OffsetFetchResponse) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.assigned {
		t.fail(errReassigned)
		return nil
	}
	t.assigned = true
	t.positions = map[partition]*position{}
	spans, floor, err := t.committed(topics, resp)
	if err == nil {
		err = t.restore(ctx, spans, floor)
	}
	if err != nil {
		t.fail(err)
	}
	return nil
}

// committed fills positions, and returns what must be read again.
func (t *transactor) committed(topics kadm.TopicDetails, resp *kmsg.OffsetFetchResponse) (map[partition]span, fixing, error) {
	names := map[[16]byte]string{}
	missing := 0
	for _, detail := range topics {
		names[detail.ID] = detail.Topic
		missing += len(detail.Partitions)
	}
	spans := map[partition]span{}
	var floor fixing
	for _, group := range resp.Groups {
		for _, topic := range group.Topics {
			name := topic.Topic
			if name == "" {
				name = names[topic.TopicID]
			}
			for _, p := range topic.Partitions {
				missing--
				pos := &position{}
				at := partition{name, p.Partition}
				t.positions[at] = pos
				if p.Offset <= 0 {
					continue
				}
				if p.Metadata == nil || json.Unmarshal([]byte(*p.Metadata), pos) != nil {
					return nil, floor, fmt.Errorf("group %s: offset %d of %s/%d was not committed by this service, so its state is unknown: reset the group to the earliest offsets", t.name, p.Offset, name, p.Partition)
				}
				spans[at] = span{pos.From, p.Offset}
				if floor.before(pos.Floor) {
					floor = pos.Floor
				}
			}
		}
	}
	if missing > 0 {
		return nil, floor, fmt.Errorf("%d partitions of %v belong to another member: %s must run alone", missing, t.inputs, t.name)
	}
	return spans, floor, nil
}

func (t *transactor) restore(ctx context.Context, spans map[partition]span, floor fixing) error {
	began, n := time.Now(), 0
	t.step.rebuild(floor, len(t.positions))
	err := readCommitted(ctx, t.cfg, t.name, spans, func(r *kgo.Record) {
		// What it led to is there; what failed became a dead letter then.
		_, _ = t.step.process(r)
		n++
	})
	if err != nil {
		return fmt.Errorf("rebuild state: %w", err)
	}
	t.step.rebuilt()
	t.log.Info("took over", "partitions", len(t.positions), "records_read_again", n, "took", time.Since(began).Round(time.Millisecond).String())
	t.report.report(t.progress())
	return nil
}

// transact processes polled records and commits what comes of them together
// with their offsets.
func (t *transactor) transact(ctx context.Context, admin *kgo.Client, session *kgo.GroupTransactSession, fetches kgo.Fetches) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*kgo.Record
	dead := map[string]bool{}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 {
			return
		}
		pos := t.positions[partition{f.Topic, f.Partition}]
		for _, r := range f.Records {
			rs, err := t.step.process(r)
			if err != nil {
				t.log.Error("record goes to dead letters", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "trace_id", traceOf(r), "err", err)
				out = append(out, deadLetter(r, t.name, err))
				dead[deadLetters(r.Topic)] = true
				pos.Dead++
			}
			out = append(out, rs...)
			pos.In++
			pos.Out += int64(len(rs))
		}
	})
	// Positions are of the state after the whole batch.
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if n := len(f.Records); n > 0 {
			p := partition{f.Topic, f.Partition}
			pos := t.positions[p]
			pos.From, pos.Floor = t.step.position(p, f.Records[n-1].Offset+1)
		}
	})
	for topic := range dead {
		if err := ensureTopics(ctx, admin, topic); err != nil {
			return err
		}
	}
	if err := t.commit(ctx, session, out); err != nil {
		return err
	}
	t.report.report(t.progress())
	return nil
}

func (t *transactor) commit(ctx context.Context, session *kgo.GroupTransactSession, out []*kgo.Record) error {
	// What is begun is ended, also when the service is asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	t.transactions++
	if n := t.cfg.AbortEvery; n > 0 && t.transactions%n == min(3, n-1) && len(out) > 0 {
		if err := t.abortOnce(ctx, session, out); err != nil {
			return err
		}
	}
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	failed := produce(ctx, session.Client(), out)
	try := kgo.TryCommit
	if failed != nil {
		try = kgo.TryAbort
	}
	committed, err := session.End(kgo.PreTxnCommitFnContext(ctx, t.describe), try)
	switch {
	case failed != nil:
		return errors.Join(failed, err)
	case err != nil:
		return fmt.Errorf("end transaction: %w", err)
	case !committed:
		return fmt.Errorf("transaction was aborted: %w", errReassigned)
	}
	return nil
}

// abortOnce produces a batch and aborts it, as happens to any transactional
// service now and then; the same batch is then produced again.
func (t *transactor) abortOnce(ctx context.Context, session *kgo.GroupTransactSession, out []*kgo.Record) error {
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	copies := make([]*kgo.Record, len(out))
	for i, r := range out {
		copies[i] = &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
	}
	failed := produce(ctx, session.Client(), copies)
	err := session.Client().EndTransaction(ctx, kgo.TryAbort)
	if err = errors.Join(failed, err); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	t.log.Info("transaction aborted on purpose, doing it again", "records", len(out))
	return nil
}

// produce hands over records and waits until all are acknowledged.
func produce(ctx context.Context, cl *kgo.Client, out []*kgo.Record) error {
	var mu sync.Mutex
	var first error
	for _, r := range out {
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = fmt.Errorf("produce to %s: %w", r.Topic, err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return first
}

// describe puts the positions beside the offsets that are committed. It runs
// inside the transaction's end, while transact holds the mutex.
func (t *transactor) describe(req *kmsg.TxnOffsetCommitRequest) error {
	for i := range req.Topics {
		topic := &req.Topics[i]
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			b, err := json.Marshal(t.positions[partition{topic.Topic, p.Partition}])
			if err != nil {
				return fmt.Errorf("encode position: %w", err)
			}
			p.Metadata = kmsg.StringPtr(string(b))
		}
	}
	return nil
}

func (t *transactor) progress() Progress {
	p := Progress{Service: t.name, Day: t.step.day()}
	for _, pos := range t.positions {
		p.In += pos.In
		p.Out += pos.Out
		p.Dead += pos.Dead
	}
	return p
}

func (t *transactor) fail(err error) {
	t.failMu.Lock()
	defer t.failMu.Unlock()
	if t.failure == nil {
		t.failure = err
	}
}

func (t *transactor) failed() error {
	t.failMu.Lock()
	defer t.failMu.Unlock()
	return t.failure
}

// traceOf finds a record's trace id for the log, whatever dialect it speaks.
func traceOf(r *kgo.Record) string {
	for _, name := range []string{"traceparent", "ce_traceparent", "traceId"} {
		if v := headerValue(r, name); len(v) == 55 {
			return v[3:35]
		} else if v != "" {
			return shorten(v)
		}
	}
	return ""
}

// fenced says whether a newer process of the same name has taken over.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.FencedInstanceID)
}
