package kafka

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMillisecondsUndoTheClientsWrap(t *testing.T) {
	for _, ms := range []int64{0, 1, -1, 1_700_000_000_000, 9_223_372_036_855, -9_223_372_036_900, 1<<57 - 1, -(1 << 57)} {
		if got := milliseconds(time.Unix(0, ms*1e6)); got != ms {
			t.Errorf("%d came back as %d", ms, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(-(1<<57), 1<<57-1).Draw(t, "ms")
		if got := milliseconds(time.Unix(0, ms*1e6)); got != ms {
			t.Fatalf("%d came back as %d", ms, got)
		}
	})
}

func TestMarkerOf(t *testing.T) {
	for name, c := range map[string]struct {
		key  []byte
		want Marker
	}{
		"abort": {[]byte{0, 0, 0, 0}, MarkerAbort}, "commit": {[]byte{0, 0, 0, 1}, MarkerCommit},
		"longer key of a later version": {[]byte{0, 7, 0, 1, 9, 9}, MarkerCommit},
		"leader change":                 {[]byte{0, 0, 0, 2}, MarkerOther},
		"too short":                     {[]byte{0, 0, 0}, MarkerOther}, "null": {nil, MarkerOther},
	} {
		if got := MarkerOf(c.key); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
