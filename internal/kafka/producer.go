package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// ErrFenced tells that another producer with the same transactional ID has
// begun (KIP-98), or that the coordinator changed this one's epoch: what was
// under way is aborted, and where the work stands must be read anew.
var ErrFenced = errors.New("another producer with this transactional ID has begun")

// Timestamps that a Producer can write: the client keeps nanoseconds in 64
// bits, from 1677 to 2262. Others would change on the way.
const (
	MinTimestamp int64 = math.MinInt64/1_000_000 + 1
	MaxTimestamp int64 = math.MaxInt64/1_000_000 - 1
)

// ProducerOptions make a transactional producer.
type ProducerOptions struct {
	TransactionalID string
	// TransactionTimeout is after how long the broker aborts what a producer
	// left open; 60 s if zero.
	TransactionTimeout time.Duration
	// BatchBytes bounds a topic's batches before compression, in bytes; no
	// larger record can be written. nil: the client's default of 1,000,012.
	BatchBytes func(topic string) int32
}

// Producer writes records in transactions, each to the partition it names,
// with exactly the bytes and timestamp it is given. It adds no headers. It
// belongs to one goroutine.
//
// After an error of any method but Close, nothing can be said of the open
// transaction: Close, make a new Producer, Init it and read where it stands.
// The client's own recovery is not used, since it takes a new epoch in the
// midst of the work, and with it the place of whoever had fenced this one.
type Producer struct {
	client *kgo.Client
	id     int64
	epoch  int16

	pieces  pieces
	promise func(*kgo.Record, error) // refused, made once

	mu     sync.Mutex
	failed error // why a record was refused
}

// NewProducer checks the options; nothing is dialled yet.
func NewProducer(options Options, transactions ProducerOptions) (*Producer, error) {
	if transactions.TransactionalID == "" {
		return nil, schema.Errorf(schema.Invalid, "a transactional producer needs an ID")
	}
	if transactions.TransactionTimeout == 0 {
		transactions.TransactionTimeout = time.Minute
	}
	extra := []kgo.Opt{
		kgo.TransactionalID(transactions.TransactionalID),
		kgo.TransactionTimeout(transactions.TransactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.StopProducerOnDataLossDetected(),
		// What is buffered is bounded by who produces: a transaction.
		kgo.MaxBufferedRecords(1 << 20),
		kgo.ProducerLinger(0),
	}
	if limit := transactions.BatchBytes; limit != nil {
		extra = append(extra, kgo.ProducerBatchMaxBytesFn(limit))
	}
	client, err := options.client(extra...)
	if err != nil {
		return nil, err
	}
	p := &Producer{client: client}
	p.promise = p.refused
	return p, nil
}

// Init registers with the coordinator. When it returns, every earlier producer
// with the same transactional ID is fenced, and its last transaction is
// committed or aborted on all partitions. It returns the producer ID that the
// records will carry.
func (p *Producer) Init(ctx context.Context) (int64, error) {
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return 0, produceError("begin as transactional producer", err)
	}
	p.id, p.epoch = id, epoch
	return id, nil
}

// ID is the producer ID in use. A broker that runs out of epochs gives another
// one at the end of a transaction.
func (p *Producer) ID() int64 { return p.id }

// Begin opens a transaction. Nothing is sent.
func (p *Producer) Begin(ctx context.Context) error {
	if err := p.client.BeginTransaction(); err != nil {
		return produceError("begin transaction", err)
	}
	return p.unchanged(ctx)
}

// unchanged compares the epoch with the one that was last agreed on.
func (p *Producer) unchanged(ctx context.Context) error {
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return produceError("ask for the producer's epoch", err)
	}
	if id != p.id || epoch != p.epoch {
		return schema.Errorf(schema.Unavailable, "producer %d epoch %d is now %d epoch %d: %w", p.id, p.epoch, id, epoch, ErrFenced)
	}
	return nil
}

// Produce adds a record to the open transaction: its key, value, headers and
// timestamp, to a partition of a topic. Its bytes must not change until Commit
// or Abort has returned. What the broker refuses is Commit's to say. acked, if
// not nil, is called when the broker has the record, from another goroutine.
func (p *Producer) Produce(ctx context.Context, topic string, partition int32, r *schema.Record, acked func()) {
	promise := p.promise
	if acked != nil {
		promise = func(r *kgo.Record, err error) {
			if err == nil {
				acked()
			} else {
				p.refused(r, err)
			}
		}
	}
	p.client.Produce(ctx, p.pieces.wire(topic, partition, r), promise)
}

// refused keeps why the broker did not take a record.
func (p *Producer) refused(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	err = produceError(fmt.Sprintf("produce to %s", named(r.Topic, r.Partition)), err)
	p.mu.Lock()
	defer p.mu.Unlock()
	// One record that is refused makes the client give up the others: keep
	// the reason, not its consequence.
	if p.failed == nil || schema.KindOf(p.failed) == schema.Unavailable && schema.KindOf(err) != schema.Unavailable {
		p.failed = err
	}
}

