package custody_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

var day = time.Date(2024, 1, 2, 14, 15, 0, 0, time.UTC)

// odd are records that are easily changed on their way.
func odd(i int) func(*schema.Record) {
	return func(r *schema.Record) {
		switch i % 6 {
		case 0:
			r.Key, r.Value = nil, nil
		case 1:
			r.Key, r.Value = []byte{}, []byte{}
		case 2:
			r.Value = []byte{0xff, 0x00, 0xfe}
			r.Headers = []schema.Header{{Name: "a", Value: nil}, {Name: "a", Value: []byte{}}, {Name: "\xff\xfe", Value: []byte{0xff}}, {Name: ""}}
		case 3:
			r.Value = []byte(`{"html":"<script>alert(1)</script>","n":1.00,"u":"\u2028"}`)
		case 4:
			r.Timestamp = 1<<62 + 7
		}
	}
}

// filled is an archive with two topics of two partitions and three segments
// each, a gap, and what a transaction left.
func filled(t testing.TB) (*archive, []*schema.Record) {
	a := newArchive(t)
	var all []*schema.Record
	for round := range 3 {
		for _, topic := range []string{"orders", "payments"} {
			for partition := range int32(2) {
				for i := range 12 {
					at := day.Add(time.Duration(round)*time.Hour + time.Duration(i)*time.Second)
					r := a.produce(topic, partition, at, fmt.Sprintf(`{"round":%d,"i":%d}`, round, i), nil)
					if round == 1 {
						odd(i)(r)
					}
					if topic == "payments" && i == 11 {
						r.Status = schema.Control
					} else {
						all = append(all, r)
					}
				}
				if partition == 1 {
					a.stream(topic, partition).next += 5
				}
			}
		}
		a.seal()
	}
	return a, all
}

// records reads the records of a bag with a Parquet reader that is not ours.
func records(t testing.TB, dir string) map[schema.Position]*schema.Record {
	t.Helper()
	found := map[schema.Position]*schema.Record{}
	for _, name := range filesOf(t, dir) {
		if strings.HasSuffix(name, ".parquet") {
			for _, row := range segmenttest.Read(t, readFile(t, dir, name)) {
				found[row.Position()] = &row.Record
			}
		}
	}
	return found
}

// holds compares a bag's records with what was produced.
func holds(t testing.TB, dir string, want []*schema.Record) {
	t.Helper()
	found := records(t, dir)
	for _, r := range want {
		got := found[r.Position()]
		if got == nil {
			t.Errorf("%s/%d/%d is missing", r.Topic, r.Partition, r.Offset)
			continue
		}
		if len(got.Headers) == 0 {
			got.Headers = nil
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("got  %+v\nwant %+v", got, r)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d records in the bag, want %d", len(found), len(want))
	}
	lines := bufio.NewScanner(bytes.NewReader(readFile(t, dir, "data/records/records.jsonl")))
	lines.Buffer(nil, 1<<20)
	count := 0
	for ; lines.Scan(); count++ {
		var l struct {
			TopicID           schema.TopicID `json:"topic_id"`
			Partition, Branch int32
			Offset            int64
			Key               []byte `json:"key_base64"`
			Value             []byte `json:"value_base64"`
		}
		must(t, json.Unmarshal(lines.Bytes(), &l))
		r := found[schema.Position{TopicID: l.TopicID, Partition: l.Partition, Branch: l.Branch, Offset: l.Offset}]
		if r == nil || !reflect.DeepEqual(l.Key, r.Key) || !reflect.DeepEqual(l.Value, r.Value) {
			t.Errorf("line %d: %+v, the Parquet file has %+v", count, l, r)
		}
	}
	if count != len(want) {
		t.Errorf("%d lines, want %d", count, len(want))
	}
}

func TestTopicsAreExportedWhole(t *testing.T) {
	a, all := filled(t)
	dir := a.export(a.exporter(nil), policy.Everything(), answer.ExportRequest{Topics: []string{"payments", "orders", "orders"}, Case: "4711"})
	holds(t, dir, all)
	report := sound(t, dir)
	var orders int64
	for _, r := range all {
		if r.Topic == "orders" {
			orders++
		}
	}
	if report.Records != int64(len(all)) || report.Tied != orders {
		t.Errorf("verified %d records, %d of them by record root; want %d and %d", report.Records, report.Tied, len(all), orders)
	}
	if path, err := exec.LookPath("sha256sum"); err == nil {
		for _, list := range []string{"manifest-sha256.txt", "tagmanifest-sha256.txt"} {
			check := exec.CommandContext(t.Context(), path, "--check", "--strict", list)
			check.Dir = dir
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("sha256sum --check %s: %v\n%s", list, err, out)
			}
		}
	}
	for _, want := range []string{"Bagging-Date: ", "External-Identifier: 4711\n", "Annals-Requested-By: development\n", "Payload-Oxum: "} {
		if !strings.Contains(string(readFile(t, dir, "bag-info.txt")), want) {
			t.Errorf("bag-info.txt lacks %q", want)
		}
	}
	html := string(readFile(t, dir, "data/report/report.html"))
	if strings.Contains(html, "<script") || !strings.Contains(html, "&lt;script&gt;") {
		t.Error("the report takes payloads for markup")
	}
	if !strings.Contains(html, "cleaned") || !strings.Contains(html, "annals verify") {
		t.Error("the report lacks the gaps, or how to verify")
	}
}

