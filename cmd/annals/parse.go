package main

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// parseTime reads a flag's time: RFC 3339, or a day in UTC.
func parseTime(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			t = t.UTC()
			return &t, nil
		}
	}
	return nil, schema.InvalidField(flag, "%s %q is no time: write 2020-03-09 or 2020-03-09T14:15:00Z", flag, text)
}
