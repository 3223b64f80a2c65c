package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// TopicPartition names a partition by topic name, as the group protocol does.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String gives "topic/partition".
func (p TopicPartition) String() string { return named(p.Topic, p.Partition) }

// Start says where to begin reading a partition. LeaderEpoch is the last
// archived record's, or -1.
type Start struct {
	Offset      int64
	LeaderEpoch int32
}

// Owner is told what the group assigns. Assigned returns where to begin for
// every partition it is given; it may take as long as ctx allows, and an error
// makes the member join again. Revoked and Lost must return within
// ConsumerOptions.RevokedWithin; after them no batch of those partitions follows. None of
// the three runs between a Poll that returned batches and Allow.
type Owner interface {
	Assigned(ctx context.Context, partitions []TopicPartition) (map[TopicPartition]Start, error)
	Revoked(ctx context.Context, partitions []TopicPartition)
	Lost(ctx context.Context, partitions []TopicPartition)
}

// ConsumerOptions tune the tail.
type ConsumerOptions struct {
	Group string
	// InstanceID makes the membership static (KIP-345): a restarted archiver
	// takes its partitions back at once instead of after the session timeout.
	// It must be unique in the group; empty: dynamic.
	InstanceID string
	// FetchBytes bounds one fetch per broker, and so the client's own buffer
	// (about twice this per broker, compressed); 2 MiB if zero.
	FetchBytes int32
	// RebalanceTimeout is the group's: who has not joined again by then is no
	// member any more. 60 s if zero.
	RebalanceTimeout time.Duration
}

func (o ConsumerOptions) rebalanceTimeout() time.Duration {
	if o.RebalanceTimeout == 0 {
		return time.Minute
	}
	return o.RebalanceTimeout
}

// RevokedWithin is how long the Owner's Revoked may take. The other half of the
// rebalance timeout is for what is between it and the group: a poll that is not over
// yet, and joining again.
func (o ConsumerOptions) RevokedWithin() time.Duration { return o.rebalanceTimeout() / 2 }

// Consumer is one member of the archivers' group. The group decides who reads
// a partition; where to begin is the Owner's answer, Kafka's committed offsets
// are never used. Records come read uncommitted, with control records.
type Consumer struct {
	client *kgo.Client
	group  string
	names  names
	member *membership
	// records are those of the last Poll, whose memory is the next one's.
	records []schema.Record
}

// NewConsumer joins nothing yet: Add topics, then Poll.
func NewConsumer(options Options, tail ConsumerOptions, owner Owner) (*Consumer, error) {
	if tail.FetchBytes == 0 {
		tail.FetchBytes = 2 << 20
	}
	member := &membership{group: tail.Group}
	hooks := &assignments{owner: owner, member: member}
	extra := []kgo.Opt{
		kgo.ConsumerGroup(tail.Group),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.KeepControlRecords(),
		kgo.WithPools(new(fetched)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(hooks.adjust),
		kgo.OnPartitionsAssigned(member.joined),
		kgo.WithHooks(member),
		kgo.OnPartitionsRevoked(hooks.revoked),
		kgo.OnPartitionsLost(hooks.lost),
		kgo.RebalanceTimeout(tail.rebalanceTimeout()),
		kgo.FetchMaxBytes(tail.FetchBytes),
		kgo.FetchMaxPartitionBytes(min(tail.FetchBytes, 1<<20)),
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.MaxConcurrentFetches(2),
	}
	if tail.InstanceID != "" {
		extra = append(extra, kgo.InstanceID(tail.InstanceID))
	}
	client, err := options.client(extra...)
	if err != nil {
		return nil, err
	}
	return &Consumer{client: client, group: tail.Group, names: names{}, member: member}, nil
}

// assignments turns the client's callbacks into the Owner's.
type assignments struct {
	owner  Owner
	member *membership
	mu     sync.Mutex
}

func (a *assignments) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var partitions []TopicPartition
	for topic, byPartition := range offsets {
		for partition := range byPartition {
			partitions = append(partitions, TopicPartition{topic, partition})
		}
	}
	starts, err := a.owner.Assigned(ctx, partitions)
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		start, ok := starts[p]
		if !ok {
			return nil, fmt.Errorf("open partition %s: the owner gave no start", p)
		}
		// The epoch is left out: with it the client would move the cursor on its
		// own when the log was truncated, and say so once.
		offsets[p.Topic][p.Partition] = kgo.NewOffset().At(start.Offset).WithEpoch(-1)
	}
	return offsets, nil
}

