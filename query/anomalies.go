package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// AnomalyRules are the thresholds of Anomalies. The zero value is
// DefaultAnomalyRules.
type AnomalyRules struct {
	Settle        time.Duration // an hour is looked at once it is over for this long
	DropBelow     float64       // share of the expected records below which there are too few
	LeastRecords  int64         // expected ones from which on a topic is judged
	RiseAbove     float64       // times the expected dead letters above which there are too many
	LeastLetters  int64         // dead letters from which on they are judged
	MismatchAbove float64       // share of records that break a rule
	LeastBroken   int64         // records from which on a rule is judged
	Lag           time.Duration // for how long a record may be unsealed
	GapsWithin    time.Duration // how long ago a gap may have been found
}

// DefaultAnomalyRules suit topics of steady traffic.
var DefaultAnomalyRules = AnomalyRules{
	Settle: 30 * time.Minute, DropBelow: 0.2, LeastRecords: 100, RiseAbove: 3, LeastLetters: 10,
	MismatchAbove: 0.01, LeastBroken: 10, Lag: 30 * time.Minute, GapsWithin: 24 * time.Hour,
}

// Bounds of an answer.
const (
	maxAnomalies     = 500
	maxAnomalyTraces = 5
	anomalyHits      = 100 // records among which traces are found
)

// anomalies is one look.
type anomalies struct {
	*answer.Anomalies
	engine *Engine
	who    policy.Principal
	rules  AnomalyRules
	c      *catalog
	hours  map[string]*hourly // by topic
	known  bool               // hours are all that there are
}

// Anomalies looks at one hour of record times, the last that is over for long
// enough at a moment, and at what is open then: too few records, too many dead
// letters, contracts that are broken, records that wait too long, offsets that
// nothing explains. The same archive gives the same answer at the same moment,
// but for what waits, which is as it is now. A check that has too little to go by
// says indeterminate.
func (e *Engine) Anomalies(ctx context.Context, who policy.Principal, at time.Time) (*answer.Anomalies, error) {
	if at.IsZero() {
		at = time.Now()
	}
	rules := e.options.Anomalies
	// The volumes are as of now: by an older catalog, a topic that was found since
	// has no records in them.
	c, err := e.catalogSince(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	to := at.Add(-rules.Settle).UTC().Truncate(time.Hour)
	a := &anomalies{
		Anomalies: &answer.Anomalies{At: at, From: to.Add(-time.Hour), To: to}, engine: e, who: who, rules: rules, c: c,
	}
	if err := a.readHours(ctx); err != nil {
		return nil, err
	}
	for _, check := range []func(context.Context) error{a.throughput, a.deadLetters, a.mismatches, a.lag, a.gaps} {
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(a.Anomalies.Anomalies, func(x, y answer.Anomaly) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Topic, y.Topic))
	})
	if len(a.Anomalies.Anomalies) > maxAnomalies {
		a.Anomalies.Anomalies, a.Truncated = a.Anomalies.Anomalies[:maxAnomalies], true
	}
	return a.Anomalies, nil
}

// check sums a kind up; findings were added before.
func (a *anomalies) check(kind string, judged, indeterminate int, note string) {
	state := answer.CheckOK
	switch {
	case slices.ContainsFunc(a.Anomalies.Anomalies, func(f answer.Anomaly) bool { return f.Kind == kind }):
		state = answer.CheckFound
	case judged == 0 || !a.known:
		state = answer.CheckIndeterminate
	}
	if !a.known {
		note = joined(note, fmt.Sprintf("more than %d volumes: not all topics were looked at", index.MaxHours))
	}
	a.Checks = append(a.Checks, answer.AnomalyCheck{Kind: kind, State: state, Judged: judged, Indeterminate: indeterminate, Note: note})
}

