package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a number of bytes, written as "64MiB". Units are B, KiB, MiB, GiB,
// TiB (powers of 1,024) and kB, KB, MB, GB, TB (powers of 1,000); a bare whole
// number counts bytes. Never negative.
type Bytes int64

// Powers of 1,024.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

const day = 24 * time.Hour

// byteUnits is ordered: the first that divides a size evenly writes it, and
// units that only parse stand behind.
var byteUnits = []struct {
	name  string
	size  Bytes
	write bool
}{
	{"TiB", TiB, true},
	{"GiB", GiB, true},
	{"MiB", MiB, true},
	{"KiB", KiB, true},
	{"TB", 1e12, false},
	{"GB", 1e9, false},
	{"MB", 1e6, false},
	{"KB", 1e3, false},
	{"kB", 1e3, false},
	{"B", 1, true},
}

// String writes the size in the largest unit that loses nothing.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if u.write && b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return "0B"
}

// MarshalText writes what [Bytes.String] does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a size such as "64MiB".
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	digits := strings.TrimRightFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	unit := strings.TrimSpace(s[len(digits):])
	size := Bytes(0)
	if unit == "" {
		size = 1
	}
	for _, u := range byteUnits {
		if u.name == unit {
			size = u.size
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if size == 0 || err != nil || n > math.MaxInt64/uint64(size) {
		return fmt.Errorf("%s is not a size: write a whole number and a unit, such as 64MiB or 1GiB", quote(s))
	}
	*b = Bytes(n) * size
	return nil
}

// Duration is a length of time, written as "90s", "1h30m" or "400d"; a day is
// 24 hours. Never negative.
type Duration time.Duration

// Std returns the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes days when it is whole days, else like [time.Duration] without
// trailing zero parts: "400d", "15m", "1h30m", "0s".
func (d Duration) String() string {
	std := time.Duration(d)
	if std != 0 && std%day == 0 {
		return strconv.FormatInt(int64(std/day), 10) + "d"
	}
	s := std.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes what [Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a length of time such as "15m" or "7d12h".
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	wrong := fmt.Errorf("%s is not a length of time: write a number and a unit, such as 500ms, 15m or 400d", quote(s))
	days, rest, hasDays := strings.Cut(s, "d")
	var total time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return wrong
		}
		total = time.Duration(n) * day
	} else {
		rest = s
	}
	if rest != "" || !hasDays {
		part, err := time.ParseDuration(rest)
		if err != nil || part < 0 || part > math.MaxInt64-total {
			return wrong
		}
		total += part
	}
	*d = Duration(total)
	return nil
}

// quote shows a value in a message, cut where it is too long to help.
func quote(s string) string {
	const limit = 80
	if runes := []rune(s); len(runes) > limit {
		return strconv.Quote(string(runes[:limit])) + " (cut)"
	}
	return strconv.Quote(s)
}
