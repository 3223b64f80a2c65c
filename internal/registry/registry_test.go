package registry_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

// rig is a registry whose answers can be replaced, and a store.
type rig struct {
	api    *sr.Client
	url    string
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc] // nil: the registry's own
	store  *objstore.Store
	now    time.Time
	// timeout of its decoders' look-ups: long for a registry that is a program of
	// its own, which a busy machine keeps waiting.
	timeout time.Duration
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{store: objstoretest.Embedded(t), now: time.Unix(1_700_000_000, 0), timeout: time.Second}
	fake := srfake.New()
	t.Cleanup(fake.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.asked.Add(1)
		if answer := r.answer.Load(); answer != nil {
			(*answer)(w, q)
			return
		}
		fake.Handler().ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	api, err := sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(server.Client()))
	must(t, err)
	r.api = api
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) answers(f http.HandlerFunc) {
	if f == nil {
		r.answer.Store(nil)
		return
	}
	r.answer.Store(&f)
}

// decoder is a new one, which knows nothing; offline has no registry.
func (r *rig) decoder(t *testing.T, offline bool, change ...func(*registry.Options)) *registry.Decoder {
	t.Helper()
	o := registry.Options{Store: r.store, Name: "test", Timeout: r.timeout, Logger: embeddedtest.Log(), Now: func() time.Time { return r.now }}
	if !offline {
		fetcher, err := registry.Connect(registry.Connection{URL: r.url})
		must(t, err)
		t.Cleanup(fetcher.Close)
		o.Fetcher = fetcher
	}
	for _, f := range change {
		f(&o)
	}
	return registry.NewDecoder(o)
}

func (r *rig) register(t *testing.T, subject string, kind sr.SchemaType, text string, references ...sr.SchemaReference) sr.SubjectSchema {
	t.Helper()
	made, err := r.api.CreateSchema(t.Context(), subject, sr.Schema{Schema: text, Type: kind, References: references})
	must(t, err)
	return made
}

const (
	avroMoney = `{"type":"record","name":"Money","namespace":"x","fields":[{"name":"amount","type":"string"}]}`
	avroOrder = `{"type":"record","name":"Order","namespace":"x","fields":[
		{"name":"eventType","type":"string"},{"name":"ctx","type":{"type":"map","values":"string"}},
		{"name":"total","type":["null","x.Money"],"default":null},{"name":"n","type":"long"}]}`
	protoMoney = `syntax = "proto3"; package x; message Money { string amount = 1; }`
	protoOrder = `syntax = "proto3"; package x; import "money.proto"; import "google/protobuf/timestamp.proto";
		message Other { string a = 1; } message Shop { message Order { string event_type = 1; string trace_id = 2; Money total = 3; google.protobuf.Timestamp at = 4; } }`
)

func framed(id int, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), body...)
}

func avroBytes(t *testing.T) []byte {
	t.Helper()
	var cache avro.SchemaCache
	_, err := cache.Parse(avroMoney)
	must(t, err)
	parsed, err := cache.Parse(avroOrder)
	must(t, err)
	body, err := parsed.Encode(map[string]any{
		"eventType": "OrderPlaced", "ctx": map[string]any{"trace": "t-1"}, "total": map[string]any{"amount": "1.10"}, "n": int64(1) << 60,
	})
	must(t, err)
	return body
}

// protoBytes is an Order by its wire form: fields 1, 2 and 3 are texts or messages.
func protoBytes() []byte {
	field := func(n byte, body string) string { return string([]byte{n<<3 | 2, byte(len(body))}) + body }
	return []byte(field(1, "OrderPlaced") + field(2, "t-1") + field(3, field(1, "1.10")))
}

func (r *rig) extract(t *testing.T, d extract.Decoder, rec *schema.Record) schema.Extraction {
	t.Helper()
	rules, err := extract.New(extract.Options{Decoder: d, Topics: []extract.TopicRule{
		{Topic: "avro", TraceID: "/ctx/trace", BusinessIDs: []extract.Location{"/total/amount"}},
		{Topic: "protobuf", BusinessIDs: []extract.Location{"/total/amount"}},
	}})
	must(t, err)
	var x schema.Extraction
	rules.Extract(rec, &x)
	return x
}

