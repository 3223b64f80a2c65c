package archiver

import (
	"log/slog"
	"testing"
	"time"
)

// When a batch is made: of fresh rows after Every, or when there are Rows; of
// rows that are read behind their end only when a whole batch is full, or they
// have waited much longer; at once when the budget is short; and never without a
// slot.
func TestFeedWaitsLongerForWhatIsNotFresh(t *testing.T) {
	const every = 100 * time.Millisecond
	late := waiting{rows: 10}
	fresh := waiting{rows: 10, fresh: true}
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		seen  waiting       // at the start
		then  waiting       // after a while
		after time.Duration // the while
		full  bool          // both slots are taken
		want  bool
	}{
		"fresh, early":           {fresh, fresh, every - 1, false, false},
		"fresh, in time":         {fresh, fresh, every, false, true},
		"fresh, no slot":         {fresh, fresh, every, true, false},
		"late, in time":          {late, late, every, false, false},
		"late, much later":       {late, late, feedLate * every, false, true},
		"late, then fresh":       {late, fresh, every, false, false}, // the fresh one came just now
		"fresh, enough rows":     {fresh, waiting{rows: 1000, fresh: true}, 0, false, true},
		"late, as many":          {late, waiting{rows: 1000}, 0, false, false},
		"late, a whole batch":    {late, waiting{rows: 2000}, 0, false, true},
		"late, the budget short": {late, waiting{rows: 10, pressing: true}, 0, false, true},
		"nothing":                {late, waiting{pressing: true}, time.Hour, false, false},
	} {
		f := newFeed(Feed{Rows: 1000, Every: every}, nil, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
		if f.ready(c.seen, start) {
			t.Errorf("%s: ready at once", name)
		}
		for c.full && len(f.slots) < cap(f.slots) {
			f.slots <- struct{}{}
		}
		if got := f.ready(c.then, start.Add(c.after)); got != c.want {
			t.Errorf("%s: ready is %v", name, got)
		}
	}
}