// add completes a finding with its team and traces.
func (a *anomalies) add(ctx context.Context, f answer.Anomaly, filter index.Filter) error {
	if f.Team == "" {
		f.Team, _ = a.engine.team(f.EventType, []string{f.Topic})
	}
	if f.Traces == nil && len(a.Anomalies.Anomalies) < maxAnomalies {
		filter.Topics = []index.Incarnation{{Topic: f.Topic, TopicID: a.c.newest[f.Topic]}}
		hits, _, err := a.engine.options.Index.Search(ctx, filter, a.c.scope(a.who), anomalyHits)
		if err != nil {
			return err
		}
		f.Traces = tracesOf(hits)
	}
	a.Anomalies.Anomalies = append(a.Anomalies.Anomalies, f)
	return nil
}

func tracesOf(hits []index.Hit) (traces []string) {
	for i := range hits {
		if id := hits[i].TraceID; id != "" && !slices.Contains(traces, id) && len(traces) < maxAnomalyTraces {
			traces = append(traces, id)
		}
	}
	return traces
}

// within is a filter of the hour looked at.
func (a *anomalies) within() index.Filter {
	from, to := a.From.UnixMilli(), a.To.UnixMilli()
	return index.Filter{From: &from, To: &to}
}

// throughput finds topics with far fewer records than in the same hour of the
// seven days before, and of that a week ago: so that a quiet Sunday is none.
func (a *anomalies) throughput(ctx context.Context) error {
	judged, unsure := 0, 0
	for topic, h := range a.hours {
		week := h.before[baselineDays-1]
		expected := min(h.median(), week)
		switch {
		case h.letters:
			continue
		case h.days() < leastDays || week == 0:
			unsure++
			continue
		case expected < a.rules.LeastRecords:
			judged++ // it is small in such hours, which is known
			continue
		}
		judged++
		if float64(h.now) >= a.rules.DropBelow*float64(expected) {
			continue
		}
		filter := a.within()
		filter.Topics = []index.Incarnation{{Topic: topic, TopicID: a.c.newest[topic]}}
		now, err := a.engine.options.Index.Count(ctx, filter, a.c.scope(a.who)) // with what is not sealed yet
		if err != nil {
			return err
		}
		if float64(now) >= a.rules.DropBelow*float64(expected) {
			continue
		}
		last := index.Filter{To: filter.To}
		if err := a.add(ctx, answer.Anomaly{
			Kind: answer.ThroughputDrop, Topic: topic, Component: h.component(), From: a.From, To: a.To,
			Value: float64(now), Expected: float64(expected),
			Evidence: fmt.Sprintf("%d records in the hour; in the same hour of the %d days before a median of %d, a week ago %d. The traces are the last before its end", now, baselineDays, h.median(), week),
		}, last); err != nil {
			return err
		}
	}
	a.check(answer.ThroughputDrop, judged, unsure, noted(unsure, "topics have too few days to compare with"))
	return nil
}

func noted(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}

// deadLetters finds dead letter topics with far more records than in the same
// hour of the seven days before. No letters are usual; no records at all are not.
func (a *anomalies) deadLetters(ctx context.Context) error {
	judged, unsure, days := 0, 0, [baselineDays]bool{}
	for _, h := range a.hours {
		for day, n := range h.before {
			days[day] = days[day] || n > 0
		}
	}
	enough := 0
	for _, has := range days {
		if has {
			enough++
		}
	}
	for topic, h := range a.hours {
		if !h.letters {
			continue
		}
		if enough < leastDays {
			unsure++
			continue
		}
		judged++
		if h.now < a.rules.LeastLetters || float64(h.now) <= a.rules.RiseAbove*float64(h.median()) {
			continue
		}
		if err := a.add(ctx, answer.Anomaly{
			Kind: answer.DeadLetterRise, Topic: topic, Component: h.component(), From: a.From, To: a.To,
			Value: float64(h.now), Expected: float64(h.median()),
			Evidence: fmt.Sprintf("%d dead letters in the hour; in the same hour of the %d days before a median of %d", h.now, baselineDays, h.median()),
		}, a.within()); err != nil {
			return err
		}
	}
	if enough >= leastDays && judged == 0 {
		judged = len(a.hours) // of none of these topics there are letters
	}
	a.check(answer.DeadLetterRise, judged, unsure, noted(unsure, "dead letter topics have too few days to compare with"))
	return nil
}

