package payload

import (
	"encoding/json"
	"strconv"
	"strings"
)

// decimal is a number by value: ±0.digits × 10^exponent, digits without zeros
// at either end. Zero has no digits and no sign.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// parseDecimal reads a JSON number exactly. It gives up on exponents beyond
// ±10^9, whose numbers equal only themselves.
func parseDecimal(number json.Number) (decimal, bool) {
	text, negative := strings.CutPrefix(string(number), "-")
	exponent := 0
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		parsed, err := strconv.Atoi(text[at+1:])
		if err != nil || parsed > 1e9 || parsed < -1e9 {
			return decimal{}, false
		}
		text, exponent = text[:at], parsed
	}
	whole, fraction, _ := strings.Cut(text, ".")
	exponent += len(whole)
	digits := whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	if trimmed == "" {
		return decimal{}, true
	}
	return decimal{negative: negative, digits: trimmed, exponent: exponent}, true
}

// sameNumber compares by value: 1.0, 1.00 and 10e-1 are the same.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, ok1 := parseDecimal(a)
	y, ok2 := parseDecimal(b)
	return ok1 && ok2 && x == y
}
