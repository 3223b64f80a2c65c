package corpus_test

import (
	"path/filepath"
	"testing"

	"github.com/fx-risk-ai/annals/test/corpus"
)

// TestCorpusOnlyGrows: a case is never removed, so there are no fewer than there
// were.
func TestCorpusOnlyGrows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	cases := 0
	for _, path := range files {
		f, err := corpus.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		cases += len(f.Cases)
	}
	if cases < atLeast {
		t.Errorf("%d cases, of %d", cases, atLeast)
	}
}

const atLeast = 300
