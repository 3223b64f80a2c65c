package main_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// call is one request as curl would make it.
type call struct {
	method string // empty: POST
	query  url.Values
	body   io.Reader
	header http.Header
}

func (c call) do(t testing.TB, ctx context.Context, database string) (status int, header http.Header, body string, err error) {
	t.Helper()
	addr, user, password := embeddedtest.ClickHouse(t)
	q := url.Values{"database": {database}}
	for k, v := range c.query {
		q[k] = v
	}
	if c.method == "" {
		c.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, c.method, "http://"+addr+"/?"+q.Encode(), c.body)
	if err != nil {
		return 0, nil, "", err
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), errors.Join(err, resp.Body.Close())
}

// result is the call's body; any other status than 200 fails the test.
func (c call) result(t testing.TB, database string) string {
	t.Helper()
	status, _, body, err := c.do(t, t.Context(), database)
	must(t, err)
	if status != http.StatusOK {
		t.Fatalf("%v: %d %s", c.query, status, body)
	}
	return body
}

func run(t testing.TB, database, sql string) string {
	t.Helper()
	return call{body: strings.NewReader(sql)}.result(t, database)
}

// TestCurl tries the ways in which ClickHouse's manual gives a statement and
// its data to the HTTP port.
func TestCurl(t *testing.T) {
	db := embeddedtest.Database(t)
	run(t, db, "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte("6\tsix\n"))
	must(t, errors.Join(err, z.Close()))
	for name, c := range map[string]call{
		"values in the body":      {body: strings.NewReader("INSERT INTO t VALUES (1, 'o;n''e\\n')")},
		"values in the URL":       {query: url.Values{"query": {"INSERT INTO t VALUES (2, 'two')"}}},
		"values split":            {query: url.Values{"query": {"INSERT INTO t VALUES"}}, body: strings.NewReader("(3, 'three')")},
		"format in the body":      {body: strings.NewReader("INSERT INTO t FORMAT JSONEachRow\n{\"a\":4,\"s\":\"fo;ur\\n\\n\"}\n")},
		"format in the URL":       {query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}, body: strings.NewReader("5\tfi;ve\n")},
		"gzip":                    {query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}, body: &zipped, header: http.Header{"Content-Encoding": {"gzip"}}},
		"select":                  {query: url.Values{"query": {"INSERT INTO t SELECT {a:UInt64}, {s:String}"}, "param_a": {"7"}, "param_s": {"seven"}}},
		"expressions in values":   {body: strings.NewReader("INSERT INTO t VALUES (4 + 4, upper('eight'))")},
		"columns and settings":    {body: strings.NewReader("INSERT INTO t (s, a) SETTINGS max_threads = 1 VALUES ('nine', 9)")},
		"no rows":                 {query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}},
		"a semicolon at the end":  {body: strings.NewReader("INSERT INTO t VALUES (10, 'ten');\n")},
		"comments around the URL": {query: url.Values{"query": {"/* FORMAT x */ INSERT INTO t -- VALUES\nFORMAT CSV"}}, body: strings.NewReader("11,eleven\n")},
	} {
		status, header, body, err := c.do(t, t.Context(), db)
		must(t, err)
		if status != http.StatusOK || body != "" {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if header.Get("X-ClickHouse-Query-Id") == "" {
			t.Errorf("%s: no query id", name)
		}
	}
	want := "1\to;n\\'e\\n\n2\ttwo\n3\tthree\n4\tfo;ur\\n\\n\n5\tfi;ve\n6\tsix\n7\tseven\n8\tEIGHT\n9\tnine\n10\tten\n11\televen\n"
	if got := run(t, db, "SELECT * FROM t ORDER BY a"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for name, c := range map[string]struct {
		call
		status int
	}{
		"GET reads":                   {call{method: "GET", query: url.Values{"query": {"SELECT count() FROM t"}}}, 200},
		"GET does not insert":         {call{method: "GET", query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}}, 403},
		"GET does not drop":           {call{method: "GET", query: url.Values{"query": {"DROP TABLE t"}}}, 403},
		"GET does not truncate":       {call{method: "GET", query: url.Values{"query": {"TRUNCATE TABLE t"}}}, 403},
		"two statements":              {call{body: strings.NewReader("SELECT 1; DROP TABLE t")}, 400},
		"one and a broken one":        {call{body: strings.NewReader("DROP TABLE t; SELECT )")}, 400},
		"a broken one":                {call{body: strings.NewReader("SELECT )")}, 400},
		"nothing":                     {call{}, 400},
		"rows that do not parse":      {call{query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}, body: strings.NewReader("x\ty\n")}, 400},
		"a table that is not there":   {call{query: url.Values{"query": {"INSERT INTO nowhere FORMAT TSV"}}, body: strings.NewReader("1\n")}, 404},
		"a format that is not":        {call{query: url.Values{"query": {"INSERT INTO t FORMAT Nonsense"}}, body: strings.NewReader("1\n")}, 404},
		"a database that is not":      {call{query: url.Values{"database": {"no`where"}}, body: strings.NewReader("SELECT 1")}, 404},
		"a setting we do not know":    {call{query: url.Values{"max_thraeds": {"1"}}, body: strings.NewReader("SELECT 1")}, 400},
		"a parameter that misses":     {call{body: strings.NewReader("SELECT {x:UInt8}")}, 400},
		"a statement without end":     {call{body: io.LimitReader(endless{}, 9<<20)}, 413},
		"gzip that is none":           {call{body: strings.NewReader("SELECT 1"), header: http.Header{"Content-Encoding": {"gzip"}}}, 400},
		"blocks that are none":        {call{query: url.Values{"decompress": {"1"}}, body: strings.NewReader("SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9")}, 400},
		"an answer larger than asked": {call{query: url.Values{"max_result_rows": {"2"}}, body: strings.NewReader("SELECT * FROM t")}, 413},
	} {
		status, header, body, err := c.do(t, t.Context(), db)
		must(t, err)
		if status != c.status || status != 200 && (header.Get("X-ClickHouse-Exception-Code") == "" || !strings.HasPrefix(body, "Code: ")) {
			t.Errorf("%s: %d %v %.300s, want %d", name, status, header, body, c.status)
		}
	}
	if got := run(t, db, "SELECT count() FROM t"); got != "11\n" {
		t.Errorf("after all the refusals the table has %s rows, want 11", got)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	return copy(b, strings.Repeat("SELECT 1 + ", len(b)/11+1)), nil
}

