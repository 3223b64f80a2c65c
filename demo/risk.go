package demo

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// window is how many daily returns a volatility is computed over.
	window = 20
	// tradingDays make a year of volatility.
	tradingDays = 252
	// pegged is the daily standard deviation below which a move is not
	// measured in standard deviations: a pegged currency's rounding would
	// otherwise be an alarm.
	pegged = 0.0002
)

// series is one currency's last returns: those of the window and the one
// before it, so that a move can be held against the days before it.
type series struct {
	partition partition
	returns   []dayReturn // at most window+1, oldest first
	newest    fixing
}

type dayReturn struct {
	fixing  fixing
	eventID []byte
	value   float64
}

// move is a portfolio's return on one day.
type move struct {
	fixing fixing
	value  float64
}

func (s *series) add(at fixing, event rate) {
	s.newest = at
	if event.previous == 0 {
		return
	}
	s.returns = append(s.returns, dayReturn{at, event.eventID, math.Log(event.rate / event.previous)})
	if len(s.returns) > window+1 {
		s.returns = slices.Clone(s.returns[1:])
	}
}

func (s *series) full() bool { return len(s.returns) >= window }

// has says whether the series has reached a fixing.
func (s *series) has(at fixing) bool { return s != nil && !s.newest.before(at) }

func (s *series) last() fixing { return s.newest }

func (s *series) oldest() fixing {
	if len(s.returns) == 0 {
		return s.newest
	}
	return s.returns[0].fixing
}

// volatility is the event of a full window. It declares its causes: the
// enriched rates of the window, oldest first.
func (s *series) volatility(r *kgo.Record, at fixing, in enrichedRate) (*kgo.Record, error) {
	current := s.returns[len(s.returns)-window:]
	last := current[window-1]
	sd := deviation(current, func(d dayReturn) float64 { return d.value })
	out := volatility{
		Run:               at.Run,
		FixingDate:        in.FixingDate,
		Currency:          in.Currency,
		Rate:              in.Rate,
		ChangePercent:     round(math.Expm1(last.value) * 100),
		WindowDays:        window,
		WindowFrom:        current[0].fixing.Day.String(),
		VolatilityPercent: round(sd * 100),
	}
	if len(s.returns) > window {
		prior := deviation(s.returns[:window], func(d dayReturn) float64 { return d.value })
		out.PriorVolatilityPercent, out.Sigmas = against(last.value, prior)
	}
	if at.Day.version() >= 2 {
		out.AnnualisedPercent = rounded(sd * math.Sqrt(tradingDays) * 100)
	}
	value, err := encode(out)
	if err != nil {
		return nil, err
	}
	causes := make([][]byte, window)
	for i, d := range current {
		causes[i] = d.eventID
	}
	when := r.Timestamp.Add(volatilityAfter)
	return &kgo.Record{
		Topic:     TopicVolatility,
		Key:       []byte(in.Currency),
		Value:     value,
		Timestamp: when,
		Headers:   plainHeaders(riskContract(eventVolatility, at.Day, in.TraceID, when), causes),
	}, nil
}

// value is a day's exposures: what each portfolio's positions are worth, and
// how that moved, counting only positions that had a rate on both days. Each
// event declares all the day's enriched rates as its causes.
func (e *engine) value(at fixing, d *waiting) ([]*kgo.Record, error) {
	rates := d.rates
	// Sums of floats depend on the order.
	slices.SortFunc(rates, func(a, b rate) int { return strings.Compare(a.currency, b.currency) })
	causes := make([][]byte, len(rates))
	for i, r := range rates {
		causes[i] = r.eventID
	}
	out := make([]*kgo.Record, 0, len(portfolios))
	for i, p := range portfolios {
		x := exposure{Run: at.Run, FixingDate: at.Day.String(), Portfolio: p.name, Positions: len(rates), RatesInFixing: d.expected}
		worth, moved, priced := p.worth(rates)
		x.ValueEUR = math.Round(worth.total*100) / 100
		history := e.moves[i]
		if n := len(history); n > 0 && !follows(history[n-1].fixing, at) {
			history = nil
		}
		if priced {
			x.ChangePercent = rounded(math.Expm1(moved) * 100)
			if len(history) == window {
				prior := deviation(history, func(m move) float64 { return m.value })
				x.PriorVolatilityPercent, x.Sigmas = against(moved, prior)
			}
			history = append(history, move{at, moved})
			history = slices.Clone(history[max(0, len(history)-window):])
		}
		e.moves[i] = history
		if at.Day.version() >= 2 {
			x.Largest = &holding{worth.largest, round(worth.share * 100)}
		}
		value, err := encode(x)
		if err != nil {
			return nil, err
		}
		when := at.Day.fixedAt().Add(exposureAt + time.Duration(i)*time.Millisecond)
		out = append(out, &kgo.Record{
			Topic:     TopicExposure,
			Key:       []byte(p.name),
			Value:     value,
			Timestamp: when,
			Headers:   plainHeaders(riskContract(eventExposure, at.Day, d.traceID, when), causes),
		})
	}
	return out, nil
}

// valuation is a portfolio's worth in EUR and its largest position.
type valuation struct {
	total   float64
	largest string
	share   float64
}

// worth values a portfolio. moved is the logarithmic return of the positions
// that had a rate before; priced is false where none had.
func (p portfolio) worth(rates []rate) (v valuation, moved float64, priced bool) {
	var most, now, before float64
	for _, r := range rates {
		c := currencies[r.currency]
		amount := p.notional(c) * c.reference
		worth := amount / r.rate
		v.total += worth
		if worth > most {
			most, v.largest = worth, r.currency
		}
		if r.previous > 0 {
			now += worth
			before += amount / r.previous
		}
	}
	v.share = most / v.total
	if before == 0 {
		return v, 0, false
	}
	return v, math.Log(now / before), true
}

// against measures a return in standard deviations of the days before.
func against(moved, prior float64) (priorPercent, sigmas *float64) {
	if prior >= pegged {
		sigmas = rounded(moved / prior)
	}
	return rounded(prior * 100), sigmas
}

// deviation is the sample standard deviation.
func deviation[T any](xs []T, of func(T) float64) float64 {
	var mean float64
	for _, x := range xs {
		mean += of(x)
	}
	mean /= float64(len(xs))
	var sum float64
	for _, x := range xs {
		sum += (of(x) - mean) * (of(x) - mean)
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}

func riskContract(eventType string, d day, trace string, when time.Time) contract {
	return contract{
		EventID:       randomID(),
		EventType:     eventType,
		EventVersion:  d.version(),
		SourceService: RiskEngine,
		TraceID:       trace,
		Timestamp:     when.UTC().Format(stampFormat),
	}
}
