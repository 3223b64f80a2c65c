package demo

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Services, by name.
const (
	ECBGateway   = "ecb-gateway"
	RateEnricher = "rate-enricher"
	RiskEngine   = "risk-engine"
	RiskAlerts   = "risk-alerts"
)

// Services lists the pipeline's services in the order of its hops.
func Services() []string { return []string{ECBGateway, RateEnricher, RiskEngine, RiskAlerts} }

// Event types.
const (
	eventReceived   = "FxRateReceived"
	eventRejected   = "FxRateRejected"
	eventEnriched   = "FxRateEnriched"
	eventVolatility = "FxVolatilityComputed"
	eventExposure   = "FxExposureValued"
	eventAlert      = "FxRiskAlertRaised"
)

// version2From is the first day whose events are version 2: each contract has
// one field more from then on.
var version2From = dayOf(time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC))

const (
	stampFormat = "2006-01-02T15:04:05.000Z"
	// fixingRule is what version 2 of the rate contracts adds.
	fixingRule = "ECB 14:15 CET"
	// fixedAt is the time of day of a fixing's first event, UTC.
	fixedAt = 14*time.Hour + 15*time.Minute
)

// Each hop's event time is its cause's plus this, so that time follows cause.
const (
	enrichedAfter   = 50 * time.Millisecond
	volatilityAfter = 50 * time.Millisecond
	exposureAt      = 200 * time.Millisecond // after the fixing: later than every rate of the day
	alertAfter      = 60 * time.Millisecond
)

// contract is what the events of this company have in common. The gateway,
// the enricher and the alerts carry it in the body, the engine in headers.
type contract struct {
	EventID       string `json:"eventId"`
	EventType     string `json:"eventType"`
	EventVersion  int    `json:"eventVersion"`
	SourceService string `json:"sourceService"`
	TraceID       string `json:"traceId"`
	Timestamp     string `json:"timestamp"`
}

// rateReceived is one currency's rate of one fixing, as it came in.
type rateReceived struct {
	contract
	// Run is 1 for the history as it was first published, and one more each
	// time the live days are run again.
	Run int `json:"run"`
	// Sequence numbers the events of the topic from 1 without a hole.
	Sequence      int64       `json:"sequence"`
	FixingDate    string      `json:"fixingDate"`
	Base          string      `json:"base"`
	Currency      string      `json:"currency"`
	Rate          json.Number `json:"rate"`
	RatesInFixing int         `json:"ratesInFixing"`
	Provider      string      `json:"provider"`
	File          string      `json:"file"`
	Line          int         `json:"line"`
	Fixing        string      `json:"fixing,omitempty"` // version 2
}

// rateEnriched is a received rate with what is known about the currency and
// its previous rate; the three last fields are null where there is none.
type rateEnriched struct {
	rateReceived
	CurrencyName       string       `json:"currencyName"`
	Region             string       `json:"region"`
	PreviousFixingDate *string      `json:"previousFixingDate"`
	PreviousRate       *json.Number `json:"previousRate"`
	ChangePercent      *float64     `json:"changePercent"`
}

// volatility is a currency's rolling volatility; its contract is in headers.
type volatility struct {
	Run                    int         `json:"run"`
	FixingDate             string      `json:"fixingDate"`
	Currency               string      `json:"currency"`
	Rate                   json.Number `json:"rate"`
	ChangePercent          float64     `json:"changePercent"`
	WindowDays             int         `json:"windowDays"`
	WindowFrom             string      `json:"windowFrom"`
	VolatilityPercent      float64     `json:"volatilityPercent"`
	PriorVolatilityPercent *float64    `json:"priorVolatilityPercent"`
	Sigmas                 *float64    `json:"sigmas"`
	AnnualisedPercent      *float64    `json:"annualisedVolatilityPercent,omitempty"` // version 2
}

// exposure is a portfolio's value at one fixing; its contract is in headers.
type exposure struct {
	Run                    int      `json:"run"`
	FixingDate             string   `json:"fixingDate"`
	Portfolio              string   `json:"portfolio"`
	ValueEUR               float64  `json:"valueEur"`
	ChangePercent          *float64 `json:"changePercent"`
	PriorVolatilityPercent *float64 `json:"priorVolatilityPercent"`
	Sigmas                 *float64 `json:"sigmas"`
	Positions              int      `json:"positions"`
	RatesInFixing          int      `json:"ratesInFixing"`
	Largest                *holding `json:"largestPosition,omitempty"` // version 2
}

type holding struct {
	Currency     string  `json:"currency"`
	SharePercent float64 `json:"sharePercent"`
}

// alert is a move beyond what the days before let expect.
type alert struct {
	contract
	Run               int     `json:"run"`
	FixingDate        string  `json:"fixingDate"`
	Kind              string  `json:"kind"` // currency or portfolio
	Subject           string  `json:"subject"`
	ChangePercent     float64 `json:"changePercent"`
	VolatilityPercent float64 `json:"volatilityPercent"`
	Sigmas            float64 `json:"sigmas"`
	Threshold         float64 `json:"threshold"`
	Message           string  `json:"message"`
	Severity          string  `json:"severity,omitempty"` // version 2
}

