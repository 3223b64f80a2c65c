package replay

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Limits are what one user's jobs may take, all together and in all processes; 0 is
// no limit. Users are told apart by the name under which they ran a plan first; all
// without a name are one.
type Limits struct {
	// Jobs are worked on at once at most; others wait, the first that asked first.
	Jobs int
	// Records and bytes of keys, values and headers a second, shared equally by the
	// jobs that are worked on. The shares follow within Options.Poll.
	Records float64
	Bytes   float64
}

// queue gives the jobs that may be claimed now, those that wait longest first, and
// how many jobs of each user are worked on when they are. taken tells which are.
func (l Limits) queue(found []*state, taken func(*state) bool) (free []*state, busy map[string]int) {
	busy = map[string]int{}
	var waiting []*state
	for _, st := range found {
		switch {
		case st.isHeld():
		case taken(st):
			busy[st.RequestedBy]++
		default:
			waiting = append(waiting, st)
		}
	}
	slices.SortFunc(waiting, func(a, b *state) int { return cmp.Or(a.Queued.Compare(b.Queued), strings.Compare(a.ID, b.ID)) })
	for _, st := range waiting {
		if l.Jobs > 0 && busy[st.RequestedBy] >= l.Jobs {
			continue
		}
		busy[st.RequestedBy]++
		free = append(free, st)
	}
	return free, busy
}

// cost is for how long so many records take up the limits, if one job has them alone.
func (l Limits) cost(records int, bytes int64) time.Duration {
	longest := 0.0
	if l.Records > 0 {
		longest = float64(records) / l.Records
	}
	if l.Bytes > 0 {
		longest = max(longest, float64(bytes)/l.Bytes)
	}
	return seconds(longest)
}

// check refuses a rate that the limits do not allow.
func (l Limits) check(p *answer.ReplayPace) error {
	const hint = "ask for less; replay.user_records_per_second and replay.user_bytes_per_second are the limits"
	switch {
	case l.Records > 0 && p.RecordsPerSecond > l.Records:
		return schema.WithHint(schema.InvalidField("records_per_second", "%g a second, and one user's replays may produce %g", p.RecordsPerSecond, l.Records), hint)
	case l.Bytes > 0 && p.BytesPerSecond > l.Bytes:
		return schema.WithHint(schema.InvalidField("bytes_per_second", "%g a second, and one user's replays may produce %g", p.BytesPerSecond, l.Bytes), hint)
	}
	return nil
}

// sharing is how many jobs of a user are worked on, as this process saw last.
func (s *Service) sharing(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.busy[user])
}

// allowance is when a job's user may produce again. It belongs to the goroutine that
// produces.
type allowance struct {
	claim *claim
	next  time.Time
}

// due is when so many records may be produced, which it takes for granted.
func (a *allowance) due(records int, bytes int64) time.Time {
	cost := a.claim.service.options.Limits.cost(records, bytes)
	now := time.Now()
	if cost == 0 {
		return now
	}
	due := a.next
	if now.Sub(due) > burst {
		due = now
	}
	a.next = due.Add(cost * time.Duration(a.claim.service.sharing(a.claim.user)))
	return due
}

// wait waits until so many records may be produced.
func (a *allowance) wait(ctx context.Context, records int, bytes int64) error {
	left := time.Until(a.due(records, bytes))
	if err := ctx.Err(); err != nil || left <= 0 {
		return err
	}
	return retry.Sleep(ctx, left)
}
