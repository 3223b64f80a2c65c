package demo

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxGap is the longest time between two fixings that follow each other, in
// days: Easter takes five. A longer one is a gap, and a rate after it has no
// previous rate: a change over nine years is not a day's change.
const maxGap = 7

// enricher adds to a rate what is known about its currency and the change from
// its previous rate. Its state is each currency's last rate.
type enricher struct {
	last   map[string]lastRate
	newest map[partition]fixing
	latest fixing
}

type lastRate struct {
	fixing    fixing
	date      string
	rate      json.Number
	partition partition
	offset    int64
}

func newEnricher() *enricher {
	return &enricher{last: map[string]lastRate{}, newest: map[partition]fixing{}}
}

func (e *enricher) process(r *kgo.Record) ([]*kgo.Record, error) {
	var in rateReceived
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	at, err := in.part().check()
	if err != nil {
		return nil, err
	}
	known, ok := currencies[in.Currency]
	if !ok {
		return nil, fmt.Errorf("currency %s is not in the catalogue", in.Currency)
	}
	out := rateEnriched{rateReceived: in, CurrencyName: known.name, Region: known.region}
	out.contract = contract{
		EventID:       randomID(),
		EventType:     eventEnriched,
		EventVersion:  at.Day.version(),
		SourceService: RateEnricher,
		TraceID:       in.TraceID,
		Timestamp:     r.Timestamp.UTC().Add(enrichedAfter).Format(stampFormat),
	}
	last, ok := e.last[in.Currency]
	switch {
	case ok && !last.fixing.before(at):
		return nil, fmt.Errorf("the rate of %s for %s came after the one for %s", in.Currency, in.FixingDate, last.date)
	case ok && follows(last.fixing, at):
		change, err := changePercent(last.rate, in.Rate)
		if err != nil {
			return nil, err
		}
		out.PreviousFixingDate, out.PreviousRate, out.ChangePercent = &last.date, &last.rate, &change
	}
	value, err := encode(out)
	if err != nil {
		return nil, err
	}
	e.remember(r, at, in)
	return []*kgo.Record{{
		Topic:     TopicEnriched,
		Key:       []byte(in.Currency),
		Value:     value,
		Timestamp: r.Timestamp.Add(enrichedAfter),
		// CloudEvents' Kafka binding, binary mode. The trace is passed on;
		// which event caused this one is not said.
		Headers: []kgo.RecordHeader{
			header("ce_specversion", "1.0"),
			header("ce_id", out.EventID),
			header("ce_type", out.EventType),
			header("ce_source", RateEnricher),
			header("ce_time", out.Timestamp),
			header("ce_subject", in.Currency),
			header("ce_traceparent", traceparent(in.TraceID)),
			header("content-type", "application/json"),
		},
	}}, nil
}

func changePercent(before, now json.Number) (float64, error) {
	b, err := positive(before)
	if err != nil {
		return 0, err
	}
	n, err := positive(now)
	if err != nil {
		return 0, err
	}
	return round((n/b - 1) * 100), nil
}

// follows says whether two fixings of one currency are consecutive.
func follows(last, next fixing) bool {
	return last.Run == next.Run && last.Day < next.Day && next.Day-last.Day <= maxGap
}

func (e *enricher) remember(r *kgo.Record, at fixing, in rateReceived) {
	p := partition{r.Topic, r.Partition}
	e.last[in.Currency] = lastRate{at, in.FixingDate, in.Rate, p, r.Offset}
	if e.newest[p].before(at) {
		e.newest[p] = at
	}
	if e.latest.before(at) {
		e.latest = at
	}
}

func (e *enricher) rebuild(fixing, int) {}

func (e *enricher) rebuilt() {}

// position forgets the currencies that have ended: their last rate can be
// nobody's previous rate, because the next one would come after a gap.
func (e *enricher) position(p partition, next int64) (int64, fixing) {
	from := next
	for code, last := range e.last {
		if last.partition != p {
			continue
		}
		if n := e.newest[p]; last.fixing != n && !follows(last.fixing, n) {
			delete(e.last, code)
			continue
		}
		from = min(from, last.offset)
	}
	return from, fixing{}
}

func (e *enricher) day() string {
	if e.latest.Run == 0 {
		return ""
	}
	return e.latest.Day.String()
}
