package archiver

import (
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// reasonShare is the part of Options.Outside after which a reason is told.
const reasonShare = 9

// belong looks whether this process is a member of its group: without that it is
// assigned nothing, has nothing to fail on, and would look well. Needs mu.
func (a *Archiver) belong(now time.Time) {
	since, refused, err := a.consumer.Outside()
	what := cause{from: onKafka, what: "belonging to the consumer group"}
	patience := a.options.Outside
	if a.outsider = since; since.IsZero() {
		a.clear(what)
		return
	}
	if refused {
		patience /= reasonShare
	}
	if now.Sub(since) >= patience {
		err = fmt.Errorf("no partition is read by this process since %s: %w", since.UTC().Format(time.RFC3339), err)
		var with *schema.Error
		if errors.As(err, &with) && with.Hint != "" {
			err = fmt.Errorf("%w; %s", err, with.Hint)
		}
		a.trouble(what, err)
	}
}

// outside is for the metrics. Needs mu.
func (a *Archiver) outside() float64 {
	if a.outsider.IsZero() {
		return 0
	}
	return time.Since(a.outsider).Seconds()
}
