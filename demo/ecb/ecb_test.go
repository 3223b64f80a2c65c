package ecb_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/demo/ecb"
)

// The figures of the published file, counted from it by other means.
func TestEmbeddedHistory(t *testing.T) {
	h, err := ecb.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(h.Days); got != 6983 {
		t.Errorf("%d fixing days, want 6983", got)
	}
	if got := h.Rates(); got != 217555 {
		t.Errorf("%d rates, want 217555", got)
	}
	if got := len(h.Currencies); got != 41 {
		t.Errorf("%d currencies, want 41", got)
	}
	if got := h.Gaps(); got != 2341 {
		t.Errorf("%d gaps, want 2341", got)
	}
	for _, d := range h.Days {
		for _, g := range d.Gaps {
			if g.Currency != "ISK" || g.Cell != "N/A" {
				t.Fatalf("%s: gap %+v, want only ISK's", d.Date.Format(time.DateOnly), g)
			}
		}
	}
	first, last := h.Days[0], h.Days[len(h.Days)-1]
	if got := first.Date.Format(time.DateOnly); got != "1999-01-04" || first.Line != 6984 {
		t.Errorf("first day %s on line %d, want 1999-01-04 on 6984", got, first.Line)
	}
	if got := last.Date.Format(time.DateOnly); got != "2026-04-13" || last.Line != 2 {
		t.Errorf("last day %s on line %d, want 2026-04-13 on 2", got, last.Line)
	}
	if q := last.Quotes[0]; q != (ecb.Quote{Currency: "USD", Rate: "1.1684", Column: 2}) {
		t.Errorf("first quote of the last day is %+v", q)
	}
	if got := len(last.Quotes); got != 29 {
		t.Errorf("the last day has %d rates, want 29", got)
	}
}

