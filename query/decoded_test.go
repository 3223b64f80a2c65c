package query_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

const (
	avroOrder = `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},
		{"name":"customer","type":{"type":"record","name":"Customer","fields":[{"name":"email","type":"string"},{"name":"city","type":"string"}]}},
		{"name":"total","type":["null",{"type":"record","name":"Money","fields":[{"name":"amount","type":"double"}]}]}]}`
	protoOrder = `syntax = "proto3"; message Order { message Customer { string email = 1; string city = 2; } message Money { double amount = 1; }
		string id = 1; Customer customer = 2; Money total = 3; repeated string notes = 4; }`
)

// archivedSchema puts a schema where the archiver keeps those that records name.
func (a *archive) archivedSchema(store *objstore.Store, id int, kind, text string) {
	a.t.Helper()
	name := fmt.Sprint(id)
	doc, err := json.Marshal(map[string]any{"format": "annals.schema/1", "registry": "default", "id": name, "type": kind, "schema": text, "references": []any{}})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := store.Put(a.t.Context(), schema.SchemaKey("default", name), doc); err != nil {
		a.t.Fatal(err)
	}
}

func framed(id int, body []byte) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), body...))
}

func avroValue(t *testing.T, email, city string, amount float64) string {
	t.Helper()
	body, err := avro.MustParse(avroOrder).Encode(map[string]any{
		"id": "A-17", "customer": map[string]any{"email": email, "city": city}, "total": map[string]any{"amount": amount},
	})
	if err != nil {
		t.Fatal(err)
	}
	return framed(1, body)
}

// protoValue is the same order with a note, by its wire form.
func protoValue(email, city string, amount uint64) string {
	field := func(n byte, body string) string { return string([]byte{n<<3 | 2, byte(len(body))}) + body }
	double := string(binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, amount))
	return framed(2, []byte("\x00"+field(1, "A-17")+field(2, field(1, email)+field(2, city))+field(3, double)+field(4, "gift")))
}

// decodedArchive holds a trace of four steps, the second and third in Avro, the
// last in Protobuf, and a record of a schema that is not archived.
func decodedArchive(t *testing.T, rules ...policy.Rule) (a *archive, trace string, records []*schema.Record) {
	t.Helper()
	policies, err := policy.NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := extract.New(extract.Options{Policy: policies})
	if err != nil {
		t.Fatal(err)
	}
	a = newArchive(t, func(o *query.Options) {
		o.Policy, o.Extract = policies, plain
		o.Schemas = registry.NewDecoder(registry.Options{Store: o.Store.(*objstore.Store), Name: "default"})
	})
	a.archivedSchema(a.store, 1, "AVRO", avroOrder)
	a.archivedSchema(a.store, 2, "PROTOBUF", protoOrder)
	trace = hexID(16)
	at := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	before := ""
	for n, value := range []string{
		`{"id":"A-17","customer":{"email":"ann@example.com","city":"Bern"},"total":{"amount":12.5}}`,
		avroValue(t, "ann@example.com", "Bern", 12.5), avroValue(t, "bob@example.com", "Basel", 13.25),
		protoValue("bob@example.com", "Basel", 0x402a800000000000), // 13.25
		framed(9, []byte("\x02x")),
	} {
		id := hexID(16)
		headers := []string{"traceId", trace, "eventId", id, "eventType", fmt.Sprintf("Step%d", n)}
		if before != "" {
			headers = append(headers, "causationId", before)
		}
		records = append(records, a.produce(fmt.Sprintf("step%d", n), "k", value, at.Add(time.Duration(n)*time.Second), headers...))
		before = id
	}
	a.sealAll()
	return a, trace, records
}

func (a *archive) changes(trace string) []string {
	a.t.Helper()
	var all []string
	found := a.trace(everybody(), trace, answer.TraceRequest{Diffs: true})
	for i := range found.Hops {
		line := "none"
		if d := found.Hops[i].Diff; d != nil {
			var said []string
			for _, c := range d.Changes {
				said = append(said, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Op, c.Path, c.From, c.To)))
			}
			line = strings.Join(said, ", ")
			if !d.Comparable {
				line = d.Note
			}
		}
		all = append(all, line)
	}
	return all
}