// mismatches finds rules that many records of the hour break.
func (a *anomalies) mismatches(ctx context.Context) error {
	filter := a.within()
	found, more, err := a.engine.options.Index.Violations(ctx, index.ViolationFilter{From: filter.From, To: filter.To}, a.c.scope(a.who), MaxPage)
	if err != nil {
		return err
	}
	judged, note := 0, ""
	for _, h := range a.hours {
		if h.now > 0 {
			judged++
		}
	}
	if more {
		note = fmt.Sprintf("more than %d rules are broken: not all were looked at", MaxPage)
	}
	for _, v := range found {
		h := a.hours[v.Topic]
		if v.Records < a.rules.LeastBroken || h == nil || h.now == 0 {
			continue
		}
		exact := a.within()
		exact.Topics = []index.Incarnation{{Topic: v.Topic, TopicID: v.TopicID}}
		exact.EventType, exact.Version, exact.Service, exact.Violation = v.EventType, v.EventVersion, v.Service, v.Rule
		broken, err := a.engine.options.Index.Count(ctx, exact, a.c.scope(a.who)) // whole segments were counted before
		if err != nil {
			return err
		}
		if broken < a.rules.LeastBroken || float64(broken) <= a.rules.MismatchAbove*float64(h.now) {
			continue
		}
		if err := a.add(ctx, answer.Anomaly{
			Kind: answer.SchemaMismatch, Topic: v.Topic, Component: v.Service, EventType: v.EventType, From: a.From, To: a.To,
			Value: float64(broken), Expected: a.rules.MismatchAbove * float64(h.now),
			Evidence: fmt.Sprintf("%d of the topic's %d records in the hour, of type %s version %s, break %s", broken, h.now, v.EventType, v.EventVersion, v.Rule),
		}, exact); err != nil {
			return err
		}
	}
	a.check(answer.SchemaMismatch, judged, 0, note)
	return nil
}

// gaps finds offsets that Kafka did not serve and that nothing explains.
func (a *anomalies) gaps(ctx context.Context) error {
	page, err := a.engine.Gaps(ctx, a.who, answer.GapRequest{Class: schema.GapUnexplained, Limit: MaxGaps})
	if err != nil {
		return err
	}
	note := ""
	if page.NextCursor != "" {
		note = fmt.Sprintf("only the newest %d gaps were looked at", MaxGaps)
	}
	for _, g := range page.Gaps {
		if g.Found.After(a.At) || g.Found.Before(a.At.Add(-a.rules.GapsWithin)) {
			continue
		}
		beside := []index.ID{}
		for _, offset := range []int64{g.From - 1, g.To} {
			at := schema.Coordinates{Topic: g.Topic, Partition: g.Partition, Offset: offset}
			beside = append(beside, index.ID{Kind: schema.IDRecord, Text: at.String()})
		}
		found, _, err := a.engine.options.Index.Resolve(ctx, beside, nil, a.c.scope(a.who))
		if err != nil {
			return err
		}
		traces := []string{}
		for i := range found {
			traces = append(traces, tracesOf([]index.Hit{found[i].Hit})...)
		}
		slices.Sort(traces)
		partition := g.Partition
		if err := a.add(ctx, answer.Anomaly{
			Kind: answer.UnexplainedGaps, Topic: g.Topic, Partition: &partition, From: g.Found, To: g.Found, Value: float64(g.To - g.From),
			Evidence: fmt.Sprintf("offsets %d to %d were not served by Kafka, and nothing explains it; found at %s. The traces are of the records beside them", g.From, g.To-1, clock(g.Found)),
			Traces:   slices.Compact(traces), Component: "kafka",
		}, index.Filter{}); err != nil {
			return err
		}
	}
	a.check(answer.UnexplainedGaps, len(a.c.branches), 0, note)
	return nil
}
