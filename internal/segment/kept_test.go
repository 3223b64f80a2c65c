package segment_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// TestRowsKept reads in batches as a replay does: what the rows of a batch refer to
// stays until its pages are given back, and the test writes over those before, so
// that a row of a later batch that refers to them is another.
func TestRowsKept(t *testing.T) {
	t.Parallel()
	rows := sample(30_000, 300)
	o := segment.Options{Stream: stream(), Rows: len(rows)}
	raw, _ := write(t, o, rows)
	type batch struct {
		records []schema.Record
		want    []string
		pages   [][]byte
	}
	dice := rand.New(rand.NewPCG(5, 6))
	var kept segment.Kept
	var under []*batch
	made := map[*byte]bool{}
	end := func(b *batch) {
		for i := range b.records {
			if got := bytesOf(&b.records[i]); got != b.want[i] {
				t.Fatalf("offset %d is %s, want %s", b.records[i].Offset, got, b.want[i])
			}
		}
		for _, page := range b.pages {
			page = page[:cap(page)]
			made[&page[0]] = true
			for i := range page {
				page[i] = 0xee
			}
		}
		kept.GiveBack(b.pages)
	}
	for range 2 { // the second time over pages of the first
		at, pages := &batch{}, 0
		n := 0
		for row, err := range open(t, raw).RowsKept(t.Context(), 0, math.MaxInt64, &kept, segment.Times|segment.Status|segment.Payload) {
			if err != nil {
				t.Fatal(err)
			}
			if len(at.records) > 0 && dice.IntN(700) == 0 {
				at.pages = kept.Take(at.pages)
				pages += len(at.pages)
				if under = append(under, at); len(under) == 3 {
					end(under[0])
					under = under[1:]
				}
				at = &batch{}
			}
			r := row.Record
			r.Headers = append([]schema.Header(nil), r.Headers...)
			at.records, at.want, n = append(at.records, r), append(at.want, bytesOf(&row.Clone().Record)), n+1
		}
		at.pages = kept.Take(at.pages)
		for _, b := range append(under, at) {
			end(b)
		}
		if under = nil; n != len(rows) || pages < 20 {
			t.Fatalf("%d rows of %d, %d pages", n, len(rows), pages)
		}
	}
	if len(made) > 40 {
		t.Errorf("%d pages were made: those that were given back are not used again", len(made))
	}
}

func bytesOf(r *schema.Record) string {
	return fmt.Sprintf("%d %d %#v %#v %#v", r.Offset, r.Timestamp, r.Key, r.Value, r.Headers)
}
