package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/verify"
)

// odd are records that a careless copy would change.
func odd(topic string, partition int32, from int) []*kgo.Record {
	var many []kgo.RecordHeader
	for i := range 60 {
		many = append(many, kgo.RecordHeader{Key: fmt.Sprint("h", i%3), Value: fmt.Append(nil, i)})
	}
	list := []*kgo.Record{
		{Key: []byte("k"), Value: []byte("v")},
		{Key: nil, Value: []byte("no key")},
		{Key: []byte("tombstone"), Value: nil},
		{Key: nil, Value: nil},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("h"), Value: []byte("null, empty and same names"), Headers: []kgo.RecordHeader{
			{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}, {Key: "h", Value: []byte{}}, {Key: "", Value: []byte("no name")},
		}},
		{Key: []byte("h"), Value: []byte("no UTF-8"), Headers: []kgo.RecordHeader{{Key: "\xff\xfe", Value: []byte{0xff, 0}}}},
		{Key: []byte("h"), Value: []byte("sixty"), Headers: many},
		{Key: bytes.Repeat([]byte{0, 0xff}, 500), Value: bytes.Repeat([]byte("x"), 900_000)},
		{Key: []byte("t"), Value: []byte("1970"), Timestamp: time.UnixMilli(0)},
		{Key: []byte("t"), Value: []byte("1999"), Timestamp: time.UnixMilli(915_408_000_123)},
		{Key: []byte("t"), Value: []byte("2200"), Timestamp: time.UnixMilli(7_258_118_400_999)},
		{Key: []byte("t"), Value: fmt.Appendf(nil, `{"eventId":"e-%d","traceId":"%s"}`, from, strings.Repeat("0a", 16))},
	}
	for _, r := range list {
		r.Topic, r.Partition = topic, partition
	}
	return list
}

// TestRecords: every codec, null and empty, headers of all kinds, times long
// ago and to come, the producer's clock and the broker's.
func TestRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	anyTime := map[string]string{"retention.ms": "-1", "message.timestamp.after.max.ms": "9223372036854775807"}
	plain := r.topic(t, "plain", 2, anyTime)
	stamped := r.topic(t, "stamped", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	recompressed := r.topic(t, "recompressed", 1, map[string]string{"retention.ms": "-1", "compression.type": "zstd", "message.timestamp.after.max.ms": "9223372036854775807"})
	a, _ := r.archive(t, nil)
	for i, codec := range []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	} {
		client := r.cluster.Client(t, kgo.ProducerBatchCompression(codec))
		var records []*kgo.Record
		records = append(records, odd(plain.Topic, int32(i%2), i)...)
		records = append(records, odd(stamped.Topic, 0, i)...)
		records = append(records, odd(recompressed.Topic, 0, i)...)
		must(t, client.ProduceSync(t.Context(), records...).FirstErr())
	}
	must(t, r.client.ProduceSync(t.Context(), odd(plain.Topic, 1, 9)...).FirstErr())
	must(t, a.CatchUp(t.Context()))
	for _, s := range []struct {
		name string
		h    *verify.Held
	}{
		{"plain/0", r.archived(t, a, plain)},
		{"plain/1", r.archived(t, a, at(plain, 1))},
		{"stamped/0", r.archived(t, a, stamped)},
		{"recompressed/0", r.archived(t, a, recompressed)},
	} {
		if len(s.h.Rows) == 0 || len(s.h.Gaps) != 0 {
			t.Errorf("%s: %d rows, gaps %v", s.name, len(s.h.Rows), s.h.Gaps)
		}
	}
	well(t, a)
}

// TestNothingIsLostBetweenTwoArchivers: one joins while records arrive, and the
// other leaves; the group of a real coordinator moves the partitions.
func TestNothingIsLostBetweenTwoArchivers(t *testing.T) {
	t.Parallel()
	r := newRig(t, single.of(t))
	s := r.topic(t, "shared", 4, nil)
	a, stop := r.archive(t, dynamic("one"))
	some := func() {
		for partition := range int32(4) {
			r.produce(t, at(s, partition), 50)
		}
	}
	some()
	must(t, a.CatchUp(t.Context()))
	_, err := a.Seal(t.Context(), true)
	must(t, err)
	b, _ := r.archive(t, dynamic("two"))
	owned := func() error {
		some()
		// The partitions of the second are those that it can seal.
		if done, err := b.Seal(t.Context(), true); err != nil || done.Partitions == 0 {
			return fmt.Errorf("the second archiver has nothing: %+v, %v", done, err)
		}
		return nil
	}
	embeddedtest.Eventually(t, 30*time.Second, owned)
	some()
	stop()
	some()
	must(t, b.CatchUp(t.Context()))
	var all []*verify.Held
	for partition := range int32(4) {
		all = append(all, r.archived(t, b, at(s, partition)))
	}
	r.indexed(t, all...)
}
