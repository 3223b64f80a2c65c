package segment_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/property"
)

// split writes rows as segments, cut before the given rows.
func split(t testing.TB, o segment.Options, rows []segment.Row, cuts ...int) [][]byte {
	t.Helper()
	var files [][]byte
	from := 0
	for _, to := range append(cuts, len(rows)) {
		raw, _ := write(t, o, rows[from:to])
		files = append(files, raw)
		from = to
	}
	return files
}

// join joins segments into one, as a compaction does.
func join(t testing.TB, o segment.Options, files [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := segment.NewWriter(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range files {
		r := open(t, raw)
		parts := r.Footer().Parts
		for i := range parts {
			if err := w.BeginPart(parts[i].Seed); err != nil {
				t.Fatal(err)
			}
			for row, err := range r.Rows(t.Context(), parts[i].FirstOffset, parts[i].LastOffset+1) {
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Append(&row.Record, &row.X); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Any rows, cut into any segments, joined in any grouping, and those joined
// again, are the same rows under the same leaves and roots.
func TestJoinedSegmentsKeepRowsAndRoots(t *testing.T) {
	property.Few(t, "25") // each check writes and joins dozens of files
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawRows(rt)
		var cuts []int
		for i := 1; i < len(rows); i++ {
			if rapid.Bool().Draw(rt, "cut") {
				cuts = append(cuts, i)
			}
		}
		o := small(rt)
		o.Rewrite = "first"
		files := split(t, o, rows, cuts...)
		var parts []segment.Part
		for _, raw := range files {
			parts = append(parts, open(t, raw).Footer().Parts...)
		}
		middle := rapid.IntRange(0, len(files)).Draw(rt, "middle")
		again := small(rt)
		again.Rewrite = "second"
		var halves [][]byte
		for _, half := range [][][]byte{files[:middle], files[middle:]} {
			if len(half) > 0 {
				halves = append(halves, join(t, again, half))
			}
		}
		for _, raw := range [][]byte{join(t, again, files), join(t, o, halves)} {
			checkJoined(t, rt, raw, rows, parts)
		}
	})
}

func checkJoined(t *testing.T, rt *rapid.T, raw []byte, rows []segment.Row, parts []segment.Part) {
	summary, err := segment.Recount(t.Context(), bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		rt.Fatal(err)
	}
	f := open(t, raw).Footer()
	if got, want := fmt.Sprint(f.Parts), fmt.Sprint(parts); got != want {
		rt.Fatalf("parts\n got %s\nwant %s", got, want)
	}
	if summary.RecordRoot != segment.RecordRoot(parts) || f.RecordRoot != summary.RecordRoot {
		rt.Fatal("the record root is not that of the parts")
	}
	other, at := segmenttest.Read(t, raw), 0
	for row, err := range open(t, raw).Rows(t.Context(), 0, math.MaxInt64) {
		if err != nil {
			rt.Fatal(err)
		}
		compare(rt, "rows", row, &rows[at])
		compare(rt, "parquet-go", &other[at], &rows[at])
		at++
	}
	if at != len(rows) || len(other) != len(rows) {
		rt.Fatalf("%d and %d rows of %d", at, len(other), len(rows))
	}
	for i := range parts {
		var tree proof.Tree
		for j := range rows {
			if rows[j].Offset >= parts[i].FirstOffset && rows[j].Offset <= parts[i].LastOffset {
				tree.Append(proof.Leaf(parts[i].Seed, &rows[j].Record))
			}
		}
		in := f.PartsIn(parts[i].FirstOffset, parts[i].LastOffset+1)
		if len(in) != 1 || in[0].RecordRoot != tree.Root() {
			rt.Fatalf("part %d: the leaves of its rows do not give the root that it had", i+1)
		}
	}
}

// A joined file cannot be passed off as sealed in one, nor hold its parts
// otherwise than they are.
func TestPartsThatDoNotFitAreRefused(t *testing.T) {
	rows := sample(30, 60)
	files := split(t, segment.Options{Stream: stream()}, rows, 10, 20)
	whole := join(t, segment.Options{Stream: stream(), Rewrite: "abc"}, files)
	f := open(t, whole).Footer()
	for name, change := range map[string][2]string{
		"the format of one part":       {`annals.segment/2`, `annals.segment/1`},
		"no rewrite":                   {`"rewrite":"abc"`, `"rewrite":"a/c"`},
		"a part that begins elsewhere": {`"first_offset":"1010"`, `"first_offset":"1011"`},
		"parts that overlap":           {`"last_offset":"1009"`, `"last_offset":"1010"`},
		"another seed":                 {seedText(t, f.Parts[1].Seed), seedText(t, f.Parts[2].Seed)},
		"another root":                 {f.Parts[1].RecordRoot.String(), f.Parts[2].RecordRoot.String()},
	} {
		raw := bytes.Replace(whole, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(raw, whole) {
			t.Fatalf("%s: nothing was changed", name)
		}
		raw = redigested(t, raw)
		if err := segment.Verify(t.Context(), bytes.NewReader(raw), int64(len(raw))); schema.KindOf(err) != schema.Corrupt || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := segment.NewWriter(&bytes.Buffer{}, segment.Options{Stream: stream()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(&rows[0].Record, &rows[0].X); err != nil {
		t.Fatal(err)
	}
	if err := w.BeginPart(proof.NewSeed()); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a second part without a rewrite's name: %v", err)
	}
}

func seedText(t *testing.T, s proof.Seed) string {
	t.Helper()
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A footer is bounded before it is believed.
func TestManyPartsAreRefused(t *testing.T) {
	rows := sample(segment.MaxParts+1, 1)
	var out bytes.Buffer
	w, err := segment.NewWriter(&out, segment.Options{Stream: stream(), Rewrite: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		err := w.BeginPart(proof.Seed{byte(i)})
		if full := i == segment.MaxParts; full != (schema.KindOf(err) == schema.Exhausted && err != nil) {
			t.Fatalf("part %d: %v", i+1, err)
		}
		if err == nil {
			err = w.Append(&rows[i].Record, &rows[i].X)
		}
		if err != nil && i < segment.MaxParts {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := out.Bytes()
	if n := len(open(t, raw).Footer().Parts); n != segment.MaxParts {
		t.Fatalf("%d parts", n)
	}
	// As many bytes of the list as before, of parts that are not there.
	at := bytes.Index(raw, []byte(`"parts":[`)) + len(`"parts":[`)
	end := at + bytes.IndexByte(raw[at:], ']')
	empty := strings.Repeat("{},", (end-at)/3)
	copy(raw[at:end], slices.Concat([]byte(empty), bytes.Repeat([]byte(" "), end-at-len(empty))))
	checkBounded(t, redigested(t, raw))
}

// redigested puts the right digest into a changed file, as somebody who covers
// tracks would.
func redigested(t *testing.T, raw []byte) []byte {
	t.Helper()
	prefix := append([]byte("annals.digest"), 0x18, 64)
	at := bytes.LastIndex(raw, prefix)
	if at < 0 {
		t.Fatal("no digest in the file")
	}
	at += len(prefix)
	copy(raw[at:at+64], bytes.Repeat([]byte("0"), 64))
	copy(raw[at:at+64], schema.CommitDigest(raw).String())
	return raw
}
