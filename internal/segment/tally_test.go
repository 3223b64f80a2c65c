package segment

import (
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

// A marker written today must not stretch a segment of old records to today:
// every search of a range in between would open it.
func TestMarkersDoNotStretchTheTimes(t *testing.T) {
	type row struct {
		status schema.Status
		at     int64
	}
	for name, c := range map[string]struct {
		rows     []row
		from, to int64
	}{
		"markers around":   {[]row{{schema.Control, 900}, {schema.Committed, 20}, {schema.Control, 1}, {schema.Aborted, 10}}, 10, 20},
		"markers alone":    {[]row{{schema.Control, 900}, {schema.Control, 800}}, 800, 900},
		"no markers":       {[]row{{schema.Committed, 7}, {schema.Committed, 5}}, 5, 7},
		"one row, no time": {[]row{{schema.Committed, -1}}, -1, -1},
	} {
		var tally tally
		for i, r := range c.rows {
			tally.add(&schema.Record{Offset: int64(i), Status: r.status, Timestamp: r.at}, schema.Digest{})
		}
		if s := tally.summary(); s.MinTimestamp != c.from || s.MaxTimestamp != c.to {
			t.Errorf("%s: %d to %d, want %d to %d", name, s.MinTimestamp, s.MaxTimestamp, c.from, c.to)
		}
	}
}
