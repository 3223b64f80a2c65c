package segment_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// varied is a small file with every kind of page: several row groups, nulls,
// lists, dictionaries.
func varied(t testing.TB) []byte {
	t.Helper()
	rows := sample(12, 100)
	rows[1].Key, rows[2].Value, rows[3].Headers = nil, nil, nil
	rows[4].Headers = append(rows[4].Headers, schema.Header{Name: "x"}, schema.Header{Name: "x", Value: []byte{}})
	rows[5].X = schema.Extraction{Errors: []string{"no trace id", "no event id"}}
	rows[6].X.SchemaID, rows[6].X.HasSchemaID = 7, true
	rows[7].Status = schema.Control
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 4000, PageBytes: 1}, rows)
	return raw
}

// variedJoined holds the same rows in three parts.
func variedJoined(t testing.TB) []byte {
	t.Helper()
	rows := sample(12, 100)
	o := segment.Options{Stream: stream(), RowGroupBytes: 4000, PageBytes: 1, Rewrite: "a"}
	return join(t, o, split(t, segment.Options{Stream: stream()}, rows, 5, 6))
}

func TestFlippedByteAnywhereIsCaught(t *testing.T) {
	raw, _ := write(t, segment.Options{Stream: stream()}, sample(3, 50))
	flipAll(t, raw)
}

func TestFlippedByteInJoinedPartsIsCaught(t *testing.T) {
	flipAll(t, join(t, segment.Options{Stream: stream(), Rewrite: "a"}, split(t, segment.Options{Stream: stream()}, sample(3, 50), 1)))
}

func flipAll(t *testing.T, raw []byte) {
	t.Helper()
	if err := segment.Verify(t.Context(), bytes.NewReader(raw), int64(len(raw))); err != nil {
		t.Fatal(err)
	}
	step := 3 // every byte was tried; a third of them keeps the test quick
	for i := 0; i < len(raw); i += step {
		raw[i] ^= 1 << (i % 8)
		err := segment.Verify(t.Context(), bytes.NewReader(raw), int64(len(raw)))
		if schema.KindOf(err) != schema.Corrupt || err == nil {
			t.Fatalf("byte %d of %d flipped: %v", i, len(raw), err)
		}
		raw[i] ^= 1 << (i % 8)
	}
	for _, n := range []int{0, 1, 11, 12, len(raw) / 2, len(raw) - 1} {
		if err := segment.Verify(t.Context(), bytes.NewReader(raw[:n]), int64(n)); schema.KindOf(err) != schema.Corrupt || err == nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// A segment whose every hash fits but whose rows are others: only the leaves
// tell.
func TestExchangedRowsAreCaught(t *testing.T) {
	rows := sample(50, 100)
	raw, was := write(t, segment.Options{Stream: stream()}, rows)
	rows[20].Value = append([]byte{}, rows[20].Value...)
	rows[20].Value[5] ^= 1
	_, is := write(t, segment.Options{Stream: stream()}, rows)
	if was.RecordRoot == is.RecordRoot {
		t.Fatal("two segments of other rows have one root")
	}
	again, err := segment.Recount(t.Context(), bytes.NewReader(raw), int64(len(raw)))
	if err != nil || again.RecordRoot != was.RecordRoot {
		t.Fatalf("%v, %v", again, err)
	}
}

// readAll does everything a reader can do with bytes, and returns the first
// error. Panics and runaway allocations are the caller's to notice.
func readAll(ctx context.Context, raw []byte) error {
	r, err := segment.Open(ctx, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return err
	}
	r.MayHold("trace_id", "x")
	r.MayHold("event_id", "x")
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, err := range r.Rows(ctx, 0, math.MaxInt64) {
		keep(err)
	}
	for _, offset := range []int64{1000, 1005, 1011} {
		_, err := r.Lookup(ctx, offset)
		keep(err)
	}
	keep(segment.Verify(ctx, bytes.NewReader(raw), int64(len(raw))))
	return first
}

// checkBounded reads damaged bytes and fails on an error of a wrong kind or on
// memory out of proportion.
func checkBounded(t *testing.T, raw []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := readAll(t.Context(), raw)
	runtime.ReadMemStats(&after)
	switch schema.KindOf(err) {
	case schema.Corrupt, schema.Exhausted, schema.NotFound:
	default:
		if err != nil {
			t.Fatalf("damaged bytes give an error of kind %s: %v", schema.KindOf(err), err)
		}
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
		t.Fatalf("%d bytes of input made the reader allocate %d MB in all: %v", len(raw), used>>20, err)
	}
}

func TestDamagedBytesAreRefusedInBounds(t *testing.T) {
	wholes := [][]byte{varied(t), variedJoined(t)}
	random := rand.New(rand.NewPCG(7, 7))
	for i := range 800 {
		whole := wholes[i%2]
		raw := bytes.Clone(whole)
		for range 1 + random.IntN(4) {
			at := random.IntN(len(raw))
			switch random.IntN(4) {
			case 0:
				raw[at] ^= byte(1 << random.IntN(8))
			case 1:
				raw[at] = byte(random.Uint32())
			case 2: // numbers become large
				for i := at; i < min(at+5, len(raw)); i++ {
					raw[i] = 0xff
				}
			default: // one part of the file stands in another's place
				from := random.IntN(len(raw))
				copy(raw[at:], whole[from:min(from+random.IntN(64), len(raw))])
			}
		}
		checkBounded(t, raw)
	}
}

func FuzzOpenAndRead(f *testing.F) {
	whole := varied(f)
	f.Add(whole)
	f.Add(variedJoined(f))
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, raw []byte) { checkBounded(t, raw) })
}

// shortReader answers less than it was asked for, as a broken proxy does.
type shortReader struct{ r io.ReaderAt }

func (s shortReader) ReadAt(p []byte, off int64) (int, error) {
	return s.r.ReadAt(p[:len(p)/2], off)
}

func TestShortReadsAreNotTakenForData(t *testing.T) {
	raw := varied(t)
	_, err := segment.Open(t.Context(), shortReader{bytes.NewReader(raw)}, int64(len(raw)))
	if schema.KindOf(err) != schema.Corrupt {
		t.Fatalf("%v", err)
	}
}
