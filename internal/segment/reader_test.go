package segment_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, raw []byte) *segment.Reader {
	t.Helper()
	r, err := segment.Open(t.Context(), bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReaderGivesEveryRowBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawRows(rt)
		raw, summary := write(t, small(rt), rows)
		r := open(t, raw)
		from := rapid.IntRange(0, len(rows)-1).Draw(rt, "from")
		to := rapid.IntRange(from, len(rows)-1).Draw(rt, "to")
		at := from
		for row, err := range r.Rows(t.Context(), rows[from].Offset, rows[to].Offset+1) {
			if err != nil {
				rt.Fatal(err)
			}
			if at > to {
				rt.Fatalf("row %d is beyond the range", row.Offset)
			}
			compare(rt, "rows", row, &rows[at])
			at++
		}
		if at != to+1 {
			rt.Fatalf("%d rows of %d", at-from, to+1-from)
		}
		one := rapid.IntRange(0, len(rows)-1).Draw(rt, "one")
		row, err := r.Lookup(t.Context(), rows[one].Offset)
		if err != nil {
			rt.Fatal(err)
		}
		compare(rt, "lookup", row, &rows[one])
		checkSelect(rt, t.Context(), r, rows)
		again, err := segment.Recount(t.Context(), bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			rt.Fatal(err)
		}
		compareSummaries(rt, &again, &summary)
	})
}

// checkSelect asks for some offsets, in no order, twice, and some that are not
// there.
func checkSelect(t *rapid.T, ctx context.Context, r *segment.Reader, rows []segment.Row) {
	var offsets []int64
	var want []int
	for i := range rows {
		if rapid.Bool().Draw(t, "wanted") {
			offsets = append(offsets, rows[i].Offset, rows[i].Offset)
			want = append(want, i)
		}
		if i > 0 && rows[i-1].Offset+1 < rows[i].Offset {
			offsets = append(offsets, rows[i].Offset-1)
		}
	}
	offsets = append(offsets, -1, rows[0].Offset-1, math.MaxInt64)
	slices.Reverse(offsets)
	for row, err := range r.Select(ctx, offsets) {
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 {
			t.Fatalf("offset %d was not asked for", row.Offset)
		}
		compare(t, "select", row, &rows[want[0]])
		want = want[1:]
	}
	if len(want) > 0 {
		t.Fatalf("%d offsets were left out, first %d", len(want), rows[want[0]].Offset)
	}
}

func compareSummaries(t interface{ Fatalf(string, ...any) }, got, want *segment.Summary) {
	if got.SHA256 != want.SHA256 || got.RecordRoot != want.RecordRoot || got.Counts != want.Counts ||
		got.Bytes != want.Bytes || got.MinTimestamp != want.MinTimestamp || got.MaxTimestamp != want.MaxTimestamp ||
		got.FirstOffset != want.FirstOffset || got.LastOffset != want.LastOffset ||
		len(got.LeaderEpochs) != len(want.LeaderEpochs) {
		t.Fatalf("recounted %+v, written %+v", got, want)
	}
}

func TestFooterSaysWhatWasWritten(t *testing.T) {
	rows := sample(5000, 100)
	rows[17].Timestamp, rows[18].Timestamp = -5, math.MaxInt64
	rows[3].Status, rows[4].Status = schema.Aborted, schema.Control
	for i := 100; i < len(rows); i++ {
		rows[i].LeaderEpoch = 4
	}
	raw, s := write(t, segment.Options{Stream: stream()}, rows)
	f := open(t, raw).Footer()
	want := segment.Summary{
		Counts: schema.Counts{Committed: 4998, Aborted: 1, Control: 1}, RecordRoot: f.RecordRoot,
		SHA256: s.SHA256, Bytes: int64(len(raw)), MinTimestamp: -5, MaxTimestamp: math.MaxInt64,
		FirstOffset: 1000, LastOffset: 5999,
		LeaderEpochs: []schema.LeaderEpoch{{Epoch: 3, Start: 1000}, {Epoch: 4, Start: 1100}},
	}
	compareSummaries(t, &s, &want)
	if f.Stream != stream() || f.ExtractVersion != schema.ExtractVersion || f.Counts != s.Counts ||
		f.MinTimestamp != -5 || f.MaxTimestamp != math.MaxInt64 || len(f.Parts) != 1 || len(f.Parts[0].Subtrees) != 5 || f.LeaderEpochs[1] != s.LeaderEpochs[1] {
		t.Fatalf("footer is %+v", f)
	}
}

