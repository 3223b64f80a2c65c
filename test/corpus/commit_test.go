package corpus_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/corpus"
)

// exchanged makes a case's commit:
//
//	from NAME       a file of schema/testdata/commit
//	put TERM TERM   what stands there once, and what takes its place
func exchanged(t *testing.T, c *corpus.Case) []byte {
	t.Helper()
	var raw []byte
	for _, l := range c.Lines {
		switch l.Word {
		case "from":
			var err error
			raw, err = os.ReadFile(filepath.Join("..", "..", "schema", "testdata", "commit", l.Rest+".json"))
			must(t, err)
			if _, err := schema.ParseCommit(raw); err != nil {
				t.Fatalf("%s is not sound to begin with: %v", l.Rest, err)
			}
		case "put":
			first, second, err := corpus.Two(l.Rest)
			must(t, err)
			from, err := corpus.Bytes(first)
			must(t, err)
			to, err := corpus.Bytes(second)
			must(t, err)
			if !bytes.Contains(raw, from) {
				t.Fatalf("%s: %.60q is not in it", c.Name, from)
			}
			raw = bytes.Replace(raw, from, to, 1)
		default:
			t.Fatalf("%s: unknown word %q", c.Name, l.Word)
		}
	}
	return raw
}

// TestCommitsAreRefused holds that each is Corrupt, and for the reason that
// stands beside it: else a case could pass because of something else. A few are
// sound: what they exchange may be unknown.
func TestCommitsAreRefused(t *testing.T) {
	f := family(t, "commits")
	for _, c := range f.Cases {
		_, err := schema.ParseCommit(exchanged(t, c))
		want := c.Holding()
		c.Holds = []corpus.Line{{Word: "sound"}}
		if err != nil {
			c.Holds = []corpus.Line{{Word: "corrupt", Rest: why(err)}}
		}
		if err != nil && schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: not Corrupt: %v", c.Name, err)
		}
		if got := c.Holding(); got != want && !*update {
			t.Errorf("%s: %swant %s", c.Name, got, want)
		}
	}
	if *update {
		must(t, f.Write())
	}
}

// why is the rule that an error names, without the stream and without what the
// JSON library says in its own words.
func why(err error) string {
	text := err.Error()
	if i := strings.Index(text, "): "); i > 0 {
		text = text[i+3:]
	}
	for _, library := range []string{": json: ", ": invalid character"} {
		text, _, _ = strings.Cut(text, library)
	}
	return text
}