func (a *assignments) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	a.member.leaves()
	a.mu.Lock()
	defer a.mu.Unlock()
	if list := flatten(partitions); len(list) > 0 {
		a.owner.Revoked(ctx, list)
	}
}

func (a *assignments) lost(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	a.member.leaves()
	a.mu.Lock()
	defer a.mu.Unlock()
	if list := flatten(partitions); len(list) > 0 {
		a.owner.Lost(ctx, list)
	}
}

func flatten(partitions map[string][]int32) []TopicPartition {
	var list []TopicPartition
	for topic, numbers := range partitions {
		for _, number := range numbers {
			list = append(list, TopicPartition{topic, number})
		}
	}
	return list
}

// Batch is what one fetch brought of one partition. Err, if any, concerns this
// partition alone; then Records may still hold what came before it.
type Batch struct {
	TopicPartition
	TopicID          schema.TopicID
	HighWatermark    int64
	LastStableOffset int64
	LogStart         int64
	Records          []schema.Record
	Err              error
}

// ErrOffsetOutOfRange tells that the partition no longer holds the offset
// asked for: retention or DeleteRecords was faster. The partition stays silent
// until Seek.
var ErrOffsetOutOfRange = errors.New("offset out of range")

// ErrTruncated tells that the log no longer holds what was read from it: an
// unclean leader election took it away (KIP-320). The client has moved on by
// itself; what it brings next may be another history.
var ErrTruncated = errors.New("log truncated")

// ErrTopicGone tells that the topic was deleted, or deleted and created again.
var ErrTopicGone = errors.New("topic deleted or recreated")

// ErrTooLarge tells that a batch would decompress to more than a client takes.
// The partition stays silent until Seek.
var ErrTooLarge = errors.New("batch too large when decompressed")

// Poll waits for batches until ctx ends, then returns none. The error is the
// client's as a whole; what keeps it from the group Outside tells. Allow must
// follow every Poll: until then the batches' Records are good, and what these
// name, keys, values and headers, for as long as anybody holds it.
func (c *Consumer) Poll(ctx context.Context, most int) ([]Batch, error) {
	fetches := c.client.PollRecords(ctx, most)
	c.records = slices.Grow(c.records[:0], fetches.NumRecords())
	var batches []Batch
	var whole error
	fetches.EachTopic(func(t kgo.FetchTopic) {
		t.EachPartition(func(p kgo.FetchPartition) {
			if t.Topic == "" || p.Partition < 0 {
				var session *kgo.ErrGroupSession
				if p.Err != nil && ctx.Err() == nil && !errors.As(p.Err, &session) {
					whole = unavailable("poll", p.Err)
				}
				return
			}
			batches = append(batches, c.batch(t, p))
		})
	})
	return batches, whole
}

func (c *Consumer) batch(t kgo.FetchTopic, p kgo.FetchPartition) Batch {
	b := Batch{
		TopicPartition: TopicPartition{t.Topic, p.Partition}, TopicID: t.TopicID,
		HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset, LogStart: p.LogStartOffset,
		Err: classify(p.Err),
	}
	if len(p.Records) > 0 {
		from := len(c.records)
		c.records = c.records[:from+len(p.Records)]
		b.Records = c.records[from:len(c.records):len(c.records)]
		headers := headersOf(p.Records)
		for i, r := range p.Records {
			b.Records[i], headers = convert(r, t.TopicID, c.names, headers)
			r.Recycle()
		}
	}
	return b
}

// headersOf makes one slice for the headers of all records: as many small ones
// were a quarter of what the collector had to look at.
func headersOf(records []*kgo.Record) []schema.Header {
	n := 0
	for _, r := range records {
		n += len(r.Headers)
	}
	return make([]schema.Header, n)
}

// fetched keeps the client's own records for its next batches: ours are copies
// of them, but for the bytes that they name.
type fetched struct{ pool sync.Pool }

// GetRecords implements kgo.PoolRecords.
func (f *fetched) GetRecords(n int) []kgo.Record {
	if kept, ok := f.pool.Get().(*[]kgo.Record); ok && cap(*kept) >= n {
		return *kept
	}
	return make([]kgo.Record, n)
}

