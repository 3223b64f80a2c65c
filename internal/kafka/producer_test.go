package kafka_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// broker starts one with a topic of two partitions.
func broker(t *testing.T) (kafka.Options, schema.Stream) {
	t.Helper()
	k := embeddedtest.MemoryKafka(t)
	options := embeddedtest.KafkaOptions(k)
	admin, err := kafka.NewAdmin(options)
	must(t, err)
	defer admin.Close()
	id, err := admin.CreateTopic(t.Context(), "out", 2, map[string]string{"max.message.bytes": "4000"})
	must(t, err)
	return options, schema.Stream{Topic: "out", TopicID: id, Partition: 1}
}

func producer(t *testing.T, options kafka.Options, batch int32) *kafka.Producer {
	t.Helper()
	p, err := kafka.NewProducer(options, kafka.ProducerOptions{
		TransactionalID: "job", TransactionTimeout: 10 * time.Second, BatchBytes: func(string) int32 { return batch },
	})
	must(t, err)
	t.Cleanup(p.Close)
	_, err = p.Init(t.Context())
	must(t, err)
	return p
}

func read(t *testing.T, options kafka.Options, s schema.Stream, to int64) (values []string) {
	t.Helper()
	reader, err := kafka.NewReader(options)
	must(t, err)
	for r, err := range reader.Range(t.Context(), s, 0, to, kafka.ReadCommitted) {
		must(t, err)
		if r.Status != schema.Control {
			values = append(values, string(r.Value))
		}
	}
	return values
}

func record(value string) *schema.Record { return &schema.Record{Value: []byte(value)} }

// TestSecondProducerFencesTheFirst: what the first had under way is gone, and
// it is told, whether it was about to commit, to produce or to begin.
func TestSecondProducerFencesTheFirst(t *testing.T) {
	options, s := broker(t)
	for name, stale := range map[string]func(first *kafka.Producer) error{
		"commit": func(p *kafka.Producer) error { return p.Commit(t.Context()) },
		"produce": func(p *kafka.Producer) error {
			p.Produce(t.Context(), s.Topic, s.Partition, record("late"), nil)
			return p.Commit(t.Context())
		},
	} {
		first := producer(t, options, 4000)
		must(t, first.Begin(t.Context()))
		if _, err := first.Mark(t.Context(), s.Topic, s.Partition, record("nested")); err == nil {
			t.Fatal("a transaction inside a transaction")
		}
		first.Close()

		first = producer(t, options, 4000)
		must(t, first.Begin(t.Context()))
		first.Produce(t.Context(), s.Topic, s.Partition, record("lost"), nil)
		second := producer(t, options, 4000)
		if err := stale(first); !errors.Is(err, kafka.ErrFenced) && schema.KindOf(err) != schema.Unavailable {
			t.Errorf("%s by a fenced producer: %v", name, err)
		}
		if err := first.Begin(t.Context()); err == nil {
			first.Produce(t.Context(), s.Topic, s.Partition, record("zombie"), nil)
			if err := first.Commit(t.Context()); err == nil {
				t.Errorf("%s: a fenced producer went on", name)
			}
		}
		second.Close()
		third := producer(t, options, 4000)
		end, err := third.Mark(t.Context(), s.Topic, s.Partition, record(name))
		must(t, err)
		got := read(t, options, s, end+1)
		for _, value := range got {
			if value == "lost" || value == "late" || value == "zombie" || value == "nested" {
				t.Errorf("%s: %q was committed by a fenced producer: %q", name, value, got)
			}
		}
	}
}

func TestAbortedAndRefusedRecordsAreNotThere(t *testing.T) {
	options, s := broker(t)
	p := producer(t, options, 100_000)
	must(t, p.Begin(t.Context()))
	p.Produce(t.Context(), s.Topic, s.Partition, record("aborted"), nil)
	must(t, p.Abort(t.Context()))

	must(t, p.Begin(t.Context()))
	noise := make([]byte, 50_000) // does not compress below the topic's limit
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	p.Produce(t.Context(), s.Topic, s.Partition, record("with the large one"), nil)
	p.Produce(t.Context(), s.Topic, 0, &schema.Record{Value: scramble(noise)}, nil)
	if err := p.Commit(t.Context()); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a record beyond the topic's limit: %v", err)
	}
	p.Close()
	p = producer(t, options, 4000)
	end, err := p.Mark(t.Context(), s.Topic, s.Partition, record("kept"))
	must(t, err)
	if got := read(t, options, s, end+1); len(got) != 1 || got[0] != "kept" {
		t.Errorf("%q", got)
	}
}

// scramble makes bytes that no compressor shortens.
func scramble(b []byte) []byte {
	out, x := bytes.Clone(b), uint64(88172645463325252)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] ^= byte(x)
	}
	return out
}
