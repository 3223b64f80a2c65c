package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// The ledger of the cold start, and its bars.
const (
	coldPartitions = 1000
	coldCommits    = 100 // of each partition
	coldSeconds    = 10
	coldRequests   = 3 // of a partition, for the head; and for the byte check
)

// cold starts an archiver over a ledger that was written without it: a hundred
// commits of one record each in every partition, and one record more in Kafka.
// Reading is reached when that one has been taken in of all of them.
func (b *bench) cold(ctx context.Context) error {
	u := &unit{name: "cold", partitions: coldPartitions, topics: []string{"cold.orders"}}
	client, err := producer(b.up.Kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := create(ctx, client, coldPartitions, u.topics...); err != nil {
		return err
	}
	i := int64(0)
	_, _, err = fill(ctx, client, func() *kgo.Record {
		if i == coldPartitions*coldCommits {
			return nil
		}
		r := measure.Order(i, coldPartitions)
		r.Topic, r.Partition = u.topics[0], int32(i%coldPartitions)
		i++
		return r
	})
	if err != nil {
		return err
	}
	r := run{name: "cold", topics: u.pattern()}
	if err := b.writeLedger(ctx, client, u.topics[0], b.storedUnder(r.name)); err != nil {
		return err
	}
	err = b.coldStart(ctx, r)
	return errors.Join(err, b.forget(ctx, r))
}

func (b *bench) coldStart(ctx context.Context, r run) (err error) {
	cmd, base, err := b.command(r)
	if err != nil {
		return err
	}
	began := time.Now()
	p, err := measure.Start(cmd, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	taken := 0.0
	err = measure.Await(ctx, 3*time.Minute, 250*time.Millisecond, func() (bool, error) {
		if err := p.Alive(); err != nil {
			return false, err
		}
		n, err := measure.Metric(ctx, base, "annals_archiver_records_total")
		if err != nil {
			return false, nil // it does not answer yet
		}
		taken = n
		return taken >= coldPartitions, nil
	})
	if err != nil {
		return fmt.Errorf("%v of %d partitions are read: %w\n%s", taken, coldPartitions, err, p.Said())
	}
	took := time.Since(began)
	asked, err := requests(ctx, base)
	if err != nil {
		return err
	}
	f := b.figures
	f.AtMost("cold_start", took.Seconds(), "s", coldSeconds)
	if used, err := p.CPU(); err == nil {
		f.Add("cold_start_cpu", used.Seconds(), "s")
	}
	f.Add("cold_start_commits", coldPartitions*coldCommits, "commits")
	// A head is found by listing and read by one GET; the byte check reads
	// ranges of a segment.
	f.AtMost("cold_start_head_requests", (asked["list"]+asked["get"])/coldPartitions, "requests/partition", coldRequests)
	f.AtMost("cold_start_check_requests", (asked["get_range"]+asked["stat"])/coldPartitions, "requests/partition", coldRequests)
	for op, n := range asked {
		f.Add("cold_start_"+op, n, "requests")
	}
	return nil
}

// writeLedger puts chains into the embedded store's folder, as plain files:
// through the store it would take longer than everything else. Only the last
// segment of a partition is there; no start reads another.
func (b *bench) writeLedger(ctx context.Context, client *kgo.Client, topic, folder string) error {
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return fmt.Errorf("ask for the topic's ID: %w", err)
	}
	last, err := b.lastArchived(ctx, topic)
	if err != nil {
		return err
	}
	for partition := range int32(coldPartitions) {
		record := last[partition]
		record.TopicID = schema.TopicID(topics[topic].ID)
		s := schema.Stream{Cluster: b.up.Kafka.ClusterID, Topic: topic, TopicID: record.TopicID, Partition: partition}
		if err := writeChain(folder, s, record); err != nil {
			return fmt.Errorf("write the chain of %s: %w", s, err)
		}
	}
	return nil
}

// lastArchived reads the record of each partition that the chain ends with.
func (b *bench) lastArchived(ctx context.Context, topic string) (map[int32]*schema.Record, error) {
	client, err := measure.KafkaClient(b.up.Kafka, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	last := map[int32]*schema.Record{}
	for len(last) < coldPartitions {
		waiting, cancel := context.WithTimeout(ctx, time.Minute)
		fetches := client.PollFetches(waiting)
		cancel()
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != coldCommits-2 {
				return
			}
			record := &schema.Record{
				Topic: topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch,
				Timestamp: r.Timestamp.UnixMilli(), TimestampType: schema.TimestampType(r.Attrs.TimestampType()),
				ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch, Status: schema.Committed, Key: r.Key, Value: r.Value,
			}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, schema.Header{Name: h.Key, Value: h.Value})
			}
			last[r.Partition] = record
		})
	}
	return last, nil
}

func writeChain(folder string, s schema.Stream, record *schema.Record) error {
	var body bytes.Buffer
	w, err := segment.NewWriter(&body, segment.Options{Stream: s, Rows: 1})
	if err != nil {
		return err
	}
	if err := w.Append(record, &schema.Extraction{}); err != nil {
		return err
	}
	written, err := w.Close()
	if err != nil {
		return err
	}
	var previous *schema.Digest
	for seq := range int64(coldCommits) {
		c := &schema.Commit{
			Format: schema.CommitFormat, Kind: schema.KindSegment, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
			Seq: seq, Previous: previous, Attempt: uuid.NewString(), Writer: "bench", Base: seq - 1, Next: seq,
			Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "bench"},
			Clock:    time.Now().UTC().Format(time.RFC3339Nano),
		}
		if seq == 0 {
			c.Kind, c.Base, c.Start = schema.KindGenesis, 0, &schema.Start{Policy: "earliest"}
		} else {
			c.Records = schema.Counts{Committed: 1}
			c.LeaderEpochs = []schema.LeaderEpoch{{Epoch: record.LeaderEpoch, Start: c.Base}}
			c.Segment = &schema.SegmentRef{
				ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(s, c.Base, c.Next, written.SHA256), SHA256: written.SHA256, Bytes: written.Bytes},
				RecordRoot: written.RecordRoot, MinTimestamp: record.Timestamp, MaxTimestamp: record.Timestamp,
			}
		}
		raw, err := c.Encode()
		if err != nil {
			return err
		}
		digest := schema.CommitDigest(raw)
		previous = &digest
		if err := writeFile(filepath.Join(folder, schema.CommitKey(s, seq)), raw); err != nil {
			return err
		}
		if seq == coldCommits-1 {
			if err := writeFile(filepath.Join(folder, c.Segment.Key), body.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeFile(path string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}
