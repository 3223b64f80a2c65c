package schema_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

func TestIsTopicName(t *testing.T) {
	for _, name := range []string{"a", "fx.rates_2-B", "...", "__consumer_offsets", strings.Repeat("a", schema.MaxTopicName)} {
		if !schema.IsTopicName(name) || !schema.IsTopicName([]byte(name)) {
			t.Errorf("%q is no topic name", name)
		}
	}
	for _, name := range []string{"", ".", "..", "fx/rates", "fx rates", "fx*", "ü", "a\n", strings.Repeat("a", schema.MaxTopicName+1)} {
		if schema.IsTopicName(name) || schema.IsTopicName([]byte(name)) {
			t.Errorf("%q is a topic name", name)
		}
	}
}
