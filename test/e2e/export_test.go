package e2e_test

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
)

// TestExportIsVerifiedAndTamperingIsFound exports a trace and a topic, checks
// the bags offline, and flips one byte of each file in turn.
func TestExportIsVerifiedAndTamperingIsFound(t *testing.T) {
	i := year(t)
	t.Parallel()
	trace := traceOf(t, oneOf(t, i, "fx.risk.alerts"))
	for name, args := range map[string][]string{
		"trace": {"--trace", trace, "--case", "4711"},
		"topic": {"--topic", "fx.risk.alerts"},
	} {
		bag := filepath.Join(t.TempDir(), name)
		if said := i.Annals(t, append([]string{"export", "--out", bag}, args...)...); said.Code != 0 {
			t.Fatalf("annals export %v: code %d, %s", args, said.Code, said.Err)
		}
		if said := programs.Annals(t, "verify", bag); said.Code != 0 || !strings.Contains(string(said.Out), "unsigned") {
			t.Fatalf("annals verify: code %d, %s%s", said.Code, said.Out, said.Err)
		}
		lines, rows := countExported(t, bag)
		if lines != rows || lines == 0 {
			t.Errorf("%s: %d lines of JSON and %d rows of Parquet", name, lines, rows)
		}
		tamper(t, bag)
	}
}

// countExported counts the records of a bag as others read it.
func countExported(t testing.TB, bag string) (lines, rows int) {
	t.Helper()
	for _, path := range filesOf(t, bag) {
		switch filepath.Ext(path) {
		case ".jsonl":
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			scan := bufio.NewScanner(f)
			scan.Buffer(nil, 16<<20)
			for scan.Scan() {
				if !json.Valid(scan.Bytes()) {
					t.Errorf("%s, line %d is no JSON", path, lines+1)
				}
				lines++
			}
			if err := scan.Err(); err != nil {
				t.Error(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		case ".parquet":
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rows += len(segmenttest.Read(t, raw))
		}
	}
	return lines, rows
}

func filesOf(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tamper flips a byte in the middle of each file, and verifies after each; a
// file that is missing, and one too many, count as well.
func tamper(t testing.TB, bag string) {
	t.Helper()
	for _, path := range filesOf(t, bag) {
		relative, err := filepath.Rel(bag, path)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := append([]byte{}, raw...)
		flipped[len(flipped)/2] ^= 1
		refused(t, bag, relative, func() error { return os.WriteFile(path, flipped, 0o600) }, 1)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if said := programs.Annals(t, "verify", bag); said.Code != 0 {
		t.Errorf("with all bytes back: code %d, %s", said.Code, said.Out)
	}
	lost := filepath.Join(bag, "data", "scope.json")
	raw, err := os.ReadFile(lost)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, bag, "data/scope.json", func() error { return os.Remove(lost) }, 1, 2)
	if err := os.WriteFile(lost, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	added := filepath.Join(bag, "data", "added.txt")
	refused(t, bag, "data/added.txt", func() error { return os.WriteFile(added, []byte("added"), 0o600) }, 1, 2)
}

// refused changes the bag and expects one of the codes, and the file's name.
func refused(t testing.TB, bag, name string, change func() error, codes ...int) {
	t.Helper()
	if err := change(); err != nil {
		t.Fatal(err)
	}
	said := programs.Annals(t, "verify", bag)
	for _, code := range codes {
		if said.Code == code && strings.Contains(string(said.Out)+said.Err, name) {
			return
		}
	}
	t.Errorf("%s was changed: code %d, want one of %v and its name: %s%s", name, said.Code, codes, said.Out, said.Err)
}

// TestExportOfNothingIsRefused asks for what is not there, and for a folder
// that is.
func TestExportOfNothingIsRefused(t *testing.T) {
	i := year(t)
	there := t.TempDir()
	for name, args := range map[string][]string{
		"no trace":        {"--trace", strings.Repeat("1", 32), "--out", filepath.Join(there, "a")},
		"no selection":    {"--out", filepath.Join(there, "b")},
		"no such topic":   {"--topic", "fx.nothing", "--out", filepath.Join(there, "c")},
		"a folder in use": {"--topic", "fx.risk.alerts", "--out", there},
	} {
		if said := i.Annals(t, append([]string{"export"}, args...)...); said.Code == 0 || said.Err == "" {
			t.Errorf("%s: code %d, %s", name, said.Code, said.Err)
		}
	}
	if left := filesOf(t, there); len(left) > 0 {
		t.Errorf("refused exports left %v", left)
	}
	if none := programs.Annals(t, "verify", filepath.Join(there, "nowhere")); none.Code == 0 || none.Code == 1 {
		t.Errorf("a bag that is not there: code %d, %s", none.Code, none.Err)
	}
}
