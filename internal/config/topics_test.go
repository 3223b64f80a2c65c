package config_test

import (
	"testing"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/schema"
)

func TestTopicsAreChosenByTheirWholeName(t *testing.T) {
	chosen, err := config.Topics{Include: []string{"fx|orders", `eu\..*`}, Exclude: []string{"__.*", `eu\.secret`}}.Filter()
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]bool{
		"fx": true, "orders": true, "eu.rates": true,
		"fx.rates": false, "my-orders": false, "euxrates": false, "eu.secret": false, "__consumer_offsets": false,
	} {
		if chosen(topic) != want {
			t.Errorf("%s: got %t, want %t", topic, !want, want)
		}
	}
	if _, err := (config.Topics{Exclude: []string{"["}}).Filter(); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a broken pattern: %v", err)
	}
}