// A redenominated currency is another column: the two never share a day.
func TestRedenominatedCurrenciesDoNotOverlap(t *testing.T) {
	h, err := ecb.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range h.Days {
		quoted := map[string]bool{}
		for _, q := range d.Quotes {
			quoted[q.Currency] = true
		}
		if quoted["TRL"] && quoted["TRY"] || quoted["ROL"] && quoted["RON"] {
			t.Fatalf("%s quotes an old and a new code of one currency", d.Date.Format(time.DateOnly))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":              {"", "read header"},
		"no header":          {"2024-01-02,1.1\n", "header must be"},
		"no currency":        {"Date\n", "header must be"},
		"bad code":           {"Date,USD,usd\n", "line 1, column 3"},
		"code twice":         {"Date,USD,USD\n", "also in column 2"},
		"too many":           {"Date" + strings.Repeat(",USD", 171) + "\n", "at most 170"},
		"short line":         {"Date,USD,JPY\n2024-01-02,1.1\n", "line 2: 2 cells, the header has 3"},
		"long line":          {"Date,USD\n2024-01-02,1.1,2.2\n", "line 2: 3 cells"},
		"bad date":           {"Date,USD\n02/01/2024,1.1\n", "line 2, column 1"},
		"day twice":          {"Date,USD\n2024-01-02,1.1\n2024-01-02,1.2\n", "also on line 2"},
		"word as rate":       {"Date,USD,JPY\n2024-01-02,1.1,abc\n", "line 2, column 3 (JPY)"},
		"negative rate":      {"Date,USD\n2024-01-02,-1.1\n", "no positive decimal"},
		"zero rate":          {"Date,USD\n2024-01-02,0.00\n", "no positive decimal"},
		"not a JSON number":  {"Date,USD\n2024-01-02,01.1\n", "no positive decimal"},
		"exponent":           {"Date,USD\n2024-01-02,1e9\n", "no positive decimal"},
		"endless rate":       {"Date,USD\n2024-01-02,1.00000000000000000001\n", "at most 20"},
		"broken quoted cell": {"Date,USD\n2024-01-02,\"1\n", "read rates"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ecb.Parse(strings.NewReader(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestParseRefusesEndlessFile(t *testing.T) {
	line := []byte(strings.Repeat("\n", 1<<20))
	in := bytes.NewBufferString("Date,USD\n")
	for range 65 {
		in.Write(line)
	}
	if _, err := ecb.Parse(in); err == nil || err.Error() != ecb.ErrTooLarge.Error() {
		t.Fatalf("error %v, want %v", err, ecb.ErrTooLarge)
	}
}

// Whatever table is written out is read back: rates as they stood, gaps
// exactly where a currency was quoted before and after.
func TestParseReadsBackAnyTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		codes := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z]{3}`), 1, 6, rapid.ID).Draw(t, "codes")
		days := rapid.IntRange(0, 12).Draw(t, "days")
		cells := make([][]string, days) // oldest first; "" = not quoted
		for d := range cells {
			cells[d] = make([]string, len(codes))
			for c := range cells[d] {
				cells[d][c] = rapid.StringMatching(`|[1-9][0-9]{0,6}(\.[0-9]{1,6})?`).Draw(t, "rate")
			}
		}
		start := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		tail := rapid.SampledFrom([]string{"", ","}).Draw(t, "tail")
		empty := rapid.SampledFrom([]string{"", "N/A"}).Draw(t, "empty")
		var file strings.Builder
		fmt.Fprintf(&file, "Date,%s%s\n", strings.Join(codes, ","), tail)
		for d := days - 1; d >= 0; d-- {
			file.WriteString(start.AddDate(0, 0, d).Format(time.DateOnly))
			for _, cell := range cells[d] {
				if cell == "" {
					cell = empty
				}
				file.WriteString("," + cell)
			}
			file.WriteString(tail + "\n")
		}
		h, err := ecb.Parse(strings.NewReader(file.String()))
		if err != nil {
			t.Fatalf("parse %q: %v", file.String(), err)
		}
		if len(h.Days) != days {
			t.Fatalf("%d days, want %d", len(h.Days), days)
		}
		for d, day := range h.Days {
			if want := days - d + 1; day.Line != want {
				t.Errorf("day %d is on line %d, want %d", d, day.Line, want)
			}
			quotes, gaps := 0, 0
			for c, code := range codes {
				switch cell := cells[d][c]; {
				case cell != "":
					if got := day.Quotes[quotes]; got != (ecb.Quote{Currency: code, Rate: cell, Column: c + 2}) {
						t.Fatalf("day %d: quote %+v, want %s %s", d, got, code, cell)
					}
					quotes++
				case quotedBetween(cells, d, c):
					if got := day.Gaps[gaps]; got.Currency != code {
						t.Fatalf("day %d: gap %+v, want %s", d, got, code)
					}
					gaps++
				}
			}
			if len(day.Quotes) != quotes || len(day.Gaps) != gaps {
				t.Fatalf("day %d: %d quotes and %d gaps, want %d and %d", d, len(day.Quotes), len(day.Gaps), quotes, gaps)
			}
		}
	})
}

func quotedBetween(cells [][]string, day, column int) bool {
	before, after := false, false
	for d := range cells {
		if cells[d][column] != "" {
			before = before || d < day
			after = after || d > day
		}
	}
	return before && after
}

func FuzzParse(f *testing.F) {
	f.Add("Date,USD,JPY,\n2024-01-03,1.1,N/A,\n2024-01-02,1.2,140,\n")
	f.Add("Date,USD\n2024-01-02,\n")
	f.Fuzz(func(t *testing.T, in string) {
		h, err := ecb.Parse(strings.NewReader(in))
		if err != nil {
			return
		}
		for i := range h.Days {
			if n := len(h.Days[i].Quotes) + len(h.Days[i].Gaps); n > len(h.Currencies) {
				t.Fatalf("day %d has %d cells for %d currencies", i, n, len(h.Currencies))
			}
		}
	})
}
