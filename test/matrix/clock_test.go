package matrix

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// jumps are what a clock does between two commits. Ages and time-outs are
// reckoned by the monotonic clock, which does not jump; the wall clock reaches
// the archive in the commits, and from there the rechecking after an unclean
// stop.
var jumps = []time.Duration{
	time.Hour, -time.Hour, -60 * 365 * 24 * time.Hour, 200 * 365 * 24 * time.Hour,
}

// jumping is a ledger whose writer's clock has jumped from the second commit
// on, and back after the fourth.
type jumping struct {
	archiver.Ledger
	by    time.Duration
	seen  atomic.Int64
	fired *atomic.Int64
}

func (j *jumping) Append(ctx context.Context, head ledger.Head, c *schema.Commit) (ledger.Head, error) {
	if n := j.seen.Add(1); n >= 2 && n <= 4 {
		j.fired.Add(1)
		c.Clock = time.Now().Add(j.by).UTC().Format(time.RFC3339Nano)
	}
	return j.Ledger.Append(ctx, head, c)
}

// jumpClock archives while the wall clock jumps, and again, rechecking, when it
// is right.
func jumpClock(t *testing.T, b *breakage, p *place) {
	r := newRig(t, p)
	r.some(t)
	var fired atomic.Int64
	for round := range 2 {
		a, stop := r.archive(t, setting{recheck: round == 1, chain: func(l archiver.Ledger) archiver.Ledger {
			return &jumping{Ledger: l, by: jumps[b.variant], fired: &fired}
		}})
		r.some(t)
		r.settle(t, a, true)
		stop()
	}
	if fired.Load() < 4 {
		must(t, fmt.Errorf("the clock jumped at %d commits", fired.Load()))
	}
	must(t, r.verify(t))
}