// What Avro, Protobuf and JSON Schema payloads say reaches the extraction, by
// frame and by header, number and GUID; and again, from the archive alone.
func TestDecodesAndArchives(t *testing.T) {
	t.Parallel()
	newRig(t).decodesAndArchives(t)
}

func (r *rig) decodesAndArchives(t *testing.T) {
	t.Helper()
	r.register(t, "money", sr.TypeAvro, avroMoney)
	order := r.register(t, "order", sr.TypeAvro, avroOrder, sr.SchemaReference{Name: "x.Money", Subject: "money", Version: 1})
	r.register(t, "money-p", sr.TypeProtobuf, protoMoney)
	orderP := r.register(t, "order-p", sr.TypeProtobuf, protoOrder, sr.SchemaReference{Name: "money.proto", Subject: "money-p", Version: 1})
	orderJ := r.register(t, "order-j", sr.TypeJSON, `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`)
	guid := order.GUID // as of Confluent's registry from version 7.9 on
	if guid == "" {
		found, err := r.api.SchemaByVersion(t.Context(), "order", 1)
		must(t, err)
		guid = found.GUID
	}
	inHeader := func(value ...byte) []schema.Header { return []schema.Header{{Name: "__value_schema_id", Value: value}} }
	toOrder := []byte{4, 2, 0} // two indexes, 1 and 0, as zigzag varints
	records := map[string]*schema.Record{
		"avro":                    {Topic: "avro", Value: framed(order.ID, avroBytes(t)...)},
		"avro, id in a header":    {Topic: "avro", Headers: inHeader(framed(order.ID)...), Value: avroBytes(t)},
		"protobuf":                {Topic: "protobuf", Value: framed(orderP.ID, append(toOrder, protoBytes()...)...)},
		"protobuf, all in header": {Topic: "protobuf", Headers: inHeader(framed(orderP.ID, toOrder...)...), Value: protoBytes()},
		"json": {Topic: "json", Value: framed(orderJ.ID, []byte(
			`{"eventType":"OrderPlaced","traceId":"t-1","correlationId":"1.10"}`)...)},
	}
	if guid != "" {
		records["avro, GUID in a header"] = &schema.Record{Topic: "avro", Headers: inHeader(append([]byte{1}, bytesOf(t, guid)...)...), Value: avroBytes(t)}
	}
	described := map[string]string{"avro": "AVRO x.Order", "protobuf": "PROTOBUF x.Shop.Order", "json": "JSON"}
	plain, err := extract.New(extract.Options{})
	must(t, err)
	for _, offline := range []bool{false, true} {
		d := r.decoder(t, offline)
		before := r.asked.Load()
		for name, rec := range records {
			x := r.extract(t, d, rec)
			if x.EventType != "OrderPlaced" || x.TraceID != "t-1" || len(x.Identifiers) != 1 || x.Identifiers[0].ID != "1.10" || len(x.Errors) > 0 {
				t.Errorf("%s, without a registry %v: %+v", name, offline, x)
			}
			kind, of, _ := strings.Cut(described[rec.Topic], " ")
			if n, ok := plain.Named(rec); !ok {
				t.Errorf("%s: no schema is named", name)
			} else if gotKind, gotName := d.Describe(n.ID, n.Indexes, n.Body); gotKind != kind || gotName != of {
				t.Errorf("%s is of %s %s, want %s", name, gotKind, gotName, described[rec.Topic])
			}
		}
		if offline && r.asked.Load() != before {
			t.Error("the registry was asked for what is archived")
		}
	}
	body, _, err := r.store.Get(t.Context(), fmt.Sprintf("schemas/test/%d.json", order.ID), 1<<20)
	must(t, err)
	var doc struct {
		Format, Registry, ID, Type, Schema string
		References                         []struct{ Name, Schema string }
	}
	must(t, json.Unmarshal(body, &doc))
	if doc.Format != "annals.schema/1" || doc.Type != "AVRO" || doc.Schema != avroOrder || len(doc.References) != 1 || doc.References[0].Schema != avroMoney {
		t.Errorf("archived: %s", body)
	}
}