func TestTimeRangesEndBeforeTheirEnd(t *testing.T) {
	a, all := filled(t)
	request := answer.ExportRequest{Topics: []string{"orders"}, From: day.Add(3 * time.Second), To: day.Add(time.Hour + 2*time.Second)}
	var want []*schema.Record
	for _, r := range all {
		if r.Topic == "orders" && r.Timestamp >= request.From.UnixMilli() && r.Timestamp < request.To.UnixMilli() {
			want = append(want, r)
		}
	}
	dir := a.export(a.exporter(nil), policy.Everything(), request)
	holds(t, dir, want)
	sound(t, dir)
}

func TestSameQuestionSameAnswer(t *testing.T) {
	a, _ := filled(t)
	e := a.exporter(nil)
	request := answer.ExportRequest{Topics: []string{"orders", "payments"}, To: day.Add(90 * time.Minute)}
	one, other := a.export(e, policy.Everything(), request), a.export(e, policy.Everything(), request)
	names := filesOf(t, one)
	if !reflect.DeepEqual(names, filesOf(t, other)) {
		t.Fatalf("other files: %v, %v", names, filesOf(t, other))
	}
	for _, name := range names {
		// A segment's seed is random, and the report lists the files' hashes.
		random := strings.HasSuffix(name, ".parquet") || strings.HasSuffix(name, ".html")
		if strings.HasPrefix(name, "data/") && !random && !bytes.Equal(readFile(t, one, name), readFile(t, other, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestTracesAreExportedFromTheLatestView(t *testing.T) {
	a := newArchive(t)
	first := a.produce("orders", 0, day, `{"a":1}`, nil)
	for i := range 5 {
		a.produce("orders", 0, day, fmt.Sprint(i), nil)
	}
	lost := a.produce("orders", 0, day, `{"lost":true}`, nil)
	hidden := a.produce("salaries", 0, day, `{"secret":true}`, nil)
	a.seal()
	a.diverge(a.stream("orders", 0), 4)
	second := a.produce("orders", 0, day, `{"a":2}`, nil)
	a.seal()
	fresh := a.produce("orders", 0, day, `{"fresh":true}`, nil)
	x := traceOf("t-1", fresh, second, lost, hidden, first)
	set, err := policy.Topics("ord*")
	must(t, err)
	who := policy.Principal{Name: "auditor\nX: y", Topics: set}
	dir := a.export(a.exporter(func(o *custody.Options) { o.Traces = x }), who, answer.ExportRequest{TraceID: "T-1"})
	holds(t, dir, []*schema.Record{first, second})
	sound(t, dir)
	html := string(readFile(t, dir, "data/report/report.html"))
	for _, want := range []string{"1 matching records were not sealed", "1 matching records were archived and are not in", "3 steps are left out", "2 branches"} {
		if !strings.Contains(html, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, name := range filesOf(t, dir) {
		if bytes.Contains(readFile(t, dir, name), []byte("salaries")) {
			t.Errorf("%s names a topic that the asker may not see", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	a, all := filled(t)
	fresh := a.produce("orders", 0, day, `{"fresh":true}`, nil)
	x := traceOf("t", all[0])
	e := a.exporter(func(o *custody.Options) { o.Traces = x })
	nobody := policy.Principal{Name: "nobody"}
	yes := true
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "payments", Secret: &yes}, {Pattern: "orders", Personal: []string{"/who"}}})
	must(t, err)
	for _, topic := range []string{"payments", "orders"} {
		held := a.exporter(func(o *custody.Options) { o.Policy = policies })
		if err := held.Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{topic}}, io.Discard); schema.KindOf(err) != schema.Permission {
			t.Errorf("what policy withholds of %s is exported: %v", topic, err)
		}
	}
	for name, c := range map[string]struct {
		request answer.ExportRequest
		who     policy.Principal
		trace   *traces
		want    schema.Kind
	}{
		"nothing":           {want: schema.Invalid},
		"both":              {request: answer.ExportRequest{TraceID: "t", Topics: []string{"orders"}}, want: schema.Invalid},
		"trace and time":    {request: answer.ExportRequest{TraceID: "t", From: day}, want: schema.Invalid},
		"backwards":         {request: answer.ExportRequest{Topics: []string{"orders"}, From: day, To: day}, want: schema.Invalid},
		"many topics":       {request: answer.ExportRequest{Topics: make([]string, custody.MaxTopics+1)}, want: schema.Invalid},
		"case of two lines": {request: answer.ExportRequest{Topics: []string{"orders"}, Case: "a\nb"}, want: schema.Invalid},
		"unknown topic":     {request: answer.ExportRequest{Topics: []string{"orders", "other"}}, want: schema.NotFound},
		"hidden topic":      {request: answer.ExportRequest{Topics: []string{"orders"}}, who: nobody, want: schema.NotFound},
		"empty range":       {request: answer.ExportRequest{Topics: []string{"orders"}, To: day.Add(-time.Hour)}, want: schema.NotFound},
		"hidden trace":      {request: answer.ExportRequest{TraceID: "t"}, who: nobody, trace: traceOf("t", all[0]), want: schema.NotFound},
		"fresh trace":       {request: answer.ExportRequest{TraceID: "t"}, trace: traceOf("t", fresh), want: schema.Conflict},
		"cut trace": {
			request: answer.ExportRequest{TraceID: "t"}, want: schema.Exhausted,
			trace: &traces{found: answer.Trace{TraceID: "t", Truncated: true}},
		},
		"a record that is not there": {
			request: answer.ExportRequest{TraceID: "t"}, want: schema.Corrupt,
			trace: traceOf("t", &schema.Record{Topic: "orders", TopicID: all[0].TopicID, Partition: 1, Offset: 13}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.who.Name == "" {
				c.who = policy.Everything()
			}
			if c.trace != nil {
				*x = *c.trace
			}
			var out bytes.Buffer
			err := e.Export(t.Context(), c.who, c.request, &out)
			if err == nil || schema.KindOf(err) != c.want {
				t.Errorf("got %v (%s), want %s", err, schema.KindOf(err), c.want)
			}
			if out.Len() > 0 {
				t.Errorf("%d bytes were written", out.Len())
			}
		})
	}
}

// TestDamagedSegmentsAreNamed changes a segment in the store under the archive.
func TestDamagedSegmentsAreNamed(t *testing.T) {
	a, _ := filled(t)
	v, err := a.book.View(t.Context(), a.stream("orders", 1).Stream, nil)
	must(t, err)
	part := v.Current()[1]
	raw := readFile(t, a.dir, part.Ref.Key)
	raw[len(raw)/2] ^= 1
	writeFile(t, a.dir, part.Ref.Key, raw)
	err = a.exporter(nil).Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, new(bytes.Buffer))
	if schema.KindOf(err) != schema.Corrupt || !strings.Contains(err.Error(), part.Ref.Key) {
		t.Errorf("a changed byte: %v", err)
	}
	must(t, a.store.Delete(t.Context(), part.Ref.Key))
	err = a.exporter(nil).Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), part.Ref.Key) {
		t.Errorf("a missing segment: %v", err)
	}
}

func TestSpoolIsBounded(t *testing.T) {
	a, _ := filled(t)
	var out bytes.Buffer
	e := a.exporter(func(o *custody.Options) { o.SpoolBytes = 20_000 })
	err := e.Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, &out)
	var hinted *schema.Error
	if schema.KindOf(err) != schema.Exhausted || !errors.As(err, &hinted) || hinted.Hint == "" {
		t.Errorf("got %v", err)
	}
}

