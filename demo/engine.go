package demo

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// tooManyDays is how many days may wait for their rates before partitions
	// that are ahead are paused.
	tooManyDays = 2000
	// farAhead is how many of the waiting days a partition may be ahead.
	farAhead = 1000
)

// engine computes a volatility for every rate and, once all rates of a day are
// in, the day's exposures. Its state is each currency's window, the days that
// wait for rates, and each portfolio's last moves.
type engine struct {
	series  map[string]*series
	pending map[fixing]map[string]rate
	moves   [][]move // by portfolio

	// completed is the last day whose exposures were valued: days complete in
	// order, because rates are in order in every partition.
	completed fixing
	newest    map[partition]fixing
	firsts    map[partition][]first
}

// rate is what a day's valuation needs of one event.
type rate struct {
	eventID  string
	traceID  string
	rate     float64
	previous float64 // 0: none
	expected int     // rates in the fixing
}

// first is where in a partition a fixing's events begin.
type first struct {
	fixing fixing
	offset int64
}

func newEngine() *engine {
	return &engine{
		series:  map[string]*series{},
		pending: map[fixing]map[string]rate{},
		moves:   make([][]move, len(portfolios)),
		newest:  map[partition]fixing{},
		firsts:  map[partition][]first{},
	}
}

func (e *engine) process(r *kgo.Record) ([]*kgo.Record, error) {
	var in rateEnriched
	at, event, err := decodeEnriched(r, &in)
	if err != nil {
		return nil, err
	}
	if _, twice := e.pending[at][in.Currency]; twice || e.series[in.Currency].has(at) {
		return nil, fmt.Errorf("the rate of %s for %s came twice", in.Currency, in.FixingDate)
	}
	if !e.completed.before(at) {
		return nil, fmt.Errorf("the rate of %s for %s came after the exposures of %s were valued", in.Currency, in.FixingDate, e.completed.Day)
	}
	p := partition{r.Topic, r.Partition}
	e.remember(p, at, r.Offset)
	var out []*kgo.Record
	s := e.roll(p, at, in.Currency, event)
	if s.full() {
		v, err := s.volatility(r, at, in)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if e.pending[at] == nil {
		e.pending[at] = make(map[string]rate, event.expected)
	}
	e.pending[at][in.Currency] = event
	if len(e.pending[at]) < event.expected {
		return out, nil
	}
	exposures, err := e.complete(at)
	return append(out, exposures...), err
}

func decodeEnriched(r *kgo.Record, in *rateEnriched) (fixing, rate, error) {
	if err := decode(r, in); err != nil {
		return fixing{}, rate{}, err
	}
	at, err := in.check()
	if err != nil {
		return fixing{}, rate{}, err
	}
	if _, ok := currencies[in.Currency]; !ok {
		return fixing{}, rate{}, fmt.Errorf("currency %s is not in the catalogue", in.Currency)
	}
	event := rate{eventID: in.EventID, traceID: in.TraceID, expected: in.RatesInFixing}
	if event.rate, err = positive(in.Rate); err != nil {
		return fixing{}, rate{}, err
	}
	if in.PreviousRate != nil {
		if event.previous, err = positive(*in.PreviousRate); err != nil {
			return fixing{}, rate{}, fmt.Errorf("previous %w", err)
		}
	}
	return at, event, nil
}

func (e *engine) remember(p partition, at fixing, offset int64) {
	if e.newest[p].before(at) {
		e.newest[p] = at
	}
	if fs := e.firsts[p]; len(fs) == 0 || fs[len(fs)-1].fixing != at {
		e.firsts[p] = append(fs, first{at, offset})
	}
}

// roll moves a currency's window on; a rate without a previous one begins a
// new window.
func (e *engine) roll(p partition, at fixing, code string, event rate) *series {
	s := e.series[code]
	if s == nil || event.previous == 0 {
		s = &series{partition: p}
		e.series[code] = s
	}
	s.add(at, event)
	return s
}

// complete values a day and, before it, days that still wait: what comes after
// a later day's last rate cannot be one of an earlier day.
func (e *engine) complete(at fixing) ([]*kgo.Record, error) {
	var out []*kgo.Record
	for _, f := range slices.SortedFunc(maps.Keys(e.pending), fixing.compare) {
		if at.before(f) {
			break
		}
		records, err := e.value(f, e.pending[f])
		if err != nil {
			return nil, err
		}
		out = append(out, records...)
		delete(e.pending, f)
		e.completed = f
	}
	return out, nil
}

// rebuild processes the records of all partitions again, each fixing's before
// the next one's, so that days complete as they did.
func (e *engine) rebuild(floor fixing, partitions [][]*kgo.Record) {
	type head struct {
		fixing fixing
		record *kgo.Record
	}
	var heads []head
	for _, records := range partitions {
		var at fixing // of the partition's last good record: order within it stays
		for _, r := range records {
			var in rateEnriched
			f, _, err := decodeEnriched(r, &in)
			if err != nil || f.before(floor) {
				continue // a dead letter, or older than any state
			}
			if at.before(f) {
				at = f
			}
			heads = append(heads, head{at, r})
		}
	}
	slices.SortStableFunc(heads, func(a, b head) int {
		return cmp.Or(a.fixing.compare(b.fixing), cmp.Compare(a.record.Partition, b.record.Partition), cmp.Compare(a.record.Offset, b.record.Offset))
	})
	for _, h := range heads {
		// What failed then became a dead letter then.
		_, _ = e.process(h.record)
	}
}

// position is where the oldest fixing begins that anything in the state
// refers to: the joins need that day, and all days after it, whole.
func (e *engine) position(p partition, next int64) (int64, fixing) {
	floor := e.completed
	for code, s := range e.series {
		if last := s.last(); last != e.newest[s.partition] && !follows(last, e.newest[s.partition]) {
			delete(e.series, code) // ended: its next rate, if any, begins a new window
			continue
		}
		floor = earlier(floor, s.oldest())
	}
	for _, m := range e.moves {
		if len(m) > 0 {
			floor = earlier(floor, m[0].fixing)
		}
	}
	for f := range e.pending {
		floor = earlier(floor, f)
	}
	fs := e.firsts[p]
	for len(fs) > 0 && fs[0].fixing.before(floor) {
		fs = fs[1:]
	}
	e.firsts[p] = slices.Clone(fs)
	if len(fs) == 0 {
		return next, floor
	}
	return fs[0].offset, floor
}

// earlier ignores the zero fixing, which stands for none.
func earlier(a, b fixing) fixing {
	if a.Run == 0 || b.Run != 0 && b.before(a) {
		return b
	}
	return a
}

// ahead names the partitions that have delivered far more days than the
// slowest one, which is the one that the oldest waiting day waits for.
func (e *engine) ahead() map[string][]int32 {
	if len(e.pending) <= tooManyDays {
		return nil
	}
	limit := slices.SortedFunc(maps.Keys(e.pending), fixing.compare)[farAhead]
	var paused map[string][]int32
	for p, newest := range e.newest {
		if limit.before(newest) {
			if paused == nil {
				paused = map[string][]int32{}
			}
			paused[p.topic] = append(paused[p.topic], p.number)
		}
	}
	return paused
}

func (e *engine) day() string {
	if e.completed.Run == 0 {
		return ""
	}
	return e.completed.Day.String()
}