func bytesOf(t *testing.T, guid string) []byte {
	t.Helper()
	var raw []byte
	_, err := fmt.Sscanf(strings.ReplaceAll(guid, "-", ""), "%x", &raw)
	must(t, err)
	return raw
}

// Bytes that are none of the schema's are archived as they are, and found by it.
func TestSaysWhatItCannotDecode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "money", sr.TypeAvro, avroMoney)
	order := r.register(t, "order", sr.TypeAvro, avroOrder, sr.SchemaReference{Name: "x.Money", Subject: "money", Version: 1})
	node := r.register(t, "node", sr.TypeAvro, `{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}`)
	proto := r.register(t, "p", sr.TypeProtobuf, `syntax = "proto3"; message M { M m = 1; }`)
	list := r.register(t, "list", sr.TypeAvro, `{"type":"array","items":"null"}`)
	json := r.register(t, "j", sr.TypeJSON, `{}`)
	d := r.decoder(t, false)
	deep := make([]byte, 500_000)
	for i := range deep {
		deep[i] = 2 // the second branch: another Node
	}
	for name, c := range map[string]struct {
		value []byte
		want  string
	}{
		"cut":                {framed(order.ID, avroBytes(t)[:9]...), extract.Undecodable},
		"more than it says":  {framed(order.ID, append(avroBytes(t), 0)...), extract.Undecodable},
		"empty":              {framed(order.ID), extract.Undecodable},
		"a schema in itself": {framed(node.ID, deep...), extract.Undecodable},
		"a billion nulls":    {framed(list.ID, 0x80, 0xa8, 0xd6, 0xb9, 0x07, 0), extract.Undecodable},
		"no such message":    {framed(proto.ID, 2, 8), extract.Undecodable},
		"no indexes":         {framed(proto.ID), extract.Undecodable},
		"protobuf, cut":      {framed(proto.ID, 0, 0x0a, 9), extract.Undecodable},
		"not JSON":           {framed(json.ID, []byte("hello")...), extract.NotJSON},
		"no such schema":     {framed(4711, 1), extract.SchemaUnknown},
		"100 MB":             {framed(order.ID, make([]byte, 100<<20)...), extract.PayloadTooLarge},
	} {
		began := time.Now()
		x := r.extract(t, d, &schema.Record{Topic: "t", Value: c.value})
		if got := strings.Join(x.Errors, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// What a newer version archived of a schema is called that, and nothing is
// decoded by a guess.
func TestASchemaOfANewerVersionIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for id, body := range map[int]string{
		7: `{"format":"annals.schema/2","registry":"test","id":"7","type":"AVRO","schema":"\"string\"","references":[]}`,
		8: `{"format":"annals.schema/2","registry":"test","id":8,"type":"AVRO","schema":["\"string\""]}`, // another form
		9: `{"format":"annals.schema/1","registry":"test","id":9}`,                                       // not the form it says
	} {
		_, err := r.store.Put(t.Context(), schema.SchemaKey("test", strconv.Itoa(id)), []byte(body))
		must(t, err)
		var log bytes.Buffer
		d := r.decoder(t, true, func(o *registry.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		x := r.extract(t, d, &schema.Record{Topic: "t", Value: framed(id, 2, 'a')})
		if got := strings.Join(x.Errors, " "); got != extract.SchemaMalformed {
			t.Errorf("schema %d: %q", id, got)
		}
		if newer := strings.Contains(log.String(), schema.ErrNewer.Error()); newer != (id != 9) {
			t.Errorf("schema %d: newer: %t, in the log: %s", id, newer, log.String())
		}
	}
}

// A registry that is away, slow or wrong costs little time, is said on the
// record, and is asked again; a record read after that is decoded.
func TestARegistryThatFailsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"away": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, extract.SchemaUnavailable},
		"slow": {func(w http.ResponseWriter, q *http.Request) {
			select {
			case <-q.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}, extract.SchemaUnavailable},
		"ill":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, extract.SchemaUnavailable},
		"a page":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, extract.SchemaUnavailable},
		"endless":  {func(w http.ResponseWriter, q *http.Request) { endless(w, q) }, extract.SchemaUnavailable},
		"nonsense": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"schema":"{\"type\":\"cake\"}"}`) }, extract.SchemaMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			made := r.register(t, "s", sr.TypeAvro, `{"type":"record","name":"R","fields":[{"name":"eventId","type":"string"}]}`)
			d := r.decoder(t, false)
			r.answers(c.answer)
			asked := r.asked.Load()
			began := time.Now()
			for i := range 500 {
				x := r.extract(t, d, &schema.Record{Topic: "t", Value: framed(made.ID, 4, 'e', '1')})
				if got := strings.Join(x.Errors, " "); got != c.want || x.EventID != "" || x.SchemaID != int32(made.ID) {
					t.Fatalf("record %d: %+v, want %s", i, x, c.want)
				}
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("500 records took %s", took)
			}
			if n := r.asked.Load() - asked; n > 1 {
				t.Errorf("it was asked %d times in no time", n)
			}
			r.answers(nil)
			r.now = r.now.Add(2 * time.Minute)
			if x := r.extract(t, d, &schema.Record{Topic: "t", Value: framed(made.ID, 4, 'e', '1')}); x.EventID != "e1" {
				t.Errorf("once it answers again: %+v", x)
			}
		})
	}
}

func endless(w http.ResponseWriter, q *http.Request) {
	chunk := []byte(`{"schema":"` + strings.Repeat(" ", 1<<20))
	for q.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Five bytes of anything look like a schema's id: what nobody knows is asked
// for at a limited rate.
func TestStrangersAreAskedForSeldom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.decoder(t, false, func(o *registry.Options) { o.Timeout = 10 * time.Second })
	codes := map[string]int{}
	for i := range 2000 {
		_, code := d.Decode(extract.SchemaID{Number: int32(10_000 + i)}, nil, []byte{1})
		codes[code]++
	}
	if n := r.asked.Load(); n > 100 || codes[extract.SchemaUnknown] != int(n) || codes[extract.SchemaUnavailable] != 2000-int(n) {
		t.Errorf("asked %d times: %v", n, codes)
	}
}

