package demo

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tooManyDays is how many days may wait for their rates. Partitions are read
// by bytes, not by days, so in a backlog some run hundreds of days ahead of
// others; this is more than the whole history has. A day takes about 3 KB.
// Beyond, the oldest is valued with the rates it has.
const tooManyDays = 8000

// engine computes a volatility for every rate and, once all rates of a day are
// in, the day's exposures. Its state is each currency's window, the days that
// wait for rates, and each portfolio's last moves.
type engine struct {
	series  map[string]*series
	moves   [][]move // by portfolio
	pending map[fixing]*waiting
	oldest  fixing // of pending; zero: none

	// completed is the last day whose exposures were valued; days are valued
	// in order.
	completed fixing
	inputs    int // partitions
	newest    map[partition]fixing
	firsts    map[partition][]first

	floor fixing // while the state is rebuilt
}

// waiting is a day that waits for its rates.
type waiting struct {
	traceID  string
	expected int
	rates    []rate
}

// rate is what a day's valuation needs of one event.
type rate struct {
	currency string
	eventID  []byte // shared by all events that name it as a cause
	rate     float64
	previous float64 // 0: none
}

// first is where in a partition a fixing's events begin.
type first struct {
	fixing fixing
	offset int64
}

func newEngine() *engine {
	return &engine{
		series:  map[string]*series{},
		pending: map[fixing]*waiting{},
		moves:   make([][]move, len(portfolios)),
		newest:  map[partition]fixing{},
		firsts:  map[partition][]first{},
	}
}

func (e *engine) process(r *kgo.Record) ([]*kgo.Record, error) {
	var in enrichedRate
	at, event, err := in.from(r)
	if err != nil {
		return nil, err
	}
	same := func(r rate) bool { return r.currency == in.Currency }
	if at.before(e.floor) {
		return nil, fmt.Errorf("the rate of %s for %s is older than the state", in.Currency, in.FixingDate)
	}
	day := e.pending[at]
	if day == nil {
		day = &waiting{traceID: in.TraceID, expected: in.RatesInFixing}
	}
	if slices.ContainsFunc(day.rates, same) || e.series[in.Currency].has(at) {
		return nil, fmt.Errorf("the rate of %s for %s came twice", in.Currency, in.FixingDate)
	}
	if !e.completed.before(at) {
		return nil, fmt.Errorf("the rate of %s for %s came after the exposures of %s were valued", in.Currency, in.FixingDate, e.completed.Day)
	}
	p := partition{r.Topic, r.Partition}
	advanced := e.remember(p, at, r.Offset)
	var out []*kgo.Record
	s := e.roll(p, at, in.Currency, event)
	if s.full() {
		v, err := s.volatility(r, at, in)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if day.rates == nil {
		day.rates = make([]rate, 0, min(day.expected, len(currencies)))
		e.pending[at] = day
	}
	day.rates = append(day.rates, event)
	if e.oldest.Run == 0 || at.before(e.oldest) {
		e.oldest = at
	}
	if !advanced && at != e.oldest {
		return out, nil // nothing that the oldest day waits for
	}
	exposures, err := e.settle()
	return append(out, exposures...), err
}

// enrichedRate is what the engine reads of an enriched rate.
type enrichedRate struct {
	ratePart
	PreviousRate *json.Number `json:"previousRate"`
}

func (in *enrichedRate) from(r *kgo.Record) (fixing, rate, error) {
	if err := decode(r, in); err != nil {
		return fixing{}, rate{}, err
	}
	at, err := in.check()
	if err != nil {
		return fixing{}, rate{}, err
	}
	known, ok := currencies[in.Currency]
	if !ok {
		return fixing{}, rate{}, fmt.Errorf("currency %s is not in the catalogue", in.Currency)
	}
	event := rate{currency: known.code, eventID: []byte(in.EventID)}
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

// remember notes how far a partition has come, and says whether that is
// further than before.
func (e *engine) remember(p partition, at fixing, offset int64) (advanced bool) {
	if e.newest[p].before(at) {
		e.newest[p] = at
		advanced = true
	}
	if fs := e.firsts[p]; len(fs) == 0 || fs[len(fs)-1].fixing != at {
		e.firsts[p] = append(fs, first{at, offset})
	}
	return advanced
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

// settle values the days that wait for nothing any more, oldest first. Rates
// are in order in every partition: a day has all the rates that it will get
// when they are as many as the fixing had, or when every partition has gone on
// to a later day.
func (e *engine) settle() ([]*kgo.Record, error) {
	var out []*kgo.Record
	for len(e.pending) > 0 {
		f := e.oldest
		day := e.pending[f]
		if len(day.rates) < day.expected && !e.passed(f) && len(e.pending) <= tooManyDays {
			break
		}
		records, err := e.value(f, day)
		if err != nil {
			return nil, err
		}
		out = append(out, records...)
		delete(e.pending, f)
		e.completed, e.oldest = f, fixing{}
		for g := range e.pending {
			e.oldest = earlier(e.oldest, g)
		}
	}
	return out, nil
}

// passed says whether all partitions have gone on to a later day.
func (e *engine) passed(f fixing) bool {
	n := 0
	for _, newest := range e.newest {
		if f.before(newest) {
			n++
		}
	}
	return n >= e.inputs
}

// rebuild takes in no record from before the floor: of those days some
// partitions' records are not read again, so they would wait for ever.
func (e *engine) rebuild(floor fixing, inputs int) { e.floor, e.inputs = floor, inputs }

func (e *engine) rebuilt() { e.floor = fixing{} }

// position is where the oldest fixing begins that anything in the state
// refers to: the joins need that day, and all days after it, whole.
//
// The floor never falls: days up to the last completed one are over, and until
// there is one, everything is needed.
func (e *engine) position(p partition, next int64) (int64, fixing) {
	fs := e.firsts[p]
	floor := e.completed
	if floor.Run == 0 {
		if len(fs) == 0 {
			return next, floor
		}
		return fs[0].offset, floor
	}
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
	floor = earlier(floor, e.oldest)
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

func (e *engine) day() string {
	if e.completed.Run == 0 {
		return ""
	}
	return e.completed.Day.String()
}