func TestProjection(t *testing.T) {
	rows := sample(300, 200)
	raw, _ := write(t, segment.Options{Stream: stream()}, rows)
	r := open(t, raw)
	empty := func(row segment.Row, keep segment.Columns) segment.Row {
		if keep&segment.Times == 0 {
			row.Timestamp, row.TimestampType = 0, 0
		}
		if keep&segment.Broker == 0 {
			row.LeaderEpoch, row.ProducerID, row.ProducerEpoch = 0, 0, 0
		}
		if keep&(segment.Broker|segment.Status) == 0 {
			row.Status = 0
		}
		if keep&segment.Payload == 0 {
			row.Key, row.Value, row.Headers = nil, nil, nil
		}
		if keep&segment.Extracted == 0 {
			row.X = schema.Extraction{}
		}
		return row
	}
	for columns := segment.Columns(0); columns <= segment.All; columns++ {
		i := 0
		for row, err := range r.Rows(t.Context(), 0, math.MaxInt64, columns) {
			if err != nil {
				t.Fatal(err)
			}
			want := empty(rows[i], columns)
			compare(t, "projection", row, &want)
			i++
		}
		if i != len(rows) {
			t.Fatalf("columns %b: %d rows of %d", columns, i, len(rows))
		}
	}
}

func TestRowsStopWhereTheConsumerDoes(t *testing.T) {
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 10_000}, sample(200, 100))
	r := open(t, raw)
	n := 0
	for range r.Rows(t.Context(), 0, math.MaxInt64) {
		if n++; n == 30 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range r.Rows(ctx, 0, math.MaxInt64) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Fatalf("with a cancelled context the rows end with %v", last)
	}
	for row, err := range r.Rows(t.Context(), 5000, 6000) {
		t.Fatalf("beyond the segment: %v, %v", row, err)
	}
}

func TestReaderIsSafeForConcurrentUse(t *testing.T) {
	rows := sample(2000, 100)
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 100_000}, rows)
	r := open(t, raw)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := worker; i < len(rows); i += 97 {
				row, err := r.Lookup(t.Context(), rows[i].Offset)
				if err != nil || !bytes.Equal(row.Value, rows[i].Value) || !r.MayHold("trace_id", rows[i].X.TraceID) {
					t.Errorf("offset %d: %v", rows[i].Offset, err)
				}
			}
		})
	}
	group.Wait()
}

func TestMayHold(t *testing.T) {
	rows := sample(4000, 100)
	for i := range rows {
		rows[i].X.SpanID = ""
	}
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 300_000}, rows)
	r := open(t, raw)
	for i := 0; i < len(rows); i += 7 {
		if !r.MayHold("trace_id", rows[i].X.TraceID) || !r.MayHold("event_id", rows[i].X.EventID) {
			t.Fatalf("row %d is denied", i)
		}
	}
	wrong := 0
	for _, other := range sample(400, 101) {
		if r.MayHold("event_id", other.X.EventID) {
			wrong++
		}
	}
	if wrong > 60 { // a share of 0.01 for each of six row groups
		t.Errorf("the filter lets %d of 400 strange ids pass", wrong)
	}
	if !r.MayHold("span_id", "x") || !r.MayHold("nonsense", "x") {
		t.Error("a column without a filter is denied")
	}
	for i := range rows {
		rows[i].X.TraceID = ""
	}
	raw, _ = write(t, segment.Options{Stream: stream()}, rows)
	if open(t, raw).MayHold("trace_id", "x") {
		t.Error("a segment without any trace id may hold one")
	}
}

