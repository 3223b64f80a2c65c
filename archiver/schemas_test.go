package archiver_test

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/verify"
)

// waiting gives what the index has of records that wait for their schemas.
func waiting(t *testing.T, r *rig, wanted func(topic string) bool) archiver.Undecoded {
	t.Helper()
	u, err := archiver.FindUndecoded(t.Context(), r.index, wanted)
	must(t, err)
	return u
}

// A registry that does not answer holds no record up: what could not be decoded
// is archived, findable by that, and decoded when it is read again; the schema
// is in the archive then, and the registry no longer needed.
func TestARegistryThatIsAwayStopsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const text = `{"type":"record","name":"Order","fields":[{"name":"eventType","type":"string"},{"name":"traceId","type":"string"}]}`
	fake := srfake.New()
	t.Cleanup(fake.Close)
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if away.Load() {
			<-q.Context().Done() // it takes the request and says nothing
			return
		}
		fake.Handler().ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	api, err := sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(server.Client()))
	must(t, err)
	made, err := api.CreateSchema(t.Context(), "orders-value", sr.Schema{Schema: text, Type: sr.TypeAvro})
	must(t, err)
	rules := func(c *registry.Client) *extract.Rules {
		o := registry.Options{Store: r.store, Name: "test", Timeout: 5 * time.Second, Logger: r.log}
		if c != nil {
			o.Fetcher = c
		}
		rules, err := extract.New(extract.Options{Decoder: registry.NewDecoder(o)})
		must(t, err)
		return rules
	}
	client, err := registry.Connect(registry.Connection{URL: server.URL})
	must(t, err)
	t.Cleanup(client.Close)

	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	var sent []*kgo.Record
	for range 20 {
		body, err := avro.MustParse(text).Encode(map[string]any{"eventType": "OrderPlaced", "traceId": "t-1"})
		must(t, err)
		sent = append(sent, &kgo.Record{Topic: "orders", Value: append(binary.BigEndian.AppendUint32([]byte{0}, uint32(made.ID)), body...)})
	}
	must(t, r.client.ProduceSync(t.Context(), sent...).FirstErr())
	away.Store(true)
	a, stop := r.archiveBy(t, rules(client), nil)
	r.sealed(t, a, s, 20)
	must(t, a.Indexed(t.Context()))
	stop()
	same(t, r.rows(t, s), sent)
	if got := r.sql(t, "SELECT count() FROM DB.records FINAL WHERE has(errors, '"+extract.SchemaUnavailable+"')"); got != "20" {
		t.Errorf("%s of 20 records say that the registry was away", got)
	}

	away.Store(false)
	others := waiting(t, r, func(topic string) bool { return topic != "orders" })
	u := waiting(t, r, nil)
	if others.Records != 0 || u.Records != 20 || !slices.Equal(u.Topics, []string{"orders"}) || u.Cut || time.Since(u.First) > 5*time.Minute {
		t.Errorf("of 20 records, %+v wait for their schema", u)
	}
	again := func(c *registry.Client) {
		t.Helper()
		_, damaged, err := archiver.Reindex(t.Context(), r.store, r.book, r.index, rules(c), r.log, archiver.ReindexOptions{From: u.First})
		if err != nil || len(damaged) > 0 {
			t.Fatalf("reindex: %v, %+v", err, damaged)
		}
		r.deleted(t)
		if u := waiting(t, r, nil); u.Records != 0 {
			t.Errorf("after it %+v wait", u)
		}
		const sql = "SELECT count(), countIf(trace_id = 't-1' AND event_type = 'OrderPlaced' AND empty(errors)) FROM DB.records FINAL"
		if got := r.sql(t, sql); got != "20\t20" {
			t.Errorf("records, and those decoded: %s", got)
		}
	}
	again(client)
	away.Store(true)
	again(nil) // by what is archived
	_, err = verify.Read(t.Context(), t, r.store, s)
	must(t, err)
	if _, _, err := r.store.Get(t.Context(), schema.SchemaKey("test", "1"), 1<<20); err != nil {
		t.Error(err)
	}
}