// Records in Avro and Protobuf are compared, followed and looked into by the
// schemas that are archived, field by field as JSON is.
func TestPayloadsAreDecodedByArchivedSchemas(t *testing.T) {
	a, trace, records := decodedArchive(t)
	want := []string{
		"none", "", `change /customer/city "Bern" "Basel", change /customer/email "ann@example.com" "bob@example.com", change /total/amount 12.5 13.25`,
		`add /notes  ["gift"]`,
		"compared as bytes: the parent's payload is json, the child's opaque; step4/0/0 was not decoded: schema:unknown",
	}
	if got := a.changes(trace); !slices.Equal(got, want) {
		t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	h, err := a.Field(t.Context(), everybody(), answer.FieldRequest{TraceID: trace, Pointer: "/total/amount"})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, s := range h.Steps {
		values = append(values, s.Change+" "+string(s.Value)+s.Note)
	}
	if want := []string{"first 12.5", "kept 12.5", "changed 13.25", "kept 13.25", "unread the payload is no JSON, and was not decoded: schema:unknown"}; !slices.Equal(values, want) {
		t.Errorf("field: %q, want %q", values, want)
	}
	for q, want := range map[string]struct {
		records []*schema.Record
		opaque  int64
	}{
		"payload/total/amount=13.25":               {records[2:4], 1},
		"payload/customer/city=Bern":               {records[0:2], 1},
		"payload:13.25":                            {records[2:4], 0}, // in no bytes of theirs
		"payload:Basel":                            {records[2:4], 0},
		"payload/notes/0=gift":                     {records[3:4], 1},
		"payload/total/amount=13.25 topic:step2":   {records[2:3], 0},
		"payload/total/amount=13.25 payload:gift":  {records[3:4], 0},
		"payload/customer/email=bob key:k":         {nil, 1},
		"payload/customer/city=Basel key:another":  {nil, 0},
		"payload/id=A-17 type:Step2 topic:step*":   {records[2:3], 0},
		"payload/id=A-17 payload/total/amount=0.5": {nil, 1},
	} {
		found, end := a.scan(everybody(), answer.ScanRequest{Query: q})
		var names []string
		for _, r := range want.records {
			names = append(names, position(r))
		}
		slices.Sort(names)
		if !slices.Equal(found, names) || end.Opaque != want.opaque || end.Withheld != 0 {
			t.Errorf("%s: %v, %d opaque, %d withheld, want %v, %d opaque", q, found, end.Opaque, end.Withheld, names, want.opaque)
		}
	}
}

// What policy masks stays so in what was decoded: in no difference, in no field's
// history, and a scan does not tell by guessing; the rest is seen, while the bytes
// are withheld whole.
func TestMaskedFieldsStaySoWhenDecoded(t *testing.T) {
	yes := true
	a, trace, records := decodedArchive(t, policy.Rule{Pattern: "step2", Personal: []string{"/customer/email"}}, policy.Rule{Pattern: "step3", Secret: &yes})
	got := a.changes(trace)
	if want := `change /customer/city "Bern" "Basel", change /customer/email "ann@example.com" "[masked]", change /total/amount 12.5 13.25`; got[2] != want {
		t.Errorf("changes %s, want %s", got[2], want)
	}
	if !strings.Contains(got[3], "withheld") {
		t.Errorf("of a secret topic: %s", got[3])
	}
	for _, pointer := range []string{"/customer/email", "/customer", ""} {
		h, err := a.Field(t.Context(), everybody(), answer.FieldRequest{TraceID: trace, Pointer: pointer})
		if err != nil {
			t.Fatal(err)
		}
		for n := 2; n < 4; n++ {
			if s := h.Steps[n]; s.Value != nil || !strings.Contains(s.Note, "withheld") {
				t.Errorf("%q, step %d: %+v", pointer, n, s)
			}
		}
	}
	for q, want := range map[string]struct {
		records  []*schema.Record
		withheld int64
	}{
		"payload/total/amount=13.25 topic:step2":             {records[2:3], 0},
		"payload/customer/email=bob@example.com topic:step2": {nil, 1},
		"payload/customer/email=[masked] topic:step2":        {nil, 1},
		"payload:bob@example.com topic:step2":                {nil, 0}, // it stands nowhere in what may be seen
		"payload:Basel topic:step2,step3":                    {records[2:3], 1},
		"payload/total/amount=13.25 topic:step3":             {nil, 1},
	} {
		found, end := a.scan(everybody(), answer.ScanRequest{Query: q})
		var names []string
		for _, r := range want.records {
			names = append(names, position(r))
		}
		if !slices.Equal(found, names) || end.Withheld != want.withheld {
			t.Errorf("%s: %v, %d withheld, want %v, %d", q, found, end.Withheld, names, want.withheld)
		}
	}
	r, err := a.Record(t.Context(), everybody(), answer.RecordRequest{Coordinates: schema.Coordinates{Topic: "step2", Partition: records[2].Partition}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Record.Value != nil || !slices.Contains(r.Withheld, "value") {
		t.Errorf("the bytes of a masked record: %q, withheld %v", r.Record.Value, r.Withheld)
	}
}

// A record is shown with what its schema makes of it, beside its bytes, masked as
// these would be; and where nothing can be made of it, why.
func TestARecordIsShownDecoded(t *testing.T) {
	yes := true
	a, _, records := decodedArchive(t, policy.Rule{Pattern: "step2", Personal: []string{"/customer/email"}}, policy.Rule{Pattern: "secret", Secret: &yes})
	a.archivedSchema(a.store, 3, "JSON", `{"type":"object"}`)
	at := time.Date(2024, 3, 2, 12, 0, 0, 0, time.UTC)
	guid, inHeader := "00010203-0405-0607-0809-0a0b0c0d0e0f", make([]byte, 16)
	for i := range inHeader {
		inHeader[i] = byte(i)
	}
	doc, err := json.Marshal(map[string]any{"format": "annals.schema/1", "registry": "default", "id": guid, "type": "AVRO", "schema": avroOrder, "references": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.store.Put(t.Context(), schema.SchemaKey("default", guid), doc); err != nil {
		t.Fatal(err)
	}
	unread := a.produce("other", "k", framed(1, []byte("\x02")), at)
	text := a.produce("other", "k", framed(3, []byte(`{"a":1}`)), at)
	noText := a.produce("other", "k", framed(3, []byte(`{"a":`)), at)
	byGUID := a.produce("other", "k", avroValue(t, "c@example.com", "Bern", 1)[5:], at, "__value_schema_id", "\x01"+string(inHeader))
	secret := a.produce("secret", "k", avroValue(t, "c@example.com", "Bern", 1), at)
	a.sealAll()
	const order = `{"id":"A-17","customer":{"email":"%s","city":"%s"},"total":{"amount":%s}`
	for name, c := range map[string]struct {
		record *schema.Record
		want   string // id, type, name, reason, withheld
		doc    string // as it begins
	}{
		"no schema is named":    {records[0], "", ""},
		"Avro":                  {records[1], "1 AVRO Order  []", fmt.Sprintf(order, "ann@example.com", "Bern", "12.5")},
		"Avro, masked":          {records[2], "1 AVRO Order  [/customer/email]", fmt.Sprintf(order, "[masked]", "Basel", "13.25")},
		"Protobuf":              {records[3], "2 PROTOBUF Order  []", fmt.Sprintf(order, "bob@example.com", "Basel", "13.25")},
		"an unknown schema":     {records[4], "9   schema:unknown []", ""},
		"none of the schema's":  {unread, "1 AVRO Order payload:undecodable []", ""},
		"JSON Schema":           {text, "3 JSON   []", `{"a":1}`},
		"JSON Schema, no JSON":  {noText, "3 JSON  payload:not_json []", ""},
		"by a GUID in a header": {byGUID, guid + " AVRO Order  []", fmt.Sprintf(order, "c@example.com", "Bern", "1")},
		"of a secret topic":     {secret, "", ""},
	} {
		got, err := a.Record(t.Context(), everybody(), request(c.record))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d, said := got.Decoded, ""
		if d == nil {
			d = &answer.Decoding{}
		} else {
			said = fmt.Sprintf("%s %s %s %s %v", d.SchemaID, d.Kind, d.Name, d.Reason, d.Withheld)
		}
		if said != c.want || d.Reason != "" && d.Document != nil || d.SchemaID != "" && d.Detail == "" {
			t.Errorf("%s: %q, %s; want %q", name, said, d.Detail, c.want)
		}
		compact := strings.ReplaceAll(string(d.Document), " ", "") // protojson puts them where it likes
		if !strings.HasPrefix(compact, c.doc) || c.doc == "" && compact != "" {
			t.Errorf("%s: decoded %s, want %s", name, d.Document, c.doc)
		}
		if c.record == records[1] && string(got.Record.Value) != string(records[1].Value) {
			t.Errorf("%s: the bytes are not those that were archived", name)
		}
	}
}
