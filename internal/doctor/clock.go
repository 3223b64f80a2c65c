package doctor

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// MaxClockOffset is from where on a clock that is off is a warning. Commits,
// fresh rows and the sight of lag carry this machine's time.
const MaxClockOffset = time.Second

// Offset narrows down how far another machine's clock is ahead of this one's.
// Each answer bounds it: the other clock was read after the question was sent
// and before the answer was here. Its zero value knows nothing; it is safe for
// concurrent use.
type Offset struct {
	mu          sync.Mutex
	least, most time.Duration
	answers     int
}

// Answer adds an answer that shows the other clock at a time within
// [shown, shown+unit), asked at and answered by this machine's clock.
func (o *Offset) Answer(shown time.Time, unit time.Duration, asked, answered time.Time) {
	least, most := shown.Sub(answered), shown.Add(unit).Sub(asked)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answers == 0 {
		o.least, o.most = math.MinInt64, math.MaxInt64
	}
	o.answers++
	o.least, o.most = max(o.least, least), min(o.most, most)
	if o.least > o.most { // a clock was set meanwhile, or several machines answered: the last one counts
		o.least, o.most = least, most
	}
}

// Check judges it: a warning where every offset that fits the answers is more
// than [MaxClockOffset], indeterminate without an answer.
func (o *Offset) Check(name, source string) Check {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.answers == 0 {
		return Ill(name, Indeterminate, "mend what is above, and run annals doctor again", "no answer showed its time")
	}
	seen := fmt.Sprintf("%s, by %s (%d answers)", o.between(), source, o.answers)
	if o.least > MaxClockOffset || o.most < -MaxClockOffset {
		return Ill(name, Warning, "let both machines follow the same time servers (NTP): commits and lag carry these clocks, and S3 refuses requests that are 15 minutes off", "%s", seen)
	}
	return Well(name, "%s", seen)
}

func (o *Offset) between() string {
	middle, spread := (o.least+o.most)/2, (o.most-o.least)/2
	way := "ahead of"
	if middle < 0 {
		way, middle = "behind", -middle
	}
	return fmt.Sprintf("%s ± %s %s this machine", round(middle), round(spread), way)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
