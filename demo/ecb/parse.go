package ecb

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// maxFile bounds a file: thirty times today's.
	maxFile = 64 << 20
	// maxCurrencies bounds a header: four times today's.
	maxCurrencies = 170
	// maxRate bounds a rate's digits, so that a number stays a number.
	maxRate = 20
	// notQuoted is what the file has in place of a rate.
	notQuoted = "N/A"
)

// ErrTooLarge says that a file is beyond what this package accepts.
var ErrTooLarge = errors.New("file is larger than 64 MiB")

// Parse reads a file in the format of the ECB's eurofxref-hist.csv: a header
// of "Date" and currency codes, then a line a fixing day, newest first. Lines
// may end in an empty cell, as the published file's do. An error names the
// line and the column.
func Parse(r io.Reader) (*History, error) {
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	in := csv.NewReader(limited)
	in.FieldsPerRecord = -1 // checked below, with a better message
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	codes, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	h := &History{Currencies: codes}
	for {
		fields, err := in.Read()
		if limited.N <= 0 {
			return nil, ErrTooLarge
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read rates: %w", err)
		}
		line, _ := in.FieldPos(0)
		day, err := parseDay(codes, fields, line)
		if err != nil {
			return nil, err
		}
		h.Days = append(h.Days, day)
	}
	slices.SortStableFunc(h.Days, func(a, b Day) int { return a.Date.Compare(b.Date) })
	for i := 1; i < len(h.Days); i++ {
		if h.Days[i].Date.Equal(h.Days[i-1].Date) {
			return nil, fmt.Errorf("line %d: fixing day %s is also on line %d", h.Days[i].Line, h.Days[i].Date.Format(time.DateOnly), h.Days[i-1].Line)
		}
	}
	dropOutside(h)
	return h, nil
}

func parseHeader(fields []string) ([]string, error) {
	if n := len(fields); n > 1 && fields[n-1] == "" {
		fields = fields[:n-1]
	}
	if len(fields) < 2 || fields[0] != "Date" {
		return nil, errors.New(`line 1: the header must be "Date" and at least one currency code`)
	}
	codes := fields[1:]
	if len(codes) > maxCurrencies {
		return nil, fmt.Errorf("line 1: %d currencies, at most %d are accepted", len(codes), maxCurrencies)
	}
	seen := make(map[string]int, len(codes))
	for i, c := range codes {
		if !isCode(c) {
			return nil, fmt.Errorf("line 1, column %d: %q is no currency code of three capital letters", i+2, c)
		}
		if at, dup := seen[c]; dup {
			return nil, fmt.Errorf("line 1, column %d: currency %s is also in column %d", i+2, c, at)
		}
		seen[c] = i + 2
	}
	return codes, nil
}

// parseDay keeps every cell without a quote as a gap; whether it is one can be
// told only when all days are known.
func parseDay(codes, fields []string, line int) (Day, error) {
	if n := len(codes) + 2; len(fields) == n && fields[n-1] == "" {
		fields = fields[:n-1]
	}
	if len(fields) != len(codes)+1 {
		return Day{}, fmt.Errorf("line %d: %d cells, the header has %d", line, len(fields), len(codes)+1)
	}
	date, err := time.Parse(time.DateOnly, fields[0])
	if err != nil {
		return Day{}, fmt.Errorf("line %d, column 1: %q is no date of the form 2006-01-02", line, fields[0])
	}
	day := Day{Date: date, Line: line}
	for i, cell := range fields[1:] {
		switch {
		case cell == notQuoted || cell == "":
			day.Gaps = append(day.Gaps, Gap{Currency: codes[i], Cell: cell, Column: i + 2})
		case isRate(cell):
			day.Quotes = append(day.Quotes, Quote{Currency: codes[i], Rate: cell, Column: i + 2})
		default:
			return Day{}, fmt.Errorf("line %d, column %d (%s): %q is no positive decimal number of at most %d characters", line, i+2, codes[i], cell, maxRate)
		}
	}
	return day, nil
}

// dropOutside removes the cells before a currency's first and after its last
// quote: there the currency was not part of the fixing, and nothing is missing.
func dropOutside(h *History) {
	first, last := map[string]int{}, map[string]int{}
	for i := range h.Days {
		for _, q := range h.Days[i].Quotes {
			if _, ok := first[q.Currency]; !ok {
				first[q.Currency] = i
			}
			last[q.Currency] = i
		}
	}
	for i := range h.Days {
		d := &h.Days[i]
		kept := slices.DeleteFunc(d.Gaps, func(g Gap) bool {
			f, ever := first[g.Currency]
			return !ever || i < f || i > last[g.Currency]
		})
		d.Gaps = slices.Clip(slices.Clone(kept)) // the dropped ones are most of them: let their memory go
	}
}

func isCode(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// isRate accepts what is a JSON number too, so that a rate can go into an
// event as it stands: digits without a superfluous leading zero, at most one
// point with digits after it, and not zero.
func isRate(s string) bool {
	if s == "" || len(s) > maxRate {
		return false
	}
	point, nonZero := -1, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '1' && c <= '9':
			nonZero = true
		case c == '0':
		case c == '.' && point < 0 && i > 0 && i < len(s)-1:
			point = i
		default:
			return false
		}
	}
	whole := len(s)
	if point >= 0 {
		whole = point
	}
	return nonZero && (whole == 1 || s[0] != '0')
}