// day counts days since 1970-01-01.
type day int32

func dayOf(t time.Time) day { return day(t.Unix() / 86400) }

func parseDay(s string) (day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("fixingDate %q is no date of the form 2006-01-02", s)
	}
	return dayOf(t), nil
}

func (d day) String() string { return d.time().Format(time.DateOnly) }

func (d day) time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// fixedAt is the time of the day's fixing.
func (d day) fixedAt() time.Time { return d.time().Add(fixedAt) }

func (d day) version() int {
	if d >= version2From {
		return 2
	}
	return 1
}

// fixing is one day of one run, the unit that the pipeline's joins wait for.
type fixing struct {
	Run int `json:"run"`
	Day day `json:"day"`
}

func (f fixing) compare(g fixing) int {
	if f.Run != g.Run {
		return f.Run - g.Run
	}
	return int(f.Day - g.Day)
}

func (f fixing) before(g fixing) bool { return f.compare(g) < 0 }

// randomID is 128 random bits as 32 hexadecimal digits.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// traceparent is W3C Trace Context's header for a new span of a trace.
func traceparent(trace string) string {
	var span [8]byte
	rand.Read(span[:])
	return "00-" + trace + "-" + hex.EncodeToString(span[:]) + "-01"
}

func header(key, value string) kgo.RecordHeader {
	return kgo.RecordHeader{Key: key, Value: []byte(value)}
}

// plainHeaders are the engine's dialect: the contract under its own names.
func plainHeaders(c contract, causes [][]byte) []kgo.RecordHeader {
	hs := make([]kgo.RecordHeader, 0, 6+len(causes))
	hs = append(
		hs,
		header("eventType", c.EventType),
		header("eventVersion", strconv.Itoa(c.EventVersion)),
		header("sourceService", c.SourceService),
		header("traceId", c.TraceID),
		header("timestamp", c.Timestamp),
		header("eventId", c.EventID),
	)
	for _, id := range causes {
		hs = append(hs, kgo.RecordHeader{Key: "causationId", Value: id})
	}
	return hs
}

// headerValue is the last value of a header, which is the record's own where
// an earlier hop's was passed on; "" where there is none.
func headerValue(r *kgo.Record, key string) string {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == key {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// ratePart is what every consumer of a rate reads of it.
type ratePart struct {
	EventID       string      `json:"eventId"`
	TraceID       string      `json:"traceId"`
	Run           int         `json:"run"`
	FixingDate    string      `json:"fixingDate"`
	Currency      string      `json:"currency"`
	Rate          json.Number `json:"rate"`
	RatesInFixing int         `json:"ratesInFixing"`
}

// part is the rate's ratePart.
func (e *rateReceived) part() *ratePart {
	return &ratePart{e.EventID, e.TraceID, e.Run, e.FixingDate, e.Currency, e.Rate, e.RatesInFixing}
}

// check is what every consumer asks of a rate before it computes with it.
func (e *ratePart) check() (fixing, error) {
	d, err := parseDay(e.FixingDate)
	switch {
	case err != nil:
		return fixing{}, err
	case !isID(e.TraceID):
		return fixing{}, fmt.Errorf("traceId %q is not 32 lower-case hexadecimal digits", shorten(e.TraceID))
	case !isID(e.EventID):
		return fixing{}, fmt.Errorf("eventId %q is not 32 lower-case hexadecimal digits", shorten(e.EventID))
	case len(e.Currency) != 3:
		return fixing{}, fmt.Errorf("currency %q is no code of three letters", shorten(e.Currency))
	case e.Run < 1:
		return fixing{}, fmt.Errorf("run %d: runs count from 1", e.Run)
	case e.RatesInFixing < 1 || e.RatesInFixing > 1000:
		return fixing{}, fmt.Errorf("ratesInFixing %d is not between 1 and 1000", e.RatesInFixing)
	}
	if _, err := positive(e.Rate); err != nil {
		return fixing{}, err
	}
	return fixing{Run: e.Run, Day: d}, nil
}

// positive bounds a rate so that nothing computed from it overflows.
func positive(n json.Number) (float64, error) {
	f, err := n.Float64()
	if err != nil || !(f >= 1e-9 && f <= 1e15) {
		return 0, fmt.Errorf("rate %q is no number between 1e-9 and 1e15", shorten(n.String()))
	}
	return f, nil
}

func isID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// shorten bounds what somebody else's record puts into our messages.
func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// round keeps six decimals, enough for percents of percents.
func round(f float64) float64 { return math.Round(f*1e6) / 1e6 }

func rounded(f float64) *float64 {
	f = round(f)
	return &f
}

// encode never fails for the shapes of this file; a NaN among the figures
// would be the one exception, and is an error in their computation.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return b, nil
}

func decode(r *kgo.Record, v any) error {
	if len(r.Value) == 0 {
		return errors.New("decode event: the record has no value")
	}
	if err := json.Unmarshal(r.Value, v); err != nil {
		return fmt.Errorf("decode event: %w", err)
	}
	return nil
}
