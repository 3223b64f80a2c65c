package replay

import (
	"time"

	"github.com/fx-risk-ai/annals/schema/answer"
)

// measure begins to measure how fast the job gets on: at its beginning, and where its
// pace changes, since what was before says nothing of what is left.
func (c *claim) measure() {
	c.base.Store(c.produced.Load())
	c.ends.Store(0)
	c.began.Store(time.Now().UnixNano())
}

// clocked notes that a record of a time, in milliseconds, is due: at the original pace
// that tells when the last one is. last is that one's time.
func (c *claim) clocked(pace *answer.ReplayPace, at, last int64, due time.Time) {
	if pace.Mode == answer.PaceOriginal {
		left := float64(last-max(at, min(pace.FastUntil, last))) / 1000 / pace.Speed
		c.ends.Store(due.Add(seconds(max(left, 0))).UnixNano())
	}
}

// measuredFor is for how many seconds a rate is believed before it is held against what
// was measured: the first commits say little.
const measuredFor = 2

// eta is how many seconds are left: at the original pace by its clock, else by how fast
// it was since the pace is what it is, and not faster than a rate that was asked for; 0:
// unknown.
func (c *claim) eta() float64 {
	began, left := c.began.Load(), float64(max(c.planned-c.produced.Load(), 0))
	if began == 0 || left == 0 {
		return 0
	}
	measured, since := 0.0, time.Since(time.Unix(0, began)).Seconds()
	if done := c.produced.Load() - c.base.Load(); done > 0 {
		measured = since / float64(done) * left
	}
	pace := c.pace.Load()
	switch ends := c.ends.Load(); {
	case pace.Mode == answer.PaceRate && pace.RecordsPerSecond > 0 && pace.FastUntil == 0:
		if since < measuredFor {
			return left / pace.RecordsPerSecond
		}
		return max(measured, left/pace.RecordsPerSecond)
	case pace.Mode == answer.PaceOriginal && ends != 0:
		byClock := max(time.Until(time.Unix(0, ends)).Seconds(), 0)
		if pace.MaxWaitSeconds > 0 && measured > 0 { // gaps are cut short, nobody knows by how much
			return min(byClock, measured)
		}
		return byClock
	}
	return measured
}

// lastTime is the latest time of the planned records, by their segments.
func (d *document) lastTime() int64 {
	last := int64(minClock)
	for i := range d.Topics {
		for k := range d.Topics[i].Streams {
			for _, s := range d.Topics[i].Streams[k].Segments {
				if s.Records > 0 {
					last = max(last, s.MaxTimestamp)
				}
			}
		}
	}
	return last
}
