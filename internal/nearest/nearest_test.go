package nearest_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/nearest"
)

func TestName(t *testing.T) {
	topics := []string{"fx.rates.received", "fx.rates.enriched", "fx.risk.alerts"}
	for given, want := range map[string]string{
		"fx.rates.recieved":        "fx.rates.received", // a swap
		"FX.Risk.Alerts":           "fx.risk.alerts",
		"fx.risk.alert":            "fx.risk.alerts",
		"fx-rates-enriched":        "fx.rates.enriched",
		"orders":                   "",
		"":                         "",
		strings.Repeat("x", 1<<20): "",
	} {
		if got := nearest.Name(given, topics); got != want {
			t.Errorf("%.40q: %q, want %q", given, got, want)
		}
	}
	if got := nearest.Name("a", nil); got != "" {
		t.Errorf("%q of nothing", got)
	}
}
