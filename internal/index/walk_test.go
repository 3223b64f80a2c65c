package index_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
)

// counted is an index whose reads of records and rollups are counted.
func counted(t *testing.T) (x *engine, asked *atomic.Int64) {
	t.Helper()
	x, asked = open(t, nil), &atomic.Int64{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: x.options.Addr})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	options := x.options
	options.Addr = strings.TrimPrefix(server.URL, "http://")
	through, err := index.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = through.Close() })
	x.Index = through
	return x, asked
}

// TestSearchOfWhatIsRare has records of five years, one an hour every tenth day,
// of which few are of one service and none of another: neither takes a question for
// each span of the years.
func TestSearchOfWhatIsRare(t *testing.T) {
	x, asked := counted(t)
	const every = 10 * 24 * time.Hour
	const records = 180
	var rows []index.Row
	segment := commit(row("a", 0, 0), 1, 0, records)
	segment.Summary = index.NewSummary()
	for n := range int64(records) {
		r := row("a", 0, n)
		r.Record.Timestamp = day.Add(-time.Duration(records-n) * every).UnixMilli()
		if n%60 == 7 {
			r.Extraction.SourceService = "rare"
		}
		rows = append(rows, r)
		segment.Summary.Add(r.Record, r.Extraction)
	}
	insert(t, x, rows...)
	for range 2 { // rollups that are there twice say that there are twice as many
		if err := x.InsertSegments(t.Context(), []index.SegmentRow{segment}); err != nil {
			t.Fatal(err)
		}
	}
	// What is not sealed has no rollups: next to others, and where there are none.
	for n, at := range map[int64]time.Time{records: day.Add(-3 * every), records + 1: day.Add(-100*every - 70*time.Hour), records + 2: day.Add(-2000 * every)} {
		r := row("a", 0, n)
		r.Record.Timestamp, r.Extraction.SourceService = at.UnixMilli(), "rare"
		insert(t, x, r)
	}
	const most = 12 // by how far ClickHouse has merged what is there twice; the months one by one were 60
	const allRare = "a/0/180 a/0/127 a/0/181 a/0/67 a/0/7 a/0/182"
	for _, test := range []struct {
		f    index.Filter
		size int
		want string
	}{
		{index.Filter{Service: "rare"}, 10, allRare},
		{index.Filter{Service: "rare"}, 2, "a/0/180 a/0/127"},
		{index.Filter{Service: "ra", TypePrefix: "Fx"}, 10, ""},
		{index.Filter{ServicePrefix: "ra"}, 6, allRare},
	} {
		asked.Store(0)
		hits, more, err := x.Search(t.Context(), test.f, all, test.size)
		if err != nil || names(hits) != test.want || more != (test.size == 2) {
			t.Errorf("%+v: %s, more %v, %v; want %s", test.f, names(hits), more, err, test.want)
		}
		if n := asked.Load(); n > most {
			t.Errorf("%+v took %d questions, want at most %d", test.f, n, most)
		}
		if got, want := names(pages(t, x, test.f, all, 3)), names(pages(t, x, test.f, all, 1000)); got != want {
			t.Errorf("%+v in pages of 3: %s, want %s", test.f, got, want)
		}
	}
	whole := pages(t, x, index.Filter{}, all, 50)
	if len(whole) != records+3 || !slices.IsSortedFunc(whole, func(a, b index.Hit) int { return int(max(-1, min(1, b.Timestamp-a.Timestamp))) }) {
		t.Errorf("pages of all have %d records: %s", len(whole), names(whole))
	}
}