// TestPiecesAreTheWhole holds that a result passed on in pieces is, byte for
// byte, the result in one.
func TestPiecesAreTheWhole(t *testing.T) {
	db := embeddedtest.Database(t)
	const sql = "SELECT number, toString(number) AS s, [number, 1], if(number % 2 = 0, NULL, number) AS n FROM numbers(200000)"
	for _, format := range []string{"Native", "TabSeparated", "CSV", "JSONEachRow", "RowBinary", "JSONCompactEachRow", "TSVRaw", "Null"} {
		pieces := call{query: url.Values{"default_format": {format}}, body: strings.NewReader(sql)}.result(t, db)
		whole := call{query: url.Values{"default_format": {format}, "wait_end_of_query": {"1"}}, body: strings.NewReader(sql)}.result(t, db)
		if pieces != whole {
			t.Errorf("%s: %d bytes in pieces, %d in one", format, len(pieces), len(whole))
		}
	}
	// And a format with a header has it once.
	if got := strings.Count(run(t, db, sql+" FORMAT CSVWithNames"), `"number"`); got != 1 {
		t.Errorf("CSVWithNames has %d headers", got)
	}
	// A whole result is bounded; the refusal comes with its own status.
	status, _, body, err := call{body: strings.NewReader("SELECT repeat('x', 1000) || toString(number) FROM numbers(100000) FORMAT JSON")}.do(t, t.Context(), db)
	must(t, err)
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("100 MB of JSON: %d %.200s", status, body)
	}
}

var errBroken = errors.New("broken off")

// TestHalfAnInsert breaks off in the middle of the data, more often than there
// are sessions for inserts. None of them may stay taken.
func TestHalfAnInsert(t *testing.T) {
	db := embeddedtest.Database(t)
	run(t, db, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	for range 6 {
		reader, writer := io.Pipe()
		go func() {
			for i := range 100 {
				if _, err := fmt.Fprintf(writer, "%d\n", i); err != nil {
					return
				}
			}
			writer.CloseWithError(errBroken) // the transport closes the connection
		}()
		_, _, _, err := call{query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}, body: reader}.do(t, t.Context(), db)
		if !errors.Is(err, errBroken) {
			t.Fatalf("an insert that broke off: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	status, _, body, err := call{query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}, body: strings.NewReader("1000\n")}.do(t, ctx, db)
	must(t, err)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if got := run(t, db, "SELECT count(), max(a) FROM t"); got != "1\t1000\n" {
		t.Errorf("count and max are %q: half an insert was committed", got)
	}
}

// TestLargeInsert streams more than a block's worth of rows in one request.
func TestLargeInsert(t *testing.T) {
	db := embeddedtest.Database(t)
	run(t, db, "CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
	const rows = 150_000
	reader, writer := io.Pipe()
	go func() {
		pad := strings.Repeat("y", 1000)
		var err error
		for i := 0; i < rows && err == nil; i++ {
			_, err = fmt.Fprintf(writer, "%d\t%s\n", i, pad)
		}
		writer.CloseWithError(err)
	}()
	status, header, body, err := call{query: url.Values{"query": {"INSERT INTO t FORMAT TSV"}}, body: reader}.do(t, t.Context(), db)
	must(t, err)
	if status != http.StatusOK || !strings.Contains(header.Get("X-ClickHouse-Summary"), fmt.Sprintf(`"written_rows":"%d"`, rows)) {
		t.Fatalf("%d %s %s", status, header, body)
	}
	if got, want := run(t, db, "SELECT count(), sum(a), sum(length(s)) FROM t"), fmt.Sprintf("%d\t%d\t%d\n", rows, rows*(rows-1)/2, rows*1000); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTimezone: what a date without a zone means must not depend on the machine.
func TestTimezone(t *testing.T) {
	if got := run(t, embeddedtest.Database(t), "SELECT timezone(), toDateTime(0), toYYYYMM(toDateTime64(0, 3))"); got != "UTC\t1970-01-01 00:00:00\t197001\n" {
		t.Errorf("got %q", got)
	}
}
