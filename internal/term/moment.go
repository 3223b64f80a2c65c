package term

import (
	"strconv"
	"time"
)

// units are those of ages.
var units = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 31557600 * time.Second,
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00",
	"2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04", time.DateOnly, "2006-01", "2006",
}

// moment reads a time.
func moment(text string, now time.Time) (time.Time, bool) {
	if text == "now" {
		return now.UTC(), true
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), !t.IsZero()
		}
	}
	if len(text) < 2 {
		return time.Time{}, false
	}
	number, unit := text[:len(text)-1], units[text[len(text)-1]]
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || unit == 0 || n > uint64(time.Duration(1<<63-1)/unit) {
		return time.Time{}, false
	}
	return now.UTC().Add(-time.Duration(n) * unit), true
}
