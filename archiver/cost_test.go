package archiver

import (
	"testing"

	"github.com/fx-risk-ai/annals/internal/forecast"
	"github.com/fx-risk-ai/annals/schema"
)

// annals plan reckons with what a record takes of a buffer.
func TestForecastKnowsWhatARecordCosts(t *testing.T) {
	r := schema.Record{Value: make([]byte, 100), Headers: []schema.Header{{}, {}}}
	if got, want := cost(&r), int64(100+forecast.RowOverhead+2*forecast.HeaderOverhead); got != want {
		t.Errorf("a record costs %d, the forecast says %d", got, want)
	}
}
