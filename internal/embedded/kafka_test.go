package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// noLeaks fails the test if goroutines outlive its cleanups. Call it first.
func noLeaks(t *testing.T) {
	t.Helper()
	existing := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, existing,
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
	})
}

func startKafka(t testing.TB, opts embedded.KafkaOptions) *embedded.Kafka {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.User == "" {
		opts.User, opts.Password = "annals", "secret"
	}
	k, err := embedded.StartKafka(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeKafka(t, k) })
	return k
}

func closeKafka(t testing.TB, k *embedded.Kafka) {
	t.Helper()
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// consumeAll reads a topic's committed records from its start to its end.
func consumeAll(t testing.TB, k *embedded.Kafka, topic string) []*kgo.Record {
	t.Helper()
	client := embeddedtest.KafkaClient(t, k,
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	defer client.Close() // closing it after the broker takes a second
	ends, err := kadm.NewClient(client).ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var records []*kgo.Record
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

func TestKafkaSurvivesARestart(t *testing.T) {
	noLeaks(t)
	opts := embedded.KafkaOptions{DataDir: t.TempDir()}
	k := startKafka(t, opts)
	client := embeddedtest.KafkaClient(t, k, kgo.TransactionalID("tx"))
	created, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		transact(t, client, "orders", 100, commit)
	}
	if err := commitOffset(t.Context(), client, "readers", "orders", 0, 42); err != nil {
		t.Fatal(err)
	}
	client.Close()
	closeKafka(t, k)

	opts.Listen = k.Addr() // as with a fixed port
	again := startKafka(t, opts)
	if again.Addr() != k.Addr() || again.ClusterID() != k.ClusterID() {
		t.Errorf("restarted as %s %s, was %s %s", again.Addr(), again.ClusterID(), k.Addr(), k.ClusterID())
	}
	if id := topicID(t, again, "orders"); id != [16]byte(created.ID) {
		t.Errorf("topic ID is %x, was %x", id, created.ID)
	}
	if got := len(consumeAll(t, again, "orders")); got != 200 {
		t.Errorf("%d committed records after the restart, want 200", got)
	}
	admin := embeddedtest.KafkaClient(t, again, kgo.TransactionalID("tx"))
	offsets, err := kadm.NewClient(admin).FetchOffsets(t.Context(), "readers")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup("orders", 0); !ok || o.At != 42 {
		t.Errorf("group's offset is %+v, want 42", o)
	}
	transact(t, admin, "orders", 100, kgo.TryCommit) // the same transactional id goes on
	if got := len(consumeAll(t, again, "orders")); got != 300 {
		t.Errorf("%d committed records after another transaction, want 300", got)
	}
	admin.Close()
	closeKafka(t, again)
}

func transact(t testing.TB, client *kgo.Client, topic string, n int, end kgo.TransactionEndTry) {
	t.Helper()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		client.Produce(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, end, i)}, nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func commitOffset(ctx context.Context, client *kgo.Client, group, topic string, partition int32, at int64) error {
	var offsets kadm.Offsets
	offsets.AddOffset(topic, partition, at, -1)
	committed, err := kadm.NewClient(client).CommitOffsets(ctx, group, offsets)
	if err != nil {
		return err
	}
	return committed.Error()
}

// topicID asks the broker itself: kadm answers from a cache.
func topicID(t testing.TB, k *embedded.Kafka, topic string) [16]byte {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), embeddedtest.KafkaClient(t, k))
	if err != nil {
		t.Fatal(err)
	}
	return resp.Topics[0].TopicID
}

func TestKafkaAnswersByTimestampAndEpoch(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{})
	client := embeddedtest.KafkaClient(t, k, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "rates"); err != nil {
		t.Fatal(err)
	}
	day := time.Date(1999, 1, 4, 0, 0, 0, 0, time.UTC)
	for i := range 10 {
		r := &kgo.Record{Topic: "rates", Timestamp: day.AddDate(0, 0, i)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := admin.ListOffsetsAfterMilli(t.Context(), day.AddDate(0, 0, 4).UnixMilli(), "rates")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := listed.Lookup("rates", 0); o.Offset != 4 {
		t.Errorf("offset at the fifth day's time is %d, want 4", o.Offset)
	}

	req := kadm.OffsetForLeaderEpochRequest{}
	req.Add("rates", 0, 0)
	epochs, err := admin.OffsetForLeaderEpoch(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if e := epochs["rates"][0]; e.Err != nil || e.LeaderEpoch != 0 || e.EndOffset != 10 {
		t.Errorf("end of leader epoch 0 is %+v, want offset 10", e)
	}
}

func TestKafkaAsksForCredentials(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{User: "annals", Password: "right"})
	for name, opts := range map[string][]kgo.Opt{
		"none":           nil,
		"wrong password": {kgo.SASL(scram.Auth{User: "annals", Pass: "wrong"}.AsSha256Mechanism())},
		"default user":   {kgo.SASL(scram.Auth{User: "admin", Pass: "admin"}.AsSha256Mechanism())},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Addr()), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := kadm.NewClient(client).BrokerMetadata(ctx); err == nil {
				t.Error("was let in")
			}
		})
	}
}

