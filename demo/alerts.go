package demo

import (
	"fmt"
	"math"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// alertBeyond is how many standard deviations a move may have.
	alertBeyond = 4.0
	// severeBeyond makes an alert a severe one.
	severeBeyond = 8.0
)

// alerting raises an alert for a currency's or a portfolio's move that the
// days before did not let expect. It has no state.
type alerting struct{ newest fixing }

func newAlerting() *alerting { return &alerting{} }

func (a *alerting) process(r *kgo.Record) ([]*kgo.Record, error) {
	out := alert{Threshold: alertBeyond}
	var change, prior, sigmas *float64
	switch r.Topic {
	case TopicVolatility:
		var in volatility
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		out.Run, out.FixingDate, out.Kind, out.Subject = in.Run, in.FixingDate, "currency", in.Currency
		change, prior, sigmas = &in.ChangePercent, in.PriorVolatilityPercent, in.Sigmas
	case TopicExposure:
		var in exposure
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		out.Run, out.FixingDate, out.Kind, out.Subject = in.Run, in.FixingDate, "portfolio", in.Portfolio
		change, prior, sigmas = in.ChangePercent, in.PriorVolatilityPercent, in.Sigmas
	default:
		return nil, fmt.Errorf("topic %s is none of the inputs", r.Topic)
	}
	d, err := parseDay(out.FixingDate)
	if err != nil {
		return nil, err
	}
	trace := headerValue(r, "traceId")
	if !isID(trace) {
		return nil, fmt.Errorf("header traceId %q is not 32 lower-case hexadecimal digits", shorten(trace))
	}
	if at := (fixing{out.Run, d}); a.newest.before(at) {
		a.newest = at
	}
	if change == nil || prior == nil || sigmas == nil || math.Abs(*sigmas) <= alertBeyond {
		return nil, nil
	}
	at := r.Timestamp.Add(alertAfter)
	out.contract = contract{
		EventID:       randomID(),
		EventType:     eventAlert,
		EventVersion:  d.version(),
		SourceService: RiskAlerts,
		TraceID:       trace,
		Timestamp:     at.UTC().Format(stampFormat),
	}
	out.ChangePercent, out.VolatilityPercent, out.Sigmas = *change, *prior, *sigmas
	out.Message = fmt.Sprintf("%s moved %+.2f %% on %s, %.1f times the standard deviation of the %d days before", out.Subject, *change, out.FixingDate, math.Abs(*sigmas), window)
	if d.version() >= 2 {
		out.Severity = "elevated"
		if math.Abs(*sigmas) > severeBeyond {
			out.Severity = "severe"
		}
	}
	value, err := encode(out)
	if err != nil {
		return nil, err
	}
	return []*kgo.Record{{
		Topic:     TopicAlerts,
		Key:       []byte(out.Subject),
		Value:     value,
		Timestamp: at,
		// The cause is declared by its coordinates.
		Headers: []kgo.RecordHeader{
			header("traceparent", traceparent(trace)),
			header("content-type", "application/json"),
			header("x-src-topic", r.Topic),
			header("x-src-partition", strconv.Itoa(int(r.Partition))),
			header("x-src-offset", strconv.FormatInt(r.Offset, 10)),
		},
	}}, nil
}

func (a *alerting) rebuild(fixing, [][]*kgo.Record) {}

func (a *alerting) position(_ partition, next int64) (int64, fixing) { return next, fixing{} }

func (a *alerting) day() string {
	if a.newest.Run == 0 {
		return ""
	}
	return a.newest.Day.String()
}
