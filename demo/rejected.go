package demo

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/demo/ecb"
)

// rejectedCell is the value of a dead letter of the gateway: the cell as it
// stands in the file, and what is around it.
type rejectedCell struct {
	Run           int    `json:"run"`
	Sequence      int64  `json:"sequence"`
	FixingDate    string `json:"fixingDate"`
	Currency      string `json:"currency"`
	Cell          string `json:"cell"`
	Provider      string `json:"provider"`
	File          string `json:"file"`
	Line          int    `json:"line"`
	Column        int    `json:"column"`
	RatesInFixing int    `json:"ratesInFixing"`
}

// reject makes the dead letter of a cell without a quote. No record was there
// before, so the error's place is the file's, in headers of this team's own.
func reject(at fixing, d *ecb.Day, g ecb.Gap, trace string, sequence int64, when time.Time) (*kgo.Record, error) {
	value, err := encode(rejectedCell{
		Run:           at.Run,
		Sequence:      sequence,
		FixingDate:    at.Day.String(),
		Currency:      g.Currency,
		Cell:          g.Cell,
		Provider:      ecb.Provider,
		File:          ecb.File,
		Line:          d.Line,
		Column:        g.Column,
		RatesInFixing: len(d.Quotes),
	})
	if err != nil {
		return nil, err
	}
	message := fmt.Sprintf("no rate for %s on %s: the cell in line %d, column %d is %q, although the currency was quoted before and after", g.Currency, at.Day, d.Line, g.Column, g.Cell)
	return &kgo.Record{
		Topic:     TopicRejected,
		Key:       []byte(g.Currency),
		Value:     value,
		Timestamp: when,
		Headers: []kgo.RecordHeader{
			header("traceparent", traceparent(trace)),
			header("content-type", "application/json"),
			header("eventId", randomID()),
			header("eventType", eventRejected),
			header("eventVersion", strconv.Itoa(at.Day.version())),
			header("sourceService", ECBGateway),
			header("traceId", trace),
			header("timestamp", when.UTC().Format(stampFormat)),
			header("x-error-class", "MissingQuote"),
			header("x-error-message", message),
			header("x-original-topic", TopicReceived),
			header("x-source-file", ecb.File),
			header("x-source-line", strconv.Itoa(d.Line)),
			header("x-source-column", strconv.Itoa(g.Column)),
			header("x-fixing-day", at.Day.String()),
			header("x-attempt", "1"),
		},
	}, nil
}
