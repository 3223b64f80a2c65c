package segment

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

// packRuns writes values as Parquet's hybrid, in runs of either kind.
func packRuns(dice *rand.Rand, values []uint32, width uint) (b []byte) {
	for len(values) > 0 {
		same := 1
		for same < len(values) && values[same] == values[0] {
			same++
		}
		if same > 1 && dice.IntN(2) == 0 || same >= 8 {
			b = binary.AppendUvarint(b, uint64(same)<<1)
			for i := range (width + 7) / 8 {
				b = append(b, byte(values[0]>>(8*i)))
			}
			values = values[same:]
			continue
		}
		groups := 1 + dice.IntN(5)
		run := values[:min(groups*8, len(values))]
		values = values[len(run):]
		if len(values) > 0 && len(run)%8 != 0 {
			panic("a run in the midst is of whole groups")
		}
		groups = (len(run) + 7) / 8
		b = binary.AppendUvarint(b, uint64(groups)<<1|1)
		packed := make([]byte, uint(groups)*width)
		for i, v := range run {
			for bit := range width {
				if at := uint(i)*width + bit; v>>bit&1 != 0 {
					packed[at/8] |= 1 << (at % 8)
				}
			}
		}
		b = append(b, packed...)
	}
	return b
}

func TestRunsOfAllWidths(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(3, 4))
	for width := range uint(33) {
		for range 50 {
			values := make([]uint32, 1+dice.IntN(3000))
			for i := range values {
				if i > 0 && dice.IntN(3) > 0 {
					values[i] = values[i-1]
				} else {
					values[i] = uint32(uint64(dice.Uint32()) & (1<<width - 1))
				}
			}
			packed := packRuns(dice, values, width)
			h, got := hybrid{data: packed, width: width}, make([]uint32, len(values))
			for rest := got; len(rest) > 0; {
				n := min(1+dice.IntN(1200), len(rest))
				if err := decodeRuns(&h, rest[:n], slices.Max(values)); err != nil {
					t.Fatalf("width %d: %v", width, err)
				}
				rest = rest[n:]
			}
			if !slices.Equal(got, values) {
				t.Fatalf("width %d: other values", width)
			}
			if most := slices.Max(values); most > 0 {
				h = hybrid{data: packed, width: width}
				if err := decodeRuns(&h, got, most-1); schema.KindOf(err) != schema.Corrupt {
					t.Fatalf("width %d: a value above the most: %v", width, err)
				}
			}
			for cut := range min(len(packed), 40) {
				h = hybrid{data: packed[:len(packed)-1-cut], width: width}
				if err := decodeRuns(&h, make([]uint32, len(values)+8), 1<<32-1); schema.KindOf(err) != schema.Corrupt {
					t.Fatalf("width %d, cut by %d: %v", width, cut+1, err)
				}
			}
		}
	}
}

// What is not of the width of a level's type is refused, not cut.
func TestRunsOfLevelsTooWide(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"run": {8, 1, 0, 1}, "no run": {0}, "packed": {3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		h := hybrid{data: data, width: 24}
		if err := decodeRuns(&h, make([]int16, 4), 1); schema.KindOf(err) != schema.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
