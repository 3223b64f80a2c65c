package custody_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// join compacts all current segments of a stream into one.
func (a *archive) join(s *stream) {
	a.t.Helper()
	view, err := a.book.View(a.t.Context(), s.Stream, nil)
	must(a.t, err)
	var file bytes.Buffer
	w, err := segment.NewWriter(&file, segment.Options{Stream: s.Stream, Branch: s.branch, Rewrite: "test"})
	must(a.t, err)
	c := a.commit(s, schema.KindCompaction)
	current := view.Current()
	for _, part := range current {
		raw, _, err := a.store.Get(a.t.Context(), part.Ref.Key, 1<<30)
		must(a.t, err)
		r, err := segment.Open(a.t.Context(), bytes.NewReader(raw), int64(len(raw)))
		must(a.t, err)
		must(a.t, w.BeginPart(r.Footer().Parts[0].Seed))
		for row, err := range r.Rows(a.t.Context(), part.Base, part.Next) {
			must(a.t, err)
			must(a.t, w.Append(&row.Record, &row.X))
		}
		c.Replaced = append(c.Replaced, part.Ref.ObjectRef)
	}
	summary, err := w.Close()
	must(a.t, err)
	c.Base, c.Next, c.Records, c.LeaderEpochs = current[0].Base, current[len(current)-1].Next, summary.Counts, summary.LeaderEpochs
	key := schema.SegmentKey(s.Stream, c.Base, c.Next, summary.SHA256)
	_, err = a.store.Put(a.t.Context(), key, file.Bytes())
	must(a.t, err)
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: key, SHA256: summary.SHA256, Bytes: summary.Bytes},
		RecordRoot: summary.RecordRoot, MinTimestamp: summary.MinTimestamp, MaxTimestamp: summary.MaxTimestamp,
	}
	a.append(s, c)
	for _, part := range current {
		must(a.t, a.store.Delete(a.t.Context(), part.Ref.Key))
	}
}

// A bag names the raw bytes of what could not be read, by hash, and a change of
// that is found.
func TestBagNamesRawBytes(t *testing.T) {
	a := newArchive(t)
	a.raw = &schema.ObjectRef{Key: "data/orders/x.batch", SHA256: schema.Digest{7}, Bytes: 70}
	a.produce("orders", 0, day, "before", nil)
	a.produce("orders", 0, day, "behind", func(r *schema.Record) { r.Offset = 5 })
	a.seal()
	dir := a.export(a.exporter(nil), policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}})
	sound(t, dir)
	raw := readFile(t, dir, "data/scope.json")
	for _, text := range []string{`"annals.export/2"`, `"unreadable"`, a.raw.Key, a.raw.SHA256.String()} {
		if !bytes.Contains(raw, []byte(text)) {
			t.Errorf("the scope lacks %s", text)
		}
	}
	writeFile(t, dir, "data/scope.json", bytes.Replace(raw, []byte(`"unreadable"`), []byte(`"cleaned"`), 1))
	rehash(t, dir)
	if report := verify(t, dir); report.Result != custody.Tampered {
		t.Errorf("another class: %+v", report)
	}
}

// A bag of joined segments has the same lines as before, ties as many records
// to commits, and what is changed in what it says of the parts is found.
func TestBagOfJoinedSegments(t *testing.T) {
	a, _ := filled(t)
	request := answer.ExportRequest{Topics: []string{"orders", "payments"}}
	before := a.export(a.exporter(nil), policy.Everything(), request)
	was := sound(t, before)
	for _, s := range a.streams {
		a.join(s)
	}
	dir := a.export(a.exporter(nil), policy.Everything(), request)
	is := sound(t, dir)
	lines := "data/records/records.jsonl"
	if !bytes.Equal(readFile(t, before, lines), readFile(t, dir, lines)) {
		t.Error("the lines differ")
	}
	if was.Tied == 0 || is.Tied != was.Tied || is.Records != was.Records {
		t.Errorf("before: %+v\nafter: %+v", was, is)
	}
	raw := readFile(t, dir, "data/scope.json")
	if !bytes.Contains(raw, []byte(`"annals.export/2"`)) || bytes.Contains(readFile(t, before, "data/scope.json"), []byte(`"parts"`)) {
		t.Error("the format does not say whether there are parts")
	}
	// A part of the records: the parts that are not whole keep their seeds.
	window := request
	window.From, window.To = day, day.Add(30*time.Minute)
	some := a.export(a.exporter(nil), policy.Everything(), window)
	if report := sound(t, some); report.Tied == 0 || report.Tied >= is.Tied {
		t.Errorf("of a third of the records: %+v", report)
	}
	if n := bytes.Count(readFile(t, some, "data/scope.json"), []byte(`"seed": null`)); n == 0 {
		t.Error("every part gives its seed, though rows of some are not in the bag")
	}
	for name, change := range map[string][2]string{
		"another version":  {`"annals.export/2"`, `"annals.export/1"`},
		"fewer rows":       {`"rows": "12",`, `"rows": "11",`},
		"a part moved":     {`"first_offset": "12",`, `"first_offset": "13",`},
		"a root exchanged": {`"record_root": "`, `"record_root": "00`},
		"a seed not ours":  {`"seed": "`, `"seed": "00`},
	} {
		at := bytes.Index(raw, []byte(`"parts"`))
		if name == "another version" {
			at = 0
		}
		changed := bytes.Clone(raw[:at])
		tail := bytes.Replace(raw[at:], []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(tail, raw[at:]) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if i := bytes.Index(tail, []byte(change[1])); len(change[1]) > len(change[0]) && i >= 0 { // keep the digits' number
			end := i + len(change[1]) + 62
			tail = append(bytes.Clone(tail[:end]), tail[end+2:]...)
		}
		writeFile(t, dir, "data/scope.json", append(changed, tail...))
		rehash(t, dir)
		if report := verify(t, dir); report.Result != custody.Tampered {
			t.Errorf("%s: %+v", name, report)
		}
	}
}
