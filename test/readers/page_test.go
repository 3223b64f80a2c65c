package readers_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

const page = "../../docs/guides/sql.md"

// questions are what the page asks of each engine.
var questions = []string{"counts", "trace", "header", "times"}

var fence = regexp.MustCompile("(?ms)^```(?:sql|python) (\\w+) (\\w+)\n(.*?)^```$")

// blocks gives the page's queries for an engine, by question; "open" is what
// stands before them.
func blocks(t *testing.T, engine string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[1] == engine {
			found[m[2]] = m[3]
		}
	}
	for _, q := range questions {
		if found[q] == "" {
			t.Fatalf("%s has no block of %s for %q", page, engine, q)
		}
	}
	return found
}

// answers are what each question gives, by what was written.
func answers(rows []row) map[string][][]any {
	want := map[string][][]any{}
	counts := map[int32]int64{}
	var trace []row
	slices.SortFunc(rows, func(a, b row) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	for _, r := range rows {
		want["times"] = append(want["times"], []any{r.Partition, r.Offset, r.Timestamp})
		if r.Status != "committed" {
			continue
		}
		counts[r.Partition]++
		if r.TraceID != nil && *r.TraceID == traceID {
			trace = append(trace, r)
		}
		if slices.ContainsFunc(r.Headers, func(h []*string) bool {
			return *h[0] == *base64Of([]byte("tenant")) && h[1] != nil && *h[1] == *base64Of([]byte(tenant))
		}) {
			want["header"] = append(want["header"], []any{r.Partition, r.Offset})
		}
	}
	for _, partition := range []int32{0, 1, far} {
		if n := counts[partition]; n > 0 {
			want["counts"] = append(want["counts"], []any{partition, n})
		}
	}
	slices.SortStableFunc(trace, func(a, b row) int { return int(*a.EventTime - *b.EventTime) })
	for _, r := range trace {
		want["trace"] = append(want["trace"], []any{*r.EventType, r.Partition, r.Offset})
	}
	return want
}

// agree compares JSON lines with what is wanted.
func agree(t *testing.T, question, printed string, want [][]any) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("%s: the archive holds nothing to ask for", question)
	}
	var lines strings.Builder
	for _, w := range want {
		raw, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(raw, '\n'))
	}
	if got := strings.ReplaceAll(printed, ", ", ","); got != lines.String() {
		t.Errorf("%s: the page's query gives\n%.1500s\nwant\n%.1500s", question, got, lines.String())
	}
}

func TestPageQueriesArrow(t *testing.T) {
	a := newArchive(t)
	page, want := blocks(t, "pyarrow"), answers(a.rows)
	s := newScripts(t, a.addresses(), a.aws()...)
	for _, q := range questions {
		agree(t, q, s.run("-c", page["open"]+page[q]+`
import json
columns = [answer[name].to_pylist() for name in answer.column_names]
for line in zip(*columns): print(json.dumps(line))
`), want[q])
	}
}

const runDuckDB = `
import json, sys, duckdb
c = duckdb.connect()
if sys.argv[1] == "s3":
    import os
    try:
        c.execute("INSTALL httpfs; LOAD httpfs")
    except duckdb.Error as e:
        print("no httpfs:", e); sys.exit()
    e = os.environ
    c.execute("CREATE SECRET (TYPE s3, PROVIDER config, KEY_ID '%s', SECRET '%s', REGION '%s', ENDPOINT '%s', URL_STYLE 'path', USE_SSL false)" % (
        e["AWS_ACCESS_KEY_ID"], e["AWS_SECRET_ACCESS_KEY"], e["AWS_REGION"], e["AWS_ENDPOINT_URL"].removeprefix("http://")))
c.execute(sys.argv[2])
for line in c.execute(sys.argv[3]).fetchall(): print(json.dumps(line))
`

func TestPageQueriesDuckDB(t *testing.T) {
	a := newArchive(t)
	page, want := blocks(t, "duckdb"), answers(a.of(func(p int32) bool { return p != far }))
	t.Run("files", func(t *testing.T) {
		current, _ := a.files()
		near, _ := filesOf(current)
		s := newScripts(t, near)
		for _, q := range questions {
			agree(t, q, s.run("-c", runDuckDB, "files", page["open"], page[q]), want[q])
		}
	})
	t.Run("s3", func(t *testing.T) {
		near, _ := filesOf(a.addresses())
		s := newScripts(t, near, a.aws()...)
		for _, q := range questions {
			out := s.run("-c", runDuckDB, "s3", page["open"], page[q])
			if why, none := strings.CutPrefix(out, "no httpfs:"); none {
				t.Skipf("DuckDB reads S3 with its extension httpfs, which cannot be had: %.300s", why)
			}
			agree(t, q, out, want[q])
		}
	})
}

func TestPageQueriesClickHouse(t *testing.T) {
	a := newArchive(t)
	addr, user, password := embeddedtest.ClickHouse(t)
	page, want := blocks(t, "clickhouse"), answers(a.rows)
	ask := func(query string, keys []string) string {
		fill := strings.NewReplacer("https://s3.example.com/annals", "http://"+a.s3.Endpoint+"/"+a.s3.Bucket,
			"$KEYS", strings.Join(keys, ","), "$ACCESS_KEY", a.s3.AccessKey, "$SECRET_KEY", a.s3.SecretKey)
		return embeddedtest.Exec(t, addr, user, password,
			fill.Replace(query)+" FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0")
	}
	for _, q := range questions {
		agree(t, q, ask(page[q], a.current), want[q])
	}
	last := a.current[len(a.current)-1:] // a topic of one segment makes a list of one
	agree(t, "counts of one file", ask(page["counts"], last), [][]any{{far, len(beyond())}})
}

// What the page warns of: every segment under data/ is more than the archive.
func TestListingDataCountsTwice(t *testing.T) {
	a := newArchive(t)
	_, all := a.files()
	near, _ := filesOf(all)
	s := newScripts(t, near)
	page, want := blocks(t, "duckdb"), answers(a.of(func(p int32) bool { return p != far }))
	var right strings.Builder
	for _, w := range want["counts"] {
		raw, _ := json.Marshal(w) // numbers
		right.Write(append(raw, '\n'))
	}
	if got := strings.ReplaceAll(s.run("-c", runDuckDB, "files", page["open"], page["counts"]), ", ", ","); got == right.String() {
		t.Error("a listing of data/ gives the right counts: the archive of this test has no replaced segment, or the page is wrong")
	}
}
