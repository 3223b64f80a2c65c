package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

const oddTrace = "0dd0dd0dd0dd0dd0dd0dd0dd0dd0dd0d"

// odd are records as no contract has them, and every one legal in Kafka.
func odd() []*kgo.Record {
	thousand := make([]kgo.RecordHeader, 1000)
	for n := range thousand {
		thousand[n] = kgo.RecordHeader{Key: fmt.Sprintf("h%d", n%700), Value: fmt.Appendf(nil, "value %d", n)}
	}
	broken := "\xff\xfe\x80 not UTF-8 \xc3("
	header := func(name string, value []byte) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: value} }
	return []*kgo.Record{
		{Key: nil, Value: nil},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("tombstone"), Value: nil},
		{Key: nil, Value: []byte("no key, no header, no trace id")},
		{Value: []byte(`{"traceId":"` + oddTrace + `","eventId":"thousand"}`), Headers: thousand},
		{Value: []byte("twice"), Headers: []kgo.RecordHeader{
			header("traceId", []byte(oddTrace)), header("same", []byte("1")), header("same", nil), header("same", []byte{}), header("Same", []byte("2")),
		}},
		{Key: []byte(broken), Value: []byte(broken), Headers: []kgo.RecordHeader{header(broken, []byte(broken)), header("", nil)}},
		{Value: []byte(`{"traceId":"` + oddTrace + `", "broken": [1, 2`), Headers: []kgo.RecordHeader{header("traceId", []byte(oddTrace))}},
		{Value: []byte(`{"a":1,"a":2,"n":1.000000000000000000001}`), Headers: []kgo.RecordHeader{header("traceparent", []byte("00-"+oddTrace+"-zz-01"))}},
		{Key: []byte("old"), Value: []byte("before all time"), Timestamp: time.UnixMilli(0)},
		{Key: []byte("new"), Value: []byte("far ahead"), Timestamp: time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Key: bytes.Repeat([]byte("k"), 5000), Value: bytes.Repeat([]byte{0, 1, 2, 0xff}, 150_000)},
	}
}

// TestOddRecordsAreArchivedExactlyAndFound produces them, and looks at each
// while it is fresh and once it is sealed.
func TestOddRecordsAreArchivedExactlyAndFound(t *testing.T) {
	i := year(t)
	const topic = "odd.Records_1"
	records := produceOdd(t, i, topic)
	checkOdd(t, i, records, "fresh")
	i.Settled(t)
	checkOdd(t, i, records, "sealed")
	if compared := compareArchive(t, i, topic); compared["committed"] != len(records) {
		t.Errorf("compared %v, produced %d", compared, len(records))
	}
	// A traceparent that is none must be ignored (W3C Trace Context, 4.3), and
	// the record says so.
	var trace api.Trace
	i.Ask(t, "/traces/"+oddTrace+"?diffs=true", &trace)
	if len(trace.Hops) != 3 {
		t.Errorf("the trace has %d hops of the 3 records that carry its id", len(trace.Hops))
	}
	for _, r := range records {
		if len(r.Headers) == 1 && r.Headers[0].Key == "traceparent" {
			var got api.Record
			i.JSON(t, &got, "get", at(r))
			if got.Errors == nil || !strings.Contains(strings.Join(*got.Errors, " "), "traceparent") {
				t.Errorf("%s: errors %v do not name the traceparent", at(r), got.Errors)
			}
		}
	}
}

func produceOdd(t testing.TB, i *instance.Instance, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := i.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, topic); err != nil {
		t.Fatal(err)
	}
	records := odd()
	for n, r := range records {
		r.Topic, r.Partition = topic, int32(n%2)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return records
}

// checkOdd finds every record by its topic, and reads its bytes back.
func checkOdd(t testing.TB, i *instance.Instance, records []*kgo.Record, state string) {
	t.Helper()
	var page api.RecordPage
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		i.Ask(t, "/records?limit=1000&topic="+records[0].Topic, &page)
		if len(page.Records) != len(records) {
			return fmt.Errorf("%s: search finds %d of %d records", state, len(page.Records), len(records))
		}
		return nil
	})
	for _, r := range records {
		if !slices.ContainsFunc(page.Records, func(h api.Hit) bool { return where(h.Coordinates) == at(r) }) {
			t.Errorf("%s: search does not find %s", state, at(r))
		}
		said := i.Annals(t, "get", at(r), "--raw")
		if said.Code != 0 || !bytes.Equal(said.Out, r.Value) || strings.Contains(said.Err, "null") != (r.Value == nil) {
			t.Errorf("%s: annals get %s --raw: code %d, %.100q, %s; produced was %.100q", state, at(r), said.Code, said.Out, said.Err, r.Value)
		}
		var got api.Record
		i.JSON(t, &got, "get", at(r))
		if got.Key.IsNull != (r.Key == nil) || got.Value.IsNull != (r.Value == nil) || got.Value.Size != int64(len(r.Value)) || len(got.Headers) != len(r.Headers) {
			t.Errorf("%s: %s is shown with key %+v, value of %d bytes, %d headers", state, at(r), got.Key, got.Value.Size, len(got.Headers))
		}
		for n, h := range got.Headers {
			if h.Value.IsNull != (r.Headers[n].Value == nil) || h.Value.Size != int64(len(r.Headers[n].Value)) {
				t.Errorf("%s: %s header %d is shown as %+v", state, at(r), n, h)
			}
		}
	}
}
