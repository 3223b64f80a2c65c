package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is one measured number.
type figure struct {
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Unit  string   `json:"unit"`
	Limit *float64 `json:"limit"`
	OK    bool     `json:"ok"`

	bound string // "≥", "≤" or none
}

// figures are printed as they come, and once more as a table.
type figures struct{ list []figure }

func (f *figures) add(name string, value float64, unit string) {
	f.put(figure{Name: name, Value: value, Unit: unit, OK: true})
}

func (f *figures) atLeast(name string, value float64, unit string, limit float64) {
	f.put(figure{name, value, unit, &limit, value >= limit, "≥"})
}

func (f *figures) atMost(name string, value float64, unit string, limit float64) {
	f.put(figure{name, value, unit, &limit, value <= limit, "≤"})
}

func (f *figures) put(one figure) {
	one.Value = round(one.Value)
	f.list = append(f.list, one)
	line, err := json.Marshal(one)
	if err != nil { // no number came out
		one.OK = false
		line = []byte(fmt.Sprintf(`{"name":%q,"value":null,"unit":%q,"limit":null,"ok":false}`, one.Name, one.Unit))
		f.list[len(f.list)-1] = one
	}
	fmt.Fprintln(os.Stdout, string(line))
}

// round keeps four digits.
func round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	if scale < 1 {
		return math.Round(v)
	}
	return math.Round(v*scale) / scale
}

func (f *figures) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nfigure\tvalue\tunit\tlimit\t")
	for _, one := range f.list {
		limit, verdict := "", ""
		if one.Limit != nil {
			limit, verdict = one.bound+" "+number(*one.Limit), "ok"
		}
		if !one.OK {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", one.Name, number(one.Value), one.Unit, limit, verdict)
	}
	if err := t.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "skeleton: table not printed:", err)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// missed names the figures over their limits.
func (f *figures) missed() error {
	var names []string
	for _, one := range f.list {
		if !one.OK {
			names = append(names, one.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return errors.New("limits missed: " + strings.Join(names, ", "))
}

// spread is the rounds' results of one figure.
type spread []float64

func (s *spread) add(v float64) { *s = append(*s, v) }

// quantile is the smallest value that at least a share q of all does not
// exceed.
func (s spread) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// around adds what stands beside a median: the least and the greatest.
func (f *figures) around(name string, s spread, unit string) {
	f.add(name+"_min", s.quantile(0), unit)
	f.add(name+"_max", s.quantile(1), unit)
}

// all adds median, least and greatest of a figure without a limit.
func (f *figures) all(name string, s spread, unit string) {
	f.add(name, s.quantile(0.5), unit)
	f.around(name, s, unit)
}