// PutRecords implements kgo.PoolRecords.
func (f *fetched) PutRecords(records []kgo.Record) { f.pool.Put(&records) }

func classify(err error) error {
	var loss *kgo.ErrDataLoss
	var large *kgo.ErrDecompressTooLarge
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.As(err, &loss):
		return fmt.Errorf("%w: %w", ErrTruncated, err)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return fmt.Errorf("%w: %w", ErrOffsetOutOfRange, err)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("%w: %w", ErrTopicGone, err)
	default:
		return err
	}
}

// Allow lets a waiting rebalance proceed, and lets go of the last Poll's
// records.
func (c *Consumer) Allow() {
	clear(c.records)
	c.client.AllowRebalance()
}

// Add starts consuming topics; Purge forgets them, so that a recreated topic
// can be added again.
func (c *Consumer) Add(topics ...string) {
	c.member.want()
	c.client.AddConsumeTopics(topics...)
}

// Purge forgets topics. It must not be called from the Owner's methods.
func (c *Consumer) Purge(topics ...string) { c.client.PurgeTopicsFromClient(topics...) }

// Seek moves assigned partitions; what was fetched of them and not polled is
// dropped. It waits until no fetch is under way, so hold no lock, and move all
// that are to be moved at once. Call it between Poll and Allow. It gives those that
// the client does not read, not yet or no more: an assignment is the Owner's before
// it is the client's, and a move between the two has no effect.
func (c *Consumer) Seek(to map[TopicPartition]Start) (unread []TopicPartition) {
	if len(to) == 0 {
		return nil
	}
	// The client passes over a move to where it believes it is, and keeps what it
	// has fetched there: such a partition is moved away first. Nothing is polled
	// in between.
	polled, started := c.client.UncommittedOffsets(), c.client.CommittedOffsets()
	away, offsets := map[string]map[int32]kgo.EpochOffset{}, map[string]map[int32]kgo.EpochOffset{}
	for p, start := range to {
		there := kgo.EpochOffset{Epoch: -1, Offset: start.Offset}
		now, read := started[p.Topic][p.Partition]
		if !read {
			unread = append(unread, p)
			continue
		}
		if further, ok := polled[p.Topic][p.Partition]; ok {
			now = further
		}
		if now == there {
			put(away, p, kgo.EpochOffset{Epoch: -1, Offset: start.Offset + 1})
		}
		put(offsets, p, there)
	}
	c.client.SetOffsets(away)
	c.client.SetOffsets(offsets)
	return unread
}

func put(into map[string]map[int32]kgo.EpochOffset, p TopicPartition, at kgo.EpochOffset) {
	if into[p.Topic] == nil {
		into[p.Topic] = map[int32]kgo.EpochOffset{}
	}
	into[p.Topic][p.Partition] = at
}

// Pause stops fetching partitions and drops what was fetched and not polled.
func (c *Consumer) Pause(partitions ...TopicPartition) {
	c.client.PauseFetchPartitions(byTopic(partitions))
}

// Resume undoes Pause.
func (c *Consumer) Resume(partitions ...TopicPartition) {
	if len(partitions) > 0 { // the client looks at all brokers again
		c.client.ResumeFetchPartitions(byTopic(partitions))
	}
}

func byTopic(partitions []TopicPartition) map[string][]int32 {
	topics := map[string][]int32{}
	for _, p := range partitions {
		topics[p.Topic] = append(topics[p.Topic], p.Partition)
	}
	return topics
}

// Commit tells Kafka how far the ledger is, for lag dashboards only; nobody
// starts from it. An error is worth a log line and nothing else.
func (c *Consumer) Commit(ctx context.Context, next map[TopicPartition]int64) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, offset := range next {
		put(offsets, p, kgo.EpochOffset{Epoch: -1, Offset: offset})
	}
	var failed error
	c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		failed = err
	})
	if failed != nil {
		return unavailable("commit advisory offsets of group "+c.group, failed)
	}
	return nil
}

// Close leaves the group (a static member stays in it) and the brokers.
func (c *Consumer) Close() {
	c.client.AllowRebalance()
	c.client.CloseAllowingRebalance()
}