// TestKafkaNamesItsMechanisms: kafkajs goes on only if the handshake's answer
// lists the mechanism it asked for.
func TestKafkaNamesItsMechanisms(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{})
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for mechanism, wantErr := range map[string]error{"SCRAM-SHA-256": nil, "GSSAPI": kerr.UnsupportedSaslMechanism} {
		req := kmsg.NewPtrSASLHandshakeRequest()
		req.Mechanism = mechanism
		resp, err := req.RequestWith(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if err := kerr.ErrorForCode(resp.ErrorCode); !errors.Is(err, wantErr) || !slices.Contains(resp.SupportedMechanisms, "SCRAM-SHA-256") {
			t.Errorf("%s: %v, supported are %q", mechanism, err, resp.SupportedMechanisms)
		}
	}
}

func TestKafkaPasswordCanChange(t *testing.T) {
	dir := t.TempDir()
	for _, password := range []string{"first", "second"} {
		// A broker that still asked for the first password would fail its own
		// probe.
		closeKafka(t, startKafka(t, embedded.KafkaOptions{DataDir: dir, User: "annals", Password: password}))
	}
}

func TestKafkaTopicsAreNotCreatedByAsking(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{})
	client := embeddedtest.KafkaClient(t, k, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "typo"}).FirstErr(); err == nil {
		t.Error("a record for a topic that does not exist was taken")
	}
}

// TestKafkaSurvivesForeignBytes sends what a browser, a scanner or a broken
// client may send. kfake alone dies of an unknown request key.
func TestKafkaSurvivesForeignBytes(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{})
	frame := func(size uint32, key, version int16, rest string) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		return append(b, rest...)
	}
	for name, body := range map[string][]byte{
		"http":             []byte("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://example.com\r\n\r\n"),
		"unknown key":      frame(8, 32000, 0, "\x00\x00\x00\x01"),
		"negative key":     frame(8, -1, 0, "\x00\x00\x00\x01"),
		"negative version": frame(10, 3, -1, "\x00\x00\x00\x01\xff\xff"),
		"huge":             frame(1<<31, 0, 9, "\x00\x00\x00\x01"),
		"tiny":             frame(1, 0, 9, "\x00\x00\x00\x01"),
		"no body":          frame(8, 3, 9, "\x00\x00\x00\x01"),
		"unknown version":  frame(10, 3, 999, "\x00\x00\x00\x01\xff\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", k.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(body); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was kept")
			}
		})
	}
	if _, err := kadm.NewClient(embeddedtest.KafkaClient(t, k)).BrokerMetadata(t.Context()); err != nil {
		t.Fatalf("the broker did not survive: %v", err)
	}
}

func TestKafkaListenErrors(t *testing.T) {
	taken := startKafka(t, embedded.KafkaOptions{}).Addr()
	for _, c := range []struct {
		listen string
		want   error
		text   string
	}{
		{taken, embedded.ErrPortInUse, taken},
		{"0.0.0.0:0", embedded.ErrNotLoopback, "0.0.0.0:0"},
		{":0", embedded.ErrNotLoopback, ":0"},
		{"example.com:0", embedded.ErrNotLoopback, "example.com"},
		{"127.0.0.1", nil, "missing port"},
	} {
		_, err := embedded.StartKafka(t.Context(), embedded.KafkaOptions{Listen: c.listen, User: "u", Password: "p"})
		if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("listen on %q: %v", c.listen, err)
		}
	}
	if _, err := embedded.StartKafka(t.Context(), embedded.KafkaOptions{Listen: "127.0.0.1:0"}); err == nil {
		t.Error("started without credentials")
	}
}

// TestKafkaSurvivesAnyBytes is the same with bytes that begin like a request:
// a broker that panics takes this test's process with it.
func TestKafkaSurvivesAnyBytes(t *testing.T) {
	k := startKafka(t, embedded.KafkaOptions{})
	rapid.Check(t, func(rt *rapid.T) {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", k.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		key := rapid.OneOf(rapid.Int16Range(0, 92), rapid.SampledFrom([]int16{17, 18, 36})).Draw(rt, "key")
		version := rapid.Int16Range(0, 20).Draw(rt, "version")
		body := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "body")
		frame := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
		frame = binary.BigEndian.AppendUint16(frame, uint16(key))
		frame = binary.BigEndian.AppendUint16(frame, uint16(version))
		frame = append(frame, 0, 0, 0, 1)
		frame = append(frame, body...)
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("neither answered nor closed")
		}
	})
	if _, err := kadm.NewClient(embeddedtest.KafkaClient(t, k)).BrokerMetadata(t.Context()); err != nil {
		t.Fatalf("the broker did not survive: %v", err)
	}
}
