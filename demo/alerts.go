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

// riskMove is what the alerts read of a volatility or an exposure.
type riskMove struct {
	Run                    int      `json:"run"`
	FixingDate             string   `json:"fixingDate"`
	Currency               string   `json:"currency"`
	Portfolio              string   `json:"portfolio"`
	ChangePercent          *float64 `json:"changePercent"`
	PriorVolatilityPercent *float64 `json:"priorVolatilityPercent"`
	Sigmas                 *float64 `json:"sigmas"`
}

func newAlerting() *alerting { return &alerting{} }

func (a *alerting) process(r *kgo.Record) ([]*kgo.Record, error) {
	var in riskMove
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	kind, subject := "currency", in.Currency
	if r.Topic == TopicExposure {
		kind, subject = "portfolio", in.Portfolio
	}
	d, err := parseDay(in.FixingDate)
	if err != nil {
		return nil, err
	}
	trace := headerValue(r, "traceId")
	if !isID(trace) {
		return nil, fmt.Errorf("header traceId %q is not 32 lower-case hexadecimal digits", shorten(trace))
	}
	if at := (fixing{in.Run, d}); a.newest.before(at) {
		a.newest = at
	}
	if in.ChangePercent == nil || in.PriorVolatilityPercent == nil || in.Sigmas == nil || math.Abs(*in.Sigmas) <= alertBeyond {
		return nil, nil
	}
	at := r.Timestamp.Add(alertAfter)
	size := math.Abs(*in.Sigmas)
	out := alert{
		contract: contract{
			EventID:       randomID(),
			EventType:     eventAlert,
			EventVersion:  d.version(),
			SourceService: RiskAlerts,
			TraceID:       trace,
			Timestamp:     at.UTC().Format(stampFormat),
		},
		Run:               in.Run,
		FixingDate:        in.FixingDate,
		Kind:              kind,
		Subject:           subject,
		ChangePercent:     *in.ChangePercent,
		VolatilityPercent: *in.PriorVolatilityPercent,
		Sigmas:            *in.Sigmas,
		Threshold:         alertBeyond,
		Message:           fmt.Sprintf("%s moved %+.2f %% on %s, %.1f times the standard deviation of the %d days before", subject, *in.ChangePercent, in.FixingDate, size, window),
	}
	if d.version() >= 2 {
		out.Severity = "elevated"
		if size > severeBeyond {
			out.Severity = "severe"
		}
	}
	value, err := encode(out)
	if err != nil {
		return nil, err
	}
	return []*kgo.Record{{
		Topic:     TopicAlerts,
		Key:       []byte(subject),
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

func (a *alerting) rebuild(fixing, int) {}

func (a *alerting) rebuilt() {}

func (a *alerting) position(_ partition, next int64) (int64, fixing) { return next, fixing{} }

func (a *alerting) day() string {
	if a.newest.Run == 0 {
		return ""
	}
	return a.newest.Day.String()
}
