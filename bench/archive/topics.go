package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// unit is a load that is archived: some topics that begin alike.
type unit struct {
	name       string // "plain-4": the shape, and the partitions of all topics together
	topics     []string
	partitions int
	records    int64
	payload    int64 // bytes of keys, values, header names and values
	log        int64 // bytes of the records in Kafka's log, in its zstd batches
}

// pattern matches the unit's topics and no others.
func (u *unit) pattern() string { return regexp.QuoteMeta(u.name) + `\..*` }

func size(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// Batches as a busy producer makes them: this much before compression.
const batchBytes = 128 << 10

// producer sends zstd batches to partitions that the records name.
func producer(k embedded.UpKafka) (*kgo.Client, error) {
	return measure.KafkaClient(k, kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.ProducerLinger(time.Second), kgo.MaxBufferedRecords(100_000))
}

// create makes topics that keep everything.
func create(ctx context.Context, client *kgo.Client, partitions int, topics ...string) error {
	forever := "-1"
	answers, err := kadm.NewClient(client).CreateTopics(ctx, int32(partitions), 1, map[string]*string{"retention.ms": &forever}, topics...)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	return nil
}

// fill produces what next yields until it yields nil.
func fill(ctx context.Context, client *kgo.Client, next func() *kgo.Record) (records, payload int64, err error) {
	var (
		mu     sync.Mutex
		failed error
	)
	for r := next(); r != nil; r = next() {
		records, payload = records+1, payload+size(r)
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	err = client.Flush(ctx)
	mu.Lock()
	defer mu.Unlock()
	if err = errors.Join(err, failed); err != nil {
		return 0, 0, fmt.Errorf("fill topics: %w", err)
	}
	return records, payload, nil
}

// plain loads records of 300 bytes.
func (b *bench) plain(ctx context.Context, k embedded.UpKafka, name string, partitions int, records int64) (*unit, error) {
	u := &unit{name: name, partitions: partitions}
	u.topics = []string{u.name + ".orders"}
	client, err := producer(k)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := create(ctx, client, partitions, u.topics...); err != nil {
		return nil, err
	}
	i := int64(0)
	u.records, u.payload, err = fill(ctx, client, func() *kgo.Record {
		if i == records {
			return nil
		}
		r := measure.Order(i, partitions)
		r.Topic = u.topics[0]
		i++
		return r
	})
	return u, errors.Join(err, u.measureLog(ctx, client))
}

// The demo publishes about this many records a year of history.
const demoRecordsAYear = 24_000

// demonstrate runs the example pipeline until its history is processed, and
// returns its four topics. They are sources only: the units are copies without
// the transactions' markers, in other numbers of partitions.
func (b *bench) demonstrate(ctx context.Context, k embedded.UpKafka) ([]string, error) {
	client, err := measure.KafkaClient(k)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	years := min(27, max(1, b.records/demoRecordsAYear))
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "annals-demo"), "all", "--once", "--no-live",
		"--years", strconv.FormatInt(years, 10), "--brokers", strings.Join(k.Brokers, ","), "--user", k.User)
	cmd.Env = append(os.Environ(), "DEMO_KAFKA_PASSWORD="+k.Password)
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run the demo: %w\n%s", err, said[max(0, len(said)-2000):])
	}
	topics, err := kadm.NewClient(client).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the demo's topics: %w", err)
	}
	var names []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, "fx.") {
			names = append(names, name)
		}
	}
	return names, nil
}

// copyDemo loads the demo's committed records once more. Of each source topic
// there is one of ours; partitions are those of all together.
func (b *bench) copyDemo(ctx context.Context, k embedded.UpKafka, sources []string, partitions int) (*unit, error) {
	u := &unit{name: fmt.Sprintf("demo-%d", partitions), partitions: partitions}
	each := max(1, partitions/len(sources))
	for _, s := range sources {
		u.topics = append(u.topics, u.name+"."+s)
	}
	client, err := producer(k)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := create(ctx, client, each, u.topics...); err != nil {
		return nil, err
	}
	for _, s := range sources {
		next, done, err := reader(ctx, k, s)
		if err != nil {
			return nil, err
		}
		n, bytes, err := fill(ctx, client, func() *kgo.Record {
			r := next()
			if r == nil {
				return nil
			}
			h := fnv.New32a()
			h.Write(r.Key)
			return &kgo.Record{
				Topic: u.name + "." + s, Partition: int32(h.Sum32() % uint32(each)),
				Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp,
			}
		})
		if err = errors.Join(err, done()); err != nil {
			return nil, err
		}
		u.records, u.payload = u.records+n, u.payload+bytes
	}
	return u, u.measureLog(ctx, client)
}

// reader yields a topic's committed records to its present end, then nil.
func reader(ctx context.Context, k embedded.UpKafka, topic string) (next func() *kgo.Record, done func() error, err error) {
	client, err := measure.KafkaClient(k, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, nil, err
	}
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("ask where %s ends: %w", topic, err)
	}
	open := map[int32]int64{} // partitions that are not read to their end
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			open[o.Partition] = o.Offset
		}
	})
	var (
		buffered []*kgo.Record
		failed   error
	)
	next = func() *kgo.Record {
		for {
			for len(buffered) > 0 {
				r := buffered[0]
				buffered = buffered[1:]
				if r.Offset >= open[r.Partition]-1 {
					delete(open, r.Partition)
				}
				if !r.Attrs.IsControl() {
					return r
				}
			}
			if len(open) == 0 || failed != nil {
				return nil
			}
			waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
			fetches := client.PollFetches(waiting)
			cancel()
			if failed = fetches.Err(); failed != nil {
				return nil
			}
			buffered = fetches.Records()
		}
	}
	return next, func() error { client.Close(); return failed }, nil
}

// measureLog asks the broker how large the topics' logs are.
func (u *unit) measureLog(ctx context.Context, client *kgo.Client) error {
	dirs, err := kadm.NewClient(client).DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return fmt.Errorf("ask how large the logs are: %w", err)
	}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			for _, topic := range u.topics {
				if p.Topic == topic {
					u.log += p.Size
				}
			}
		})
	})
	return nil
}
