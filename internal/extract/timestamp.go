package extract

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

var timestampMalformed = fieldSubjects[eventTime] + malformed

// parseTime reads a contract's timestamp as microseconds since the Unix epoch:
// RFC 3339 (a space for the T and an offset without colon are read, too), or a
// number of seconds, milliseconds, microseconds or nanoseconds, told apart by
// magnitude: seconds reach the year 5138 before they would be milliseconds of
// 1973. Years 1 to 9999 only. The problem is an error code or empty.
func parseTime(value []byte) (micros int64, problem string) {
	if len(value) == 0 || len(value) > 40 {
		return 0, timestampMalformed
	}
	if c := value[0]; len(value) > 10 && value[4] == '-' && '0' <= c && c <= '9' {
		return parseCalendar(value)
	}
	return parseEpoch(value)
}

func parseCalendar(value []byte) (int64, string) {
	var t time.Time
	if t.UnmarshalText(value) == nil {
		return inYears(t)
	}
	text := string(bytes.ToUpper(value))
	for _, layout := range []string{"2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700"} {
		if t, err := time.Parse(layout, text); err == nil {
			return inYears(t)
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if _, err := time.Parse(layout, text); err == nil {
			return 0, TimestampNoZone
		}
	}
	return 0, timestampMalformed
}

func inYears(t time.Time) (int64, string) {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return 0, timestampMalformed
	}
	return t.UnixMicro(), ""
}

// parseEpoch reads whole numbers exactly and fractions to the microsecond.
func parseEpoch(value []byte) (int64, string) {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		magnitude := n
		if n < 0 {
			magnitude = -n
		}
		switch {
		case magnitude < 0:
			return 0, timestampMalformed
		case magnitude < 1e11:
			return inYears(time.Unix(n, 0))
		case magnitude < 1e14:
			return inYears(time.UnixMilli(n))
		case magnitude < 1e17:
			return inYears(time.UnixMicro(n))
		}
		return inYears(time.Unix(0, n))
	}
	if !isDecimal(value) {
		return 0, timestampMalformed
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.Abs(f) >= 1e18 {
		return 0, timestampMalformed
	}
	switch magnitude := math.Abs(f); {
	case magnitude < 1e11:
		f *= 1e6
	case magnitude < 1e14:
		f *= 1e3
	case magnitude >= 1e17:
		f /= 1e3
	}
	return inYears(time.UnixMicro(int64(math.Round(f))))
}

// isDecimal keeps out what ParseFloat reads and no producer means: hex,
// infinities, underscores.
func isDecimal(value []byte) bool {
	for _, c := range value {
		if !('0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E') {
			return false
		}
	}
	return true
}