func TestBrokenReadersEndExports(t *testing.T) {
	a, _ := filled(t)
	e := a.exporter(nil)
	r, w := io.Pipe()
	must(t, r.CloseWithError(errGone))
	if err := e.Export(t.Context(), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, w); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Export(ctx, policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

var errGone = errors.New("gone")

// TestAnyRecordSurvives exports records of any shape and reads them back.
func TestAnyRecordSurvives(t *testing.T) {
	optional := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 40),
		rapid.Map(rapid.StringN(0, 40, -1), func(s string) []byte { return []byte(s) }),
		rapid.Map(rapid.StringN(0, 20, -1), func(s string) []byte { raw, _ := json.Marshal(map[string]string{s: s}); return raw }))
	rapid.Check(t, func(rt *rapid.T) {
		const topic = "any"
		a := newArchive(t) // of its own: an export looks at every stream there is
		var all []*schema.Record
		for range rapid.IntRange(1, 8).Draw(rt, "records") {
			all = append(all, a.produce(topic, 0, day, "", func(r *schema.Record) {
				r.Offset += rapid.Int64Range(0, 3).Draw(rt, "skip")
				r.Timestamp = rapid.Int64().Draw(rt, "timestamp")
				r.TimestampType = schema.TimestampType(rapid.IntRange(-1, 1).Draw(rt, "type"))
				r.LeaderEpoch = rapid.Int32Range(-1, 9).Draw(rt, "epoch")
				r.ProducerID, r.ProducerEpoch = rapid.Int64Min(-1).Draw(rt, "producer"), rapid.Int16().Draw(rt, "producer epoch")
				r.Key, r.Value = optional.Draw(rt, "key"), optional.Draw(rt, "value")
				for range rapid.IntRange(0, 3).Draw(rt, "headers") {
					r.Headers = append(r.Headers, schema.Header{Name: string(optional.Draw(rt, "name")), Value: optional.Draw(rt, "header")})
				}
			}))
		}
		a.seal()
		dir := a.export(a.exporter(nil), policy.Everything(), answer.ExportRequest{Topics: []string{topic}})
		holds(t, dir, all)
		if report := sound(t, dir); report.Tied != int64(len(all)) {
			rt.Fatalf("%d of %d records are tied to their commit", report.Tied, len(all))
		}
	})
}
