package segment_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// metered counts the bytes that are read.
type metered struct {
	io.ReaderAt
	n int64
}

func (m *metered) ReadAt(p []byte, from int64) (int, error) {
	n, err := m.ReaderAt.ReadAt(p, from)
	m.n += int64(n)
	return n, err
}

// leafOf stands for all of a record but its topic's name.
func leafOf(row *segment.Row) schema.Digest { return proof.Leaf(proof.Seed{}, &row.Record) }

const recorded = segment.Times | segment.Broker | segment.Payload

// Of any range Proven gives what Rows gives, of one part and of several, and reads
// little more than the range.
func TestProvenRowsAreTheRows(t *testing.T) {
	t.Parallel()
	rows := sample(9000, 60)
	options := segment.Options{Stream: stream(), RowGroupBytes: 500_000}
	one, _ := write(t, options, rows)
	several := join(t, segment.Options{Stream: stream(), RowGroupBytes: 500_000, Rewrite: "a"}, split(t, segment.Options{Stream: stream()}, rows, 1024, 1500, 1501, 7000))
	dice := rand.New(rand.NewPCG(3, 4))
	for name, raw := range map[string][]byte{"one part": one, "several": several} {
		r := open(t, raw)
		first, last := rows[0].Offset, rows[len(rows)-1].Offset
		for n := range 12 {
			from := first + dice.Int64N(last-first) - 5
			to := from + 1 + dice.Int64N(3000)
			if n == 0 {
				from, to = 0, last+10
			}
			var want, got []schema.Digest
			for row, err := range r.Rows(t.Context(), from, to, recorded) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, leafOf(row))
			}
			for row, err := range r.Proven(t.Context(), from, to) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, leafOf(row))
			}
			if len(got) != len(want) {
				t.Fatalf("%s, %d to %d: %d rows, want %d", name, from, to, len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%s, %d to %d: row %d is %s, want %s", name, from, to, i, got[i], want[i])
				}
			}
		}
		source := &metered{ReaderAt: bytes.NewReader(raw)}
		r, err := segment.Open(t.Context(), source, int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		opened := source.n
		for _, err := range r.Proven(t.Context(), rows[4000].Offset, rows[4100].Offset) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if read := source.n - opened; read > int64(len(raw))/2 {
			t.Errorf("%s: of %d bytes it reads %d for one row in ninety", name, len(raw), read)
		}
	}
}

// A byte that is flipped anywhere ends the rows with an error, or changes none.
func TestProvenRowsOfDamagedBytes(t *testing.T) {
	t.Parallel()
	rows := sample(1200, 40)
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 100_000}, rows)
	var want []schema.Digest
	for row, err := range open(t, raw).Proven(t.Context(), 0, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, leafOf(row))
	}
	caught := 0
	for i := 0; i < len(raw); i += 1511 {
		raw[i] ^= 1 << (i % 8)
		caught += damagedRows(t, raw, want, i)
		raw[i] ^= 1 << (i % 8)
	}
	if caught == 0 {
		t.Error("no damage was noticed")
	}
}

func damagedRows(t *testing.T, raw []byte, want []schema.Digest, at int) (caught int) {
	t.Helper()
	r, err := segment.Open(t.Context(), bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return 1
	}
	n := 0
	for row, err := range r.Proven(t.Context(), 0, 1<<40) {
		if err != nil {
			if schema.KindOf(err) != schema.Corrupt {
				t.Fatalf("byte %d: %v", at, err)
			}
			return 1
		}
		if got := leafOf(row); got != want[n] {
			t.Fatalf("byte %d: row %d is given out as %s, want %s", at, n, got, want[n])
		}
		n++
	}
	return 0
}

// A page index that is damaged so that it leads past a row is noticed: between its
// neighbours nothing is missing, or there is an error.
func TestProvenRowsAreAllThere(t *testing.T) {
	t.Parallel()
	rows := sample(1300, 40)
	for i := range rows {
		rows[i].Offset = 1000 + 16*int64(i)
	}
	raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 60_000}, rows)
	hidden := 0
	for i := range rows {
		at := rows[i].Offset
		for _, shift := range []int64{-3, 3} {
			damaged := bytes.ReplaceAll(raw, binary.LittleEndian.AppendUint64(nil, uint64(at)), binary.LittleEndian.AppendUint64(nil, uint64(at+shift)))
			if bytes.Equal(damaged, raw) {
				continue
			}
			r, err := segment.Open(t.Context(), bytes.NewReader(damaged), int64(len(damaged)))
			if err != nil {
				continue
			}
			plain := 0
			for _, err := range r.Rows(t.Context(), at, at+1) {
				if err != nil {
					break
				}
				plain++
			}
			if plain > 0 {
				continue
			}
			hidden++
			for _, span := range [][2]int64{{at, at + 1}, {at - 1, at + 1}, {at, at + 40}, {at - 40, at + 1}} {
				n, failed := 0, error(nil)
				for _, err := range r.Proven(t.Context(), span[0], span[1]) {
					if failed = err; err == nil {
						n++
					}
				}
				if want := int((span[1]-1-1000)/16 - (span[0]-1000+15)/16 + 1); failed == nil && n != want {
					t.Errorf("offset %d is hidden: of %v %d rows and no error, want %d", at, span, n, want)
				}
			}
		}
	}
	if hidden == 0 {
		t.Error("no index was damaged so that it hides a row")
	}
}
