package query

import (
	"context"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// The hours that one is held against.
const (
	baselineDays = 7
	leastDays    = 3 // of these with records
)

// hourly is a topic's records in the hour looked at, and in the same hour of the
// days before, the nearest first.
type hourly struct {
	now      int64
	before   [baselineDays]int64
	services map[string]int64 // of all these hours
	letters  bool
}

// readHours looks up the records of every topic in these hours.
func (a *anomalies) readHours(ctx context.Context) error {
	hours := []time.Time{a.From}
	for day := range baselineDays {
		hours = append(hours, a.From.AddDate(0, 0, -day-1))
	}
	found, more, err := a.engine.options.Index.Hours(ctx, hours, a.c.scope(a.who))
	if err != nil {
		return err
	}
	a.known, a.hours = !more, map[string]*hourly{}
	for _, v := range found {
		h := a.hours[v.Topic]
		if h == nil {
			h = &hourly{services: map[string]int64{}, letters: a.engine.hasDeadLetters(v.Topic)}
			a.hours[v.Topic] = h
		}
		h.letters = h.letters || v.Stage == schema.StageDeadLetter
		h.services[v.Service] += v.Records
		if i := slices.IndexFunc(hours, v.Hour.Equal); i == 0 {
			h.now += v.Records
		} else {
			h.before[i-1] += v.Records
		}
	}
	return nil
}

// days counts those of the baseline with records.
func (h *hourly) days() (n int) {
	for _, records := range h.before {
		if records > 0 {
			n++
		}
	}
	return n
}

// median is of all days of the baseline.
func (h *hourly) median() int64 {
	sorted := h.before
	slices.Sort(sorted[:])
	return sorted[baselineDays/2]
}

// component is the service that most records are of.
func (h *hourly) component() string {
	best, most := "", int64(0)
	for service, n := range h.services {
		if n > most || n == most && service < best {
			best, most = service, n
		}
	}
	return best
}
