package replay

import (
	"cmp"
	"slices"

	"github.com/fx-risk-ai/annals/schema/answer"
)

// A plan's duration is estimated by the jobs that were delivered last, so many, each
// of so many bytes at least: small ones take as long as their beginning does.
const (
	mostClocked  = 20
	leastClocked = 256 << 10
)

// clocked is how fast a job was delivered, as fast as it went.
type clocked struct {
	id        string
	delivered int64   // when, in Unix nanoseconds
	records   float64 // a second
	bytes     float64 // a second
}

// clock notes how fast a job was, if its state tells. Who paused it meanwhile makes it
// look slow; that is what the median is for.
func (s *Service) clock(st *state) {
	spent := st.Delivered.Sub(st.Started).Seconds()
	if st.State != answer.JobDone || st.Pace.Mode != answer.PaceFast && st.Pace.Mode != "" || st.Started.IsZero() || spent <= 0 || st.Plan.Bytes < leastClocked {
		return
	}
	one := clocked{st.ID, st.Delivered.UnixNano(), float64(st.Plan.Records) / spent, float64(st.Plan.Bytes) / spent}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.clockings, func(c clocked) bool { return c.id == st.ID }) {
		return
	}
	s.clockings = append(s.clockings, one)
	slices.SortFunc(s.clockings, func(a, b clocked) int { return cmp.Compare(b.delivered, a.delivered) })
	s.clockings = s.clockings[:min(len(s.clockings), mostClocked)]
}

// estimate is in how many seconds so much would be delivered, as fast as possible and
// as the limits of one user allow; 0: no job that tells is known.
func (s *Service) estimate(records, bytes int64) float64 {
	s.mu.Lock()
	seen := slices.Clone(s.clockings)
	s.mu.Unlock()
	if len(seen) == 0 {
		return 0
	}
	median := func(rate func(clocked) float64) float64 {
		slices.SortFunc(seen, func(a, b clocked) int { return cmp.Compare(rate(a), rate(b)) })
		return rate(seen[len(seen)/2])
	}
	byRecords := float64(records) / median(func(c clocked) float64 { return c.records })
	byBytes := float64(bytes) / median(func(c clocked) float64 { return c.bytes })
	return max(byRecords, byBytes, s.options.Limits.cost(int(records), bytes).Seconds())
}