// away is a store that takes nothing for a while.
type away struct {
	*objstore.Store
	until *atomic.Bool
}

func (s away) PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if s.until.Load() {
		return objstore.Object{}, schema.Errorf(schema.Unavailable, "put: %w", errors.New("away"))
	}
	return s.Store.PutIfAbsent(ctx, key, body)
}

// A schema that cannot be archived now is decoded by, and archived later.
func TestASchemaIsArchivedOnceTheStoreIsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made := r.register(t, "s", sr.TypeAvro, `{"type":"record","name":"R","fields":[{"name":"eventId","type":"string"}]}`)
	var gone atomic.Bool
	gone.Store(true)
	d := r.decoder(t, false, func(o *registry.Options) { o.Store = away{r.store, &gone} })
	rec := &schema.Record{Topic: "t", Value: framed(made.ID, 4, 'e', '1')}
	key := fmt.Sprintf("schemas/test/%d.json", made.ID)
	for range 3 {
		if x := r.extract(t, d, rec); x.EventID != "e1" || len(x.Errors) > 0 {
			t.Fatalf("%+v", x)
		}
		r.now = r.now.Add(2 * time.Minute)
	}
	if _, _, err := r.store.Get(t.Context(), key, 1<<20); schema.KindOf(err) != schema.NotFound {
		t.Fatalf("archived while the store was away: %v", err)
	}
	gone.Store(false)
	if x := r.extract(t, d, rec); x.EventID != "e1" {
		t.Fatalf("%+v", x)
	}
	if _, _, err := r.store.Get(t.Context(), key, 1<<20); err != nil {
		t.Fatal(err)
	}
}
