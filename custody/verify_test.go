package custody_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// bag exports both topics of a filled archive.
func bag(t testing.TB) (string, []*schema.Record) {
	t.Helper()
	a, all := filled(t)
	return a.export(a.exporter(nil), policy.Everything(), answer.ExportRequest{Topics: []string{"orders", "payments"}}), all
}

func copyBag(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// names fails the test unless the result is as wanted and a finding names file.
func names(t testing.TB, report *custody.Report, want custody.Result, file string) {
	t.Helper()
	if report.Result != want || !slices.ContainsFunc(report.Findings, func(f custody.Finding) bool { return f.File == file }) {
		t.Errorf("want %s naming %s, got %+v", want, file, report)
	}
}

// TestEveryFlippedByteIsNamed flips the first and the last byte of each file,
// and many between: the first finding is the file that was changed, and nothing
// else is accused.
func TestEveryFlippedByteIsNamed(t *testing.T) {
	dir, _ := bag(t)
	random := rand.New(rand.NewPCG(7, 11))
	flip := func(name string, at int, mask byte) {
		raw := readFile(t, dir, name)
		changed := slices.Clone(raw)
		changed[at] ^= mask
		writeFile(t, dir, name, changed)
		report := verify(t, dir)
		if report.Result != custody.Tampered || report.Findings[0].File != name {
			t.Errorf("byte %d of %s, %q to %q: %+v", at, name, raw[at], changed[at], report)
		}
		writeFile(t, dir, name, raw)
	}
	flips := 0
	for _, name := range filesOf(t, dir) {
		size := len(readFile(t, dir, name))
		places := []int{0, size - 1}
		more := 10
		if !strings.Contains(name, "/") {
			more = 120 // the files whose hashes nothing else holds
		}
		for range more {
			places = append(places, random.IntN(size))
		}
		for _, at := range places {
			flip(name, at, 1<<random.IntN(8))
			flips++
		}
	}
	sound(t, dir)
	t.Logf("%d flips in %d files, all found and named", flips, len(filesOf(t, dir)))
	if flips < 500 {
		t.Errorf("%d flips are too few", flips)
	}
}

func TestMissingAddedAndMovedFiles(t *testing.T) {
	dir, _ := bag(t)
	for _, name := range filesOf(t, dir) {
		raw := readFile(t, dir, name)
		must(t, os.Remove(filepath.Join(dir, name)))
		names(t, verify(t, dir), custody.Incomplete, name)
		writeFile(t, dir, name+".moved", raw)
		report := verify(t, dir)
		names(t, report, custody.Tampered, name)
		names(t, report, custody.Tampered, name+".moved")
		must(t, os.Remove(filepath.Join(dir, name+".moved")))
		writeFile(t, dir, name, raw)
	}
	for _, name := range []string{"notes.txt", "data/notes.txt", "data/records/more.parquet"} {
		writeFile(t, dir, name, []byte("x"))
		names(t, verify(t, dir), custody.Tampered, name)
		must(t, os.Remove(filepath.Join(dir, name)))
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "data/link")))
	names(t, verify(t, dir), custody.Tampered, "data/link")
	must(t, os.Remove(filepath.Join(dir, "data/link")))
	sound(t, dir)
}

// TestCoveredTracks changes contents and closes the bag again with hashes that
// agree: the files contradict one another all the same.
func TestCoveredTracks(t *testing.T) {
	a, all := filled(t)
	dir := a.export(a.exporter(nil), policy.Everything(), answer.ExportRequest{Topics: []string{"orders", "payments"}})
	for name, c := range forgeries(t, a, all, dir) {
		t.Run(name, func(t *testing.T) {
			dir := copyBag(t, dir)
			rehash(t, dir)
			sound(t, dir) // or the test would find its own rehash
			c.change(dir)
			rehash(t, dir)
			names(t, verify(t, dir), custody.Tampered, c.file)
		})
	}
}

// forgery is a change that somebody could make, and the file that gives it away.
type forgery struct {
	change func(dir string)
	file   string
}

