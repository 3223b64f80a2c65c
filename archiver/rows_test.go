package archiver

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/schema"
)

// A buffer's rows are what one slice of them would be, and what somebody was
// given of them stays as it was, whatever is added and dropped afterwards.
func TestRowsAreOneSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			own   rows
			plain []int64
			given []rows
			were  [][]int64
			next  int64
		)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := rapid.IntRange(0, len(plain)).Draw(t, "n")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				for range rapid.SampledFrom([]int{1, 2, 7, 300, 700}).Draw(t, "records") {
					own.add(&schema.Record{Offset: next})
					plain = append(plain, next)
					next++
				}
			case 2:
				given, were = append(given, own.head(n)), append(were, slices.Clone(plain[:n]))
			case 3:
				own.drop(n)
				plain = plain[n:]
			case 4:
				own.truncate(n)
				plain = slices.Clone(plain[:n])
			}
			if got := offsets(&own); !slices.Equal(got, plain) || own.len() != len(plain) {
				t.Fatalf("%d rows are %v, not %v", own.len(), got, plain)
			}
			for i, offset := range plain {
				if got := own.at(i).Offset; got != offset {
					t.Fatalf("row %d is %d, not %d", i, got, offset)
				}
			}
			for i := range given {
				if got := offsets(&given[i]); !slices.Equal(got, were[i]) {
					t.Fatalf("what was given is %v, was %v", got, were[i])
				}
			}
		}
	})
}

func offsets(s *rows) (list []int64) {
	for i, row := range s.all() {
		if i != len(list) {
			panic("numbers jump")
		}
		list = append(list, row.Offset)
	}
	copied := s.copied()
	for i := range list {
		if copied[i].Offset != list[i] {
			panic("a copy differs")
		}
	}
	return list
}

// A thousand buffers that hold a record each take little.
func TestRowsOfAFewRecordsAreSmall(t *testing.T) {
	var s rows
	s.add(&schema.Record{})
	if room := cap(s.pieces[0].list); room > 4 {
		t.Errorf("room for %d records where one is", room)
	}
	for range 10_000 {
		s.add(&schema.Record{})
	}
	for _, p := range s.pieces {
		if cap(p.list) > mostInPiece {
			t.Errorf("a piece has room for %d", cap(p.list))
		}
	}
}
