package ecb

import (
	"archive/zip"
	"bytes"
	_ "embed" // the archive below
	"fmt"
	"io"
	"time"
)

// Provider is the name that must accompany the rates wherever they are reused.
const Provider = "European Central Bank"

// File is the name of the CSV file inside the published archive.
const File = "eurofxref-hist.csv"

//go:embed eurofxref-hist.zip
var archive []byte

// Quote is one currency's reference rate on one fixing day.
type Quote struct {
	// Currency is the ISO 4217 code.
	Currency string
	// Rate is how many units of the currency one euro buys: the file's own
	// text, a positive decimal number.
	Rate string
	// Column is the cell's column in the file, 1 being the date.
	Column int
}

// Gap is a cell without a quote between a currency's first and last quote.
type Gap struct {
	// Currency is the ISO 4217 code.
	Currency string
	// Cell is what the file has in place of a rate.
	Cell string
	// Column is the cell's column in the file, 1 being the date.
	Column int
}

// Day is one fixing: the rates of all currencies quoted on it.
type Day struct {
	// Date is the fixing day at midnight UTC.
	Date time.Time
	// Line is the day's line in the file, 1 being the header.
	Line int
	// Quotes are the day's rates in the file's column order.
	Quotes []Quote
	// Gaps are the day's gaps in the file's column order.
	Gaps []Gap
}

// History is every fixing day of a file.
type History struct {
	// Days are the fixing days in ascending order, each date once.
	Days []Day
	// Currencies are the codes in the file's column order.
	Currencies []string
}

// Rates counts the quotes of all days.
func (h *History) Rates() int {
	n := 0
	for i := range h.Days {
		n += len(h.Days[i].Quotes)
	}
	return n
}

// Gaps counts the gaps of all days.
func (h *History) Gaps() int {
	n := 0
	for i := range h.Days {
		n += len(h.Days[i].Gaps)
	}
	return n
}

// Load parses the embedded history, in about a tenth of a second.
func Load() (*History, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("open embedded rates: %w", err)
	}
	f, err := z.Open(File)
	if err != nil {
		return nil, fmt.Errorf("open embedded rates: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read embedded rates: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("read embedded rates: %w", err)
	}
	h, err := Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parse embedded rates: %w", err)
	}
	return h, nil
}
