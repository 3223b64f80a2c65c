package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

// largestPage says the largest page of a column before compression, and the
// largest row group, as parquet-go finds them.
func largestPage(t *testing.T, f *parquet.File, path string) (page, group int64) {
	t.Helper()
	for _, g := range f.RowGroups() {
		var total int64
		for _, chunk := range g.ColumnChunks() {
			pages := chunk.Pages()
			for {
				p, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				total += p.Size()
				if strings.Join(f.Schema().Columns()[chunk.Column()], ".") == path {
					page = max(page, p.Size())
				}
				parquet.Release(p)
			}
			if err := pages.Close(); err != nil {
				t.Fatal(err)
			}
		}
		group = max(group, total)
	}
	return page, group
}

// What a record costs, in the file and in memory, for small, middling and
// large values.
func TestPagesAndBytesARecord(t *testing.T) {
	for _, c := range []struct {
		size, rows  int
		page, group int64 // at most
		bytes       float64
	}{
		{300, 100_000, 256 << 10, 20 << 20, 200},
		{20_000, 1500, 256 << 10, 17 << 20, 10_000},
		{1_000_000, 40, 1_050_000, 17 << 20, 500_000},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			raw, s := write(t, segment.Options{Stream: stream()}, sample(c.rows, c.size))
			page, group := largestPage(t, segmenttest.Index(t, raw), "value")
			record := float64(s.Bytes) / float64(s.Counts.Rows())
			t.Logf("values of %d B: %.1f B a record in the file, largest value page %d KB, largest row group %.1f MB",
				c.size, record, page>>10, float64(group)/(1<<20))
			if page > c.page || group > c.group || record > c.bytes {
				t.Errorf("want at most %d B a page, %d a row group, %.0f a record", c.page, c.group, c.bytes)
			}
			if c.size < 100_000 && page < 128<<10 {
				t.Errorf("pages of %d B are too many", page)
			}
		})
	}
}

// A segment of few rows must not carry filters made for many.
func TestSmallSegmentsAreSmall(t *testing.T) {
	_, s := write(t, segment.Options{Stream: stream(), Rows: 100_000}, sample(1000, 300))
	record := float64(s.Bytes) / 1000
	t.Logf("1,000 rows with values of 300 B: %.1f B a record", record)
	if record > 200 {
		t.Errorf("%.1f B a record", record)
	}
}