// pieces are the client's records of a transaction, many to an allocation. When it is
// over the largest are used again.
type pieces struct {
	records stock[kgo.Record]
	headers stock[kgo.RecordHeader]
}

// stock is memory of one kind: the piece that is being filled, those that are full,
// and those that are used again before one is made.
type stock[T any] struct {
	now         []T
	full, spare [][]T
}

// How many records, and headers, are allocated at once.
const (
	leastPiece = 128
	mostPiece  = 16 << 10
)

// wire makes the client's record. Null stays null: the client tells nil from empty.
func (p *pieces) wire(topic string, partition int32, r *schema.Record) *kgo.Record {
	out := &p.records.take(1)[0]
	out.Topic, out.Partition, out.Key, out.Value, out.Timestamp = topic, partition, r.Key, r.Value, time.UnixMilli(r.Timestamp)
	if n := len(r.Headers); n > 0 {
		out.Headers = p.headers.take(n)
		for i := range r.Headers {
			out.Headers[i] = kgo.RecordHeader{Key: r.Headers[i].Name, Value: r.Headers[i].Value}
		}
	}
	return out
}

// take gives n of them, which are zero.
func (s *stock[T]) take(n int) []T {
	if cap(s.now)-len(s.now) < n {
		s.next(n)
	}
	at := len(s.now)
	s.now = s.now[:at+n]
	return s.now[at : at+n : at+n]
}

// next begins a piece with place for n.
func (s *stock[T]) next(n int) {
	size := max(n, leastPiece, min(2*cap(s.now), mostPiece))
	if len(s.now) > 0 {
		s.full = append(s.full, s.now)
	}
	if last := len(s.spare) - 1; last >= 0 && cap(s.spare[last]) >= n {
		s.now, s.spare = s.spare[last], s.spare[:last]
		return
	}
	s.now = make([]T, 0, size)
}

// empty makes place for others, and lets go of what they hold. Nobody may use them any
// more. Pieces as large as they get, which full ones are from some transactions on, are
// kept.
func (s *stock[T]) empty() {
	clear(s.now)
	s.now = s.now[:0]
	for _, piece := range s.full {
		if cap(piece) == mostPiece {
			clear(piece)
			s.spare = append(s.spare, piece[:0])
		}
	}
	clear(s.full) // or its array would hold on to those that are not kept
	s.full = s.full[:0]
}

func (p *pieces) empty() {
	p.records.empty()
	p.headers.empty()
}

// Commit waits until every record is acknowledged and commits. After nil the
// transaction is durable and visible to whoever reads committed; after an
// error it may be, or not. ctx should outlive whoever asked: cancelled in the
// midst, nobody knows the outcome.
func (p *Producer) Commit(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return produceError("flush transaction", err)
	}
	p.mu.Lock()
	failed := p.failed
	p.mu.Unlock()
	if failed != nil {
		return failed
	}
	// With another epoch than at Begin the records were aborted, and the commit
	// would be of nothing.
	if err := p.unchanged(ctx); err != nil {
		return err
	}
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return produceError("commit transaction", err)
	}
	p.pieces.empty() // each was acknowledged, and its promise called
	return p.agree(ctx)
}

// agree takes the epoch that the end of a transaction brought (KIP-890).
func (p *Producer) agree(ctx context.Context) error {
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return produceError("ask for the producer's epoch", err)
	}
	p.id, p.epoch = id, epoch
	return nil
}

// Abort takes the open transaction back, so that readers need not wait for the
// broker's timeout.
func (p *Producer) Abort(ctx context.Context) error {
	if err := p.client.AbortBufferedRecords(ctx); err != nil {
		return produceError("abort transaction", err)
	}
	if err := p.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return produceError("abort transaction", err)
	}
	return p.agree(ctx)
}

// Mark writes one record in a transaction of its own and returns its offset.
func (p *Producer) Mark(ctx context.Context, topic string, partition int32, r *schema.Record) (int64, error) {
	if err := p.Begin(ctx); err != nil {
		return 0, err
	}
	marked, err := p.client.ProduceSync(ctx, p.pieces.wire(topic, partition, r)).First()
	if err != nil {
		return 0, produceError(fmt.Sprintf("produce to %s", named(topic, partition)), err)
	}
	offset := marked.Offset // the record is gone when the transaction is over
	return offset, p.Commit(ctx)
}

// Close lets go of the connections. A transaction that is open stays open
// until the broker's timeout, or until another producer begins.
func (p *Producer) Close() { p.client.Close() }

// produceError gives the client's error its kind. What no repetition mends is
// not Unavailable.
func produceError(doing string, err error) error {
	kind := schema.Unavailable
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case isAny(err, kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.FencedInstanceID):
		return schema.Errorf(kind, "%s: %w: %w", doing, ErrFenced, err)
	case isAny(err, kerr.TopicAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed):
		kind = schema.Permission
	case isAny(err, kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidTimestamp, kerr.InvalidRecord, kerr.UnsupportedForMessageFormat, kerr.InvalidTransactionTimeout):
		kind = schema.Invalid
	}
	return schema.Errorf(kind, "%s: %w", doing, err)
}

func isAny(err error, kinds ...*kerr.Error) bool {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
