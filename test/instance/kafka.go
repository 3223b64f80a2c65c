package instance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Client makes a Kafka client of the instance's broker that knows nothing of
// Annals. The test's end closes it.
func (i *Instance) Client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	options = append([]kgo.Opt{kgo.SeedBrokers(i.Up.Kafka.Brokers...)}, options...)
	if i.Up.Kafka.Password != "" {
		options = append(options, kgo.SASL(scram.Auth{User: i.Up.Kafka.User, Pass: i.Up.Kafka.Password}.AsSha256Mechanism()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatalf("make a Kafka client: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// Place is a topic's partition.
type Place struct {
	Topic     string
	Partition int32
}

// Stored is what Kafka serves of one partition: every record, control records
// too, in the order of offsets, and the bounds.
type Stored struct {
	Start, End int64 // End is the high watermark
	TopicID    [16]byte
	Records    []*kgo.Record
}

// Topics lists the topics that are not Kafka's own.
func (i *Instance) Topics(t testing.TB) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list, err := kadm.NewClient(i.Client(t)).ListTopics(ctx)
	if err != nil {
		t.Fatalf("list topics: %v", err)
	}
	var names []string
	for name, detail := range list {
		if !detail.IsInternal {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Stored reads topics from their log start to the high watermark of now,
// uncommitted records and control records included.
func (i *Instance) Stored(t testing.TB, topics ...string) map[Place]*Stored {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(i.Client(t))
	described, err1 := admin.ListTopics(ctx, topics...)
	starts, err2 := admin.ListStartOffsets(ctx, topics...)
	ends, err3 := admin.ListEndOffsets(ctx, topics...)
	if err := errors.Join(err1, err2, err3, described.Error(), starts.Error(), ends.Error()); err != nil {
		t.Fatalf("list offsets: %v", err)
	}
	all := map[Place]*Stored{}
	from := map[string]map[int32]kgo.Offset{}
	missing := 0
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(o.Topic, o.Partition)
		all[Place{o.Topic, o.Partition}] = &Stored{Start: start.Offset, End: o.Offset, TopicID: described[o.Topic].ID}
		if start.Offset < o.Offset {
			if from[o.Topic] == nil {
				from[o.Topic] = map[int32]kgo.Offset{}
			}
			from[o.Topic][o.Partition] = kgo.NewOffset().At(start.Offset)
			missing++
		}
	})
	reader := i.Client(t, kgo.ConsumePartitions(from), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
	for missing > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read Kafka: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s := all[Place{r.Topic, r.Partition}]
			if r.Offset >= s.End {
				return
			}
			s.Records = append(s.Records, r)
			if r.Offset == s.End-1 {
				missing--
			}
		})
	}
	return all
}

// Verdicts decides every record of a partition as Kafka's protocol defines it:
// a transactional record is what the next control record of its producer ID
// says. Records that nothing decides are "".
func (s *Stored) Verdicts(t testing.TB) map[int64]string {
	t.Helper()
	verdicts := make(map[int64]string, len(s.Records))
	open := map[int64][]int64{}
	for _, r := range s.Records {
		switch {
		case r.Attrs.IsControl():
			verdicts[r.Offset] = "control"
			word, err := marker(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, offset := range open[r.ProducerID] {
				verdicts[offset] = word
			}
			delete(open, r.ProducerID)
		case r.Attrs.IsTransactional():
			open[r.ProducerID] = append(open[r.ProducerID], r.Offset)
		default:
			verdicts[r.Offset] = "committed"
		}
	}
	return verdicts
}

// marker reads a control record's key: version and type, each a big-endian
// int16 (KIP-98).
func marker(r *kgo.Record) (string, error) {
	if len(r.Key) < 4 {
		return "", fmt.Errorf("%s/%d/%d: the control record's key %x is too short", r.Topic, r.Partition, r.Offset, r.Key)
	}
	switch kind := binary.BigEndian.Uint16(r.Key[2:]); kind {
	case 0:
		return "aborted", nil
	case 1:
		return "committed", nil
	default:
		return "", fmt.Errorf("%s/%d/%d: control record of type %d", r.Topic, r.Partition, r.Offset, kind)
	}
}

// Ends are the high watermarks of all partitions.
func (i *Instance) Ends(t testing.TB) map[Place]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(i.Client(t))
	list, err := admin.ListEndOffsets(ctx)
	if err != nil {
		t.Fatalf("list offsets: %v", err)
	}
	ends := map[Place]int64{}
	list.Each(func(o kadm.ListedOffset) { ends[Place{o.Topic, o.Partition}] = o.Offset })
	return ends
}