// What SQL engines use to skip what they need not read.
func TestIndexesForOtherReaders(t *testing.T) {
	rows := sample(3000, 200)
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 200_000}, rows)
	f := segmenttest.Index(t, raw)
	if n := len(f.RowGroups()); n < 4 {
		t.Fatalf("%d row groups", n)
	}
	value, found := f.Lookup("annals.segment")
	if !found || !strings.Contains(value, `"format":"annals.segment/1"`) {
		t.Errorf("the footer says %q", value)
	}
	columns := f.Schema().Columns()
	at := 0
	for _, g := range f.RowGroups() {
		if sorting := g.SortingColumns(); len(sorting) != 1 || strings.Join(sorting[0].Path(), ".") != "offset" || sorting[0].Descending() {
			t.Fatalf("sorting columns are %v", sorting)
		}
		for c, chunk := range g.ColumnChunks() {
			path := strings.Join(columns[c], ".")
			if index, err := chunk.OffsetIndex(); err != nil || index.NumPages() < 1 {
				t.Fatalf("%s has no offset index: %v", path, err)
			}
			switch path {
			case "offset", "timestamp", "trace_id":
				if index, err := chunk.ColumnIndex(); err != nil || index.NumPages() < 1 || index.MinValue(0).IsNull() {
					t.Fatalf("%s has no column index: %v", path, err)
				}
			}
			filter := chunk.BloomFilter()
			if wanted := path == "trace_id" || path == "event_id"; wanted != (filter != nil) {
				t.Fatalf("%s has a bloom filter: %v", path, filter != nil)
			}
			if path == "event_id" {
				ok, err := filter.Check(parquet.ValueOf(rows[at].X.EventID))
				if err != nil || !ok {
					t.Fatalf("the filter denies the first event id of the row group: %v, %v", ok, err)
				}
			}
		}
		at += int(g.NumRows())
	}
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			path := strings.Join(c.MetaData.PathInSchema, ".")
			if codec := c.MetaData.Codec.String(); codec != "ZSTD" {
				t.Fatalf("%s is compressed with %s", path, codec)
			}
			if path == "value" && len(c.MetaData.Statistics.MaxValue) > 0 {
				t.Fatal("value has statistics")
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	good := sample(1, 50)[0]
	huge := make([]byte, segment.MaxField+1)
	cases := map[string]struct {
		change func(*segment.Row)
		kind   schema.Kind
	}{
		"another topic":       {func(r *segment.Row) { r.Topic = "other" }, schema.Invalid},
		"another topic id":    {func(r *segment.Row) { r.TopicID[0]++ }, schema.Invalid},
		"another partition":   {func(r *segment.Row) { r.Partition++ }, schema.Invalid},
		"another branch":      {func(r *segment.Row) { r.Branch++ }, schema.Invalid},
		"the same offset":     {func(r *segment.Row) { r.Offset-- }, schema.Invalid},
		"undecided":           {func(r *segment.Row) { r.Status = schema.Undecided }, schema.Invalid},
		"no known status":     {func(r *segment.Row) { r.Status = 9 }, schema.Invalid},
		"no timestamp type":   {func(r *segment.Row) { r.TimestampType = 7 }, schema.Invalid},
		"a cause of no kind":  {func(r *segment.Row) { r.X.Causes = []schema.Cause{{ID: "x"}} }, schema.Invalid},
		"a huge key":          {func(r *segment.Row) { r.Key = huge }, schema.Exhausted},
		"a huge value":        {func(r *segment.Row) { r.Value = huge }, schema.Exhausted},
		"huge headers":        {func(r *segment.Row) { r.Headers = []schema.Header{{Value: huge}} }, schema.Exhausted},
		"too many headers":    {func(r *segment.Row) { r.Headers = make([]schema.Header, segment.MaxHeaders+1) }, schema.Exhausted},
		"a huge extracted id": {func(r *segment.Row) { r.X.EventID = string(huge) }, schema.Exhausted},
	}
	var file bytes.Buffer
	w, err := segment.NewWriter(&file, segment.Options{Stream: stream()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(&good.Record, &good.X); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		bad := good
		bad.Offset++
		c.change(&bad)
		if err := w.Append(&bad.Record, &bad.X); schema.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	next := good
	next.Offset++
	if err := w.Append(&next.Record, &next.X); err != nil {
		t.Fatalf("after refusals: %v", err)
	}
	if s, err := w.Close(); err != nil || s.Counts.Rows() != 2 {
		t.Fatalf("after refusals: %+v, %v", s, err)
	}
	if err := w.Append(&next.Record, &next.X); schema.KindOf(err) != schema.Invalid {
		t.Errorf("append after close: %v", err)
	}
	if _, err := w.Close(); schema.KindOf(err) != schema.Invalid {
		t.Errorf("second close: %v", err)
	}
}

func TestSegmentsThatCannotBe(t *testing.T) {
	for name, o := range map[string]segment.Options{
		"no topic":           {Stream: schema.Stream{TopicID: schema.TopicID{1}}},
		"topic not utf-8":    {Stream: schema.Stream{Topic: "\xff", TopicID: schema.TopicID{1}}},
		"zero topic id":      {Stream: schema.Stream{Topic: "x"}},
		"negative partition": {Stream: schema.Stream{Topic: "x", TopicID: schema.TopicID{1}, Partition: -1}},
		"negative branch":    {Stream: stream(), Branch: -1},
		"negative page":      {Stream: stream(), PageBytes: -1},
	} {
		if _, err := segment.NewWriter(io.Discard, o); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := segment.NewWriter(io.Discard, segment.Options{Stream: stream()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a segment without rows: %v", err)
	}
}

// fullDisk takes some bytes and then no more.
type fullDisk struct{ left int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		return 0, errFull
	}
	d.left -= len(p)
	return len(p), nil
}

func TestWriteErrorsComeThroughAndResetRecovers(t *testing.T) {
	rows := sample(600, 200)
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 50_000}, rows)
	w, err := segment.NewWriter(io.Discard, segment.Options{Stream: stream()})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 3, 5000, len(raw) / 2, len(raw) - 10_000} {
		if err := w.Reset(&fullDisk{room}, segment.Options{Stream: stream(), RowGroupBytes: 50_000}); err != nil {
			t.Fatal(err)
		}
		var first error
		for i := range rows {
			if first = w.Append(&rows[i].Record, &rows[i].X); first != nil {
				break
			}
		}
		if first == nil {
			_, first = w.Close()
		}
		if !errors.Is(first, errFull) {
			t.Fatalf("with room for %d bytes: %v", room, first)
		}
		if err := w.Append(&rows[0].Record, &rows[0].X); !errors.Is(err, errFull) {
			t.Fatalf("the writer goes on after an error: %v", err)
		}
	}
	var file bytes.Buffer
	if err := w.Reset(&file, segment.Options{Stream: stream()}); err != nil {
		t.Fatal(err)
	}
	for i := range rows[:10] {
		if err := w.Append(&rows[i].Record, &rows[i].X); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := segmenttest.Read(t, file.Bytes()); len(got) != 10 {
		t.Fatalf("%d rows after a reset", len(got))
	}
}

func TestLargestValueComesBack(t *testing.T) {
	rows := sample(3, 50)
	rows[1].Value = make([]byte, segment.MaxField)
	random := rand.NewChaCha8([32]byte{1})
	if _, err := random.Read(rows[1].Value); err != nil {
		t.Fatal(err)
	}
	raw, _ := write(t, segment.Options{Stream: stream()}, rows)
	row, err := open(t, raw).Lookup(t.Context(), rows[1].Offset)
	if err != nil || !bytes.Equal(row.Value, rows[1].Value) {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
}

// One byte that is not UTF-8 in a text column makes some engines refuse the
// whole file; the payload keeps the exact bytes.
func TestExtractedTextIsMadeUTF8(t *testing.T) {
	row := sample(1, 50)[0]
	row.X.EventType = "a\xffb"
	row.X.Causes = []schema.Cause{{Kind: schema.CauseSpan, ID: "\xfe"}}
	row.X.Errors = []string{"\xc3"}
	row.Key, row.Headers[0].Name = []byte{0xff}, "\xff"
	raw, _ := write(t, segment.Options{Stream: stream()}, []segment.Row{row})
	row.X.EventType, row.X.Causes[0].ID, row.X.Errors[0] = "a\uFFFDb", "\uFFFD", "\uFFFD"
	for got, err := range open(t, raw).Rows(t.Context(), 0, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "text", got, &row)
	}
}

// Rows share memory with the reader; clones do not.
func TestCloneOutlivesTheIteration(t *testing.T) {
	rows := sample(3000, 100)
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 50_000, PageBytes: 4 << 10}, rows)
	var kept []*segment.Row
	for row, err := range open(t, raw).Rows(t.Context(), 0, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, row.Clone())
	}
	for i := range rows {
		compare(t, "clone", kept[i], &rows[i])
	}
}