func forgeries(t *testing.T, a *archive, all []*schema.Record, dir string) map[string]forgery {
	const lines, scope = "data/records/records.jsonl", "data/scope.json"
	var file, commit string // the first of orders/0, whose segments are whole
	for _, name := range filesOf(t, dir) {
		switch {
		case strings.Contains(name, "records/orders/") && strings.HasSuffix(name, "00000.parquet"):
			file = name
		case strings.HasPrefix(name, "data/commits/"):
			commit = name
		}
	}
	replace := func(name, old, with string) func(string) {
		return func(dir string) {
			raw := readFile(t, dir, name)
			changed := bytes.Replace(raw, []byte(old), []byte(with), 1)
			if bytes.Equal(raw, changed) {
				t.Fatalf("%s does not hold %q", name, old)
			}
			writeFile(t, dir, name, changed)
		}
	}
	// rewrite makes a file of orders/0 anew, with other records.
	rewrite := func(change func([]*schema.Record) []*schema.Record) func(string) {
		return func(dir string) {
			var records []*schema.Record
			for _, r := range all {
				if r.Topic == "orders" && r.Partition == 0 {
					clone := *r
					records = append(records, &clone)
				}
			}
			raw, _ := a.segment(a.stream("orders", 0).Stream, 0, change(records))
			writeFile(t, dir, file, raw)
		}
	}
	return map[string]forgery{
		"two lines swapped": {func(dir string) {
			all := bytes.SplitAfter(readFile(t, dir, lines), []byte("\n"))
			all[3], all[4] = all[4], all[3]
			writeFile(t, dir, lines, bytes.Join(all, nil))
		}, lines},
		"a line dropped": {func(dir string) {
			all := bytes.SplitAfter(readFile(t, dir, lines), []byte("\n"))
			writeFile(t, dir, lines, bytes.Join(all[:len(all)-2], nil))
		}, lines},
		"a line added": {func(dir string) {
			raw := readFile(t, dir, lines)
			writeFile(t, dir, lines, append(raw, raw[:bytes.IndexByte(raw, '\n')+1]...))
		}, lines},
		"a line that never ends": {func(dir string) {
			writeFile(t, dir, lines, bytes.Repeat([]byte(" "), 4<<20))
		}, lines},
		"a document that is not the value": {replace(lines, `"document":{"i":0`, `"document":{"i":9`), lines},
		"a text that is not the value":     {replace(lines, `"key_text":"k"`, `"key_text":"j"`), lines},
		"a count in the scope":             {replace(scope, `"gap_offsets": "15"`, `"gap_offsets": "14"`), scope},
		"the query in the scope":           {replace(scope, `"from": null`, `"from": "2020-01-01T00:00:00Z"`), scope},
		"a commit":                         {replace(commit, `"writer":"test"`, `"writer":"tess"`), commit},
		"a commit that is not one":         {replace(commit, `{`, `[`), commit},
		"a file that nothing names":        {func(dir string) { writeFile(t, dir, "data/more", []byte("x")) }, "data/more"},
		"a value in the Parquet file": {rewrite(func(r []*schema.Record) []*schema.Record {
			r[0].Value = []byte(`{"round":0,"i":7}`)
			return r
		}), lines},
		"records swapped in the Parquet file": {rewrite(func(r []*schema.Record) []*schema.Record {
			r[2].Value, r[3].Value = r[3].Value, r[2].Value
			return r
		}), lines},
		"a record dropped from the Parquet file": {rewrite(func(r []*schema.Record) []*schema.Record {
			return slices.Delete(r, 5, 6)
		}), file},
		"a value in both": {func(dir string) {
			rewrite(func(r []*schema.Record) []*schema.Record {
				r[0].Key = []byte("j")
				return r
			})(dir)
			replace(lines, `"key_base64":"aw==","key_text":"k"`, `"key_base64":"ag==","key_text":"j"`)(dir)
		}, file},
		"no Parquet file": {func(dir string) { writeFile(t, dir, file, []byte("PAR1")) }, file},
	}
}

func TestWhatIsNoBag(t *testing.T) {
	if _, err := custody.Verify(t.Context(), filepath.Join(t.TempDir(), "none"), nil); schema.KindOf(err) != schema.NotFound {
		t.Errorf("no folder: %v", err)
	}
	dir := t.TempDir()
	names(t, verify(t, dir), custody.Unverifiable, ".")
	whole, _ := bag(t)
	raw := readFile(t, whole, "data/scope.json")
	writeFile(t, whole, "data/scope.json", bytes.Replace(raw, []byte("annals.export/1"), []byte("annals.export/9"), 1))
	rehash(t, whole)
	names(t, verify(t, whole), custody.Unverifiable, "data/scope.json")
	for result, want := range map[custody.Result]int{custody.OK: 0, custody.Tampered: 1, custody.Incomplete: 2, custody.Unverifiable: 3} {
		if result.ExitCode() != want {
			t.Errorf("%s exits with %d", result, result.ExitCode())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := custody.Verify(ctx, whole, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestReportsSayWhatWasDone(t *testing.T) {
	dir, all := bag(t)
	var last custody.Progress
	report, err := custody.Verify(t.Context(), dir, func(p custody.Progress) { last = p })
	must(t, err)
	if last.Bytes != last.Total || last.Records != int64(len(all)) || last.Files != report.Files || last.Bytes != report.Bytes {
		t.Errorf("progress ends at %+v, the report is %+v", last, report)
	}
	var text, raw bytes.Buffer
	must(t, report.WriteText(&text))
	must(t, report.WriteJSON(&raw))
	if !strings.HasPrefix(text.String(), "ok: hashes agree, unsigned") || !strings.Contains(text.String(), report.ID) {
		t.Errorf("%s", &text)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "tagmanifest-sha256.txt"))
	must(t, err)
	if sum := fmt.Sprintf("%x", sha256.Sum256(manifest)); report.Manifest != sum || !strings.Contains(text.String(), sum) {
		t.Errorf("the tagmanifest is %s, the report says %s", sum, &text)
	}
	for _, want := range []string{fmt.Sprintf("files: all %d ", report.Files), fmt.Sprintf("records: %d rows", len(all)), "not checked\n  who made it: "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &text)
		}
	}
	if len(report.Checked) != 4 || len(report.NotChecked) < 2 {
		t.Errorf("checked %q, not %q", report.Checked, report.NotChecked)
	}
	var again custody.Report
	must(t, json.Unmarshal(raw.Bytes(), &again))
	if again.Result != custody.OK || again.Records != report.Records || again.Findings == nil {
		t.Errorf("%s", &raw)
	}
	writeFile(t, dir, "data/\x1b[31m", nil)
	text.Reset()
	must(t, verify(t, dir).WriteText(&text))
	if strings.Contains(text.String(), "\x1b") || !strings.Contains(text.String(), `\x1b`) {
		t.Errorf("a file's name reaches the terminal as it is: %q", &text)
	}
}

// TestLinesMayBeSpeltOtherwise writes the lines as another encoder might.
func TestLinesMayBeSpeltOtherwise(t *testing.T) {
	dir, _ := bag(t)
	const lines = "data/records/records.jsonl"
	raw := readFile(t, dir, lines)
	writeFile(t, dir, lines, bytes.ReplaceAll(raw, []byte(`"branch":`), []byte(`"branch" : `)))
	rehash(t, dir)
	sound(t, dir)
}