func TestLookupOfWhatIsNotThere(t *testing.T) {
	rows := sample(10, 100)
	for i := range rows {
		rows[i].Offset = int64(i * 10)
	}
	raw, _ := write(t, segment.Options{Stream: stream()}, rows)
	for _, offset := range []int64{-1, 5, 91, math.MaxInt64} {
		if _, err := open(t, raw).Lookup(t.Context(), offset); schema.KindOf(err) != schema.NotFound {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
}

// counted is a store that says what was asked of it.
type counted struct {
	raw []byte

	mu     sync.Mutex
	ranges int
	bytes  int
	fail   error
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return 0, c.fail
	}
	c.ranges++
	c.bytes += len(p)
	return bytes.NewReader(c.raw).ReadAt(p, off)
}

// One record costs the tail and one round of ranges: after Open, all reads of
// a Lookup are known before the first of them is answered.
func TestOneRecordCostsFewRanges(t *testing.T) {
	const size = 300
	rows := sample((64<<20)/(size+250), size)
	raw, s := write(t, segment.Options{Stream: stream(), Rows: len(rows)}, rows)
	store := &counted{raw: raw}
	r, err := segment.Open(t.Context(), store, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows, %d MB in the file: open costs %d ranges, %d KB", len(rows), s.Bytes>>20, store.ranges, store.bytes>>10)
	if store.ranges > 2 || store.bytes > 512<<10 {
		t.Errorf("open costs %d ranges and %d bytes", store.ranges, store.bytes)
	}
	for _, i := range []int{0, 1, len(rows) / 3, len(rows) - 1} {
		store.ranges, store.bytes = 0, 0
		row, err := r.Lookup(t.Context(), rows[i].Offset)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "lookup", row, &rows[i])
		t.Logf("offset %d costs %d ranges, %d KB", row.Offset, store.ranges, store.bytes>>10)
		if store.ranges > 12 || store.bytes > 2<<20 {
			t.Errorf("offset %d costs %d ranges and %d bytes", row.Offset, store.ranges, store.bytes)
		}
	}
	store.ranges, store.bytes = 0, 0
	for _, err := range r.Rows(t.Context(), 0, math.MaxInt64, segment.Times) {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("offsets and timestamps of all rows cost %d ranges, %d KB", store.ranges, store.bytes>>10)
	if store.bytes > len(raw)/20 {
		t.Errorf("offsets and timestamps cost %d of %d bytes", store.bytes, len(raw))
	}
}

// Rows of a small file come with its end: the one read of it is the only one, until
// what was read ahead is let go of.
func TestRowsOfASmallSegmentComeWithItsEnd(t *testing.T) {
	rows := sample(1600, 300)
	raw, s := write(t, segment.Options{Stream: stream(), Rows: len(rows)}, rows)
	if len(raw) < 140<<10 || len(raw) > 384<<10 {
		t.Fatalf("%d bytes: the test wants more than an end, and less than is read apart", len(raw))
	}
	store := &counted{raw: raw}
	all := func(r *segment.Reader) {
		t.Helper()
		i := 0
		for row, err := range r.Rows(t.Context(), 0, math.MaxInt64) {
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "row", row, &rows[i])
			i++
		}
		if i != len(rows) {
			t.Errorf("%d rows of %d", i, len(rows))
		}
	}
	r, err := segment.OpenForRows(t.Context(), store, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if all(r); store.ranges != 1 || store.bytes != len(raw) {
		t.Errorf("open and all rows cost %d ranges, %d of %d bytes", store.ranges, store.bytes, len(raw))
	}
	r.Trim()
	if all(r); store.ranges != 2 {
		t.Errorf("what was let go of was not read again: %d ranges", store.ranges)
	}
	if kept := r.IndexBytes(); kept > int64(len(raw))/4 {
		t.Errorf("%d of %d bytes are kept", kept, len(raw))
	}
	store.ranges = 0
	if r, err = segment.Open(t.Context(), store, s.Bytes); err != nil {
		t.Fatal(err)
	}
	if all(r); store.ranges != 2 || store.bytes >= 4*len(raw) {
		t.Errorf("open for the index, and all rows, cost %d ranges", store.ranges)
	}
	large, s := write(t, segment.Options{Stream: stream(), Rows: 8000}, sample(8000, 300))
	store = &counted{raw: large}
	if _, err = segment.OpenForRows(t.Context(), store, s.Bytes); err != nil || store.bytes > 128<<10 {
		t.Errorf("of %d bytes %d were read to open it: %v", len(large), store.bytes, err)
	}
}

// What the store answers is not mistaken for damage.
func TestStoreErrorsComeThrough(t *testing.T) {
	raw, s := write(t, segment.Options{Stream: stream()}, sample(100, 100))
	store := &counted{raw: raw}
	r, err := segment.Open(t.Context(), store, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	r.Trim() // so small a file is there as a whole
	down := schema.Errorf(schema.Unavailable, "store is down")
	store.fail = down
	if _, err := r.Lookup(t.Context(), 1000); !errors.Is(err, down) || schema.KindOf(err) != schema.Unavailable {
		t.Errorf("lookup: %v", err)
	}
	if _, err := segment.Open(t.Context(), store, s.Bytes); !errors.Is(err, down) {
		t.Errorf("open: %v", err)
	}
	store.fail = io.ErrUnexpectedEOF
	if _, err := segment.Open(t.Context(), store, s.Bytes); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a file that ends early: %v", err)
	}
}

// Bytes in memory are read as a file is, and the reader copies none of them.
func TestHeldBytes(t *testing.T) {
	t.Parallel()
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 500_000}, sample(3000, 60))
	held, err := segment.Open(t.Context(), segment.Held(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(open(t, raw).Rows(t.Context(), 0, math.MaxInt64))
	defer stop()
	n := 0
	for row, err := range held.Rows(t.Context(), 0, math.MaxInt64) {
		want, _, more := next()
		if err != nil || !more || leafOf(row) != leafOf(want) {
			t.Fatalf("row %d: %v, another than the file's", n, err)
		}
		n++
	}
	if _, _, more := next(); more || n != 3000 {
		t.Errorf("%d rows of 3000", n)
	}
	if _, err := segment.Open(t.Context(), segment.Held(raw[:len(raw)-100]), int64(len(raw))); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("bytes that end too soon: %v", err)
	}
}
