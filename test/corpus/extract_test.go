package corpus_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/corpus"
)

var update = flag.Bool("update", false, "write what must hold anew: only for new cases, and read what it wrote")

// families are the files whose cases are records.
var families = []string{"records", "headers", "payloads"}

func family(t testing.TB, name string) *corpus.File {
	t.Helper()
	f, err := corpus.Parse(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func record(t testing.TB, c *corpus.Case) *schema.Record {
	t.Helper()
	r, err := c.Record()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExtraction holds what the rules read from each record, and what they
// flag, to what stands beside it.
func TestExtraction(t *testing.T) {
	rules, err := extract.New(extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range families {
		f := family(t, name)
		for _, c := range f.Cases {
			var x schema.Extraction
			rules.Extract(record(t, c), &x)
			want := c.Holding()
			c.Holds = corpus.Describe(&x)
			if got := c.Holding(); got != want && !*update {
				t.Errorf("%s, %s: got\n%swant\n%s", name, c.Name, got, want)
			}
		}
		if *update {
			if err := f.Write(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
