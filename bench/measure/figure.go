package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is one measured number. Value is null, and OK false, where none came
// out; NotRun then says why, if it was not tried.
type figure struct {
	Name   string   `json:"name"`
	Value  *float64 `json:"value"`
	Unit   string   `json:"unit"`
	Limit  *float64 `json:"limit"`
	OK     bool     `json:"ok"`
	NotRun string   `json:"not_run,omitempty"`

	bound string // "≥", "≤" or none
}

// Figures are printed as they come, as JSON lines on standard output, and once
// more as a table. Not for several goroutines at once.
type Figures struct{ list []figure }

// Add prints a figure without a limit.
func (f *Figures) Add(name string, value float64, unit string) {
	f.put(figure{Name: name, Unit: unit, OK: true}, value)
}

// AtLeast prints a figure that must not be below limit.
func (f *Figures) AtLeast(name string, value float64, unit string, limit float64) {
	f.put(figure{Name: name, Unit: unit, Limit: &limit, OK: value >= limit, bound: "≥"}, value)
}

// AtMost prints a figure that must not be above limit.
func (f *Figures) AtMost(name string, value float64, unit string, limit float64) {
	f.put(figure{Name: name, Unit: unit, Limit: &limit, OK: value <= limit, bound: "≤"}, value)
}

// NotRun prints a figure that was not measured, and why.
func (f *Figures) NotRun(name, unit, why string) {
	f.put(figure{Name: name, Unit: unit, NotRun: why}, math.NaN())
}

func (f *Figures) put(one figure, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) { // no number came out
		one.OK = false
	} else {
		value = round(value)
		one.Value = &value
	}
	f.list = append(f.list, one)
	line, err := json.Marshal(one)
	if err != nil {
		line = fmt.Appendf(nil, `{"name":%q,"value":null,"unit":%q,"limit":null,"ok":false}`, one.Name, one.Unit)
		f.list[len(f.list)-1].OK = false
	}
	fmt.Fprintln(os.Stdout, string(line))
}

// round keeps four digits.
func round(v float64) float64 {
	if v == 0 {
		return v
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	if scale < 1 {
		return math.Round(v)
	}
	return math.Round(v*scale) / scale
}

// Table prints all figures for people.
func (f *Figures) Table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nfigure\tvalue\tunit\tlimit\t")
	for _, one := range f.list {
		value, limit, verdict := "none", "", ""
		if one.Value != nil {
			value = number(*one.Value)
		}
		if one.Limit != nil {
			limit, verdict = one.bound+" "+number(*one.Limit), "ok"
		}
		switch {
		case one.NotRun != "":
			value, verdict = "not run", one.NotRun
		case !one.OK:
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", one.Name, value, one.Unit, limit, verdict)
	}
	if err := t.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "table not printed:", err)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Missed is an error that names the figures over their limits, and those that
// came to no number.
func (f *Figures) Missed() error {
	if names := f.names(func(one figure) bool { return !one.OK && one.NotRun == "" }); len(names) > 0 {
		return fmt.Errorf("limits missed: %s", strings.Join(names, ", "))
	}
	return nil
}

// NotRunError names figures that were not run, of a bench that missed no limit.
type NotRunError struct{ Figures []string }

// Error implements error.
func (e *NotRunError) Error() string { return "not run: " + strings.Join(e.Figures, ", ") }

// Verdict is Missed, or else a NotRunError if something was not run.
func (f *Figures) Verdict() error {
	if err := f.Missed(); err != nil {
		return err
	}
	if names := f.Skipped(); len(names) > 0 {
		return &NotRunError{names}
	}
	return nil
}

// Skipped names the figures that were not run.
func (f *Figures) Skipped() []string {
	return f.names(func(one figure) bool { return one.NotRun != "" })
}

func (f *Figures) names(chosen func(figure) bool) []string {
	var names []string
	for _, one := range f.list {
		if chosen(one) {
			names = append(names, one.Name)
		}
	}
	return names
}

// Load adds the machine's load average of the last minute: absolute figures of
// a machine that is busy with something else say little.
func (f *Figures) Load(name string) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return // not Linux; the first program that is started says so
	}
	first, _, _ := strings.Cut(string(text), " ")
	if v, err := strconv.ParseFloat(first, 64); err == nil {
		f.Add(name, v, "processes")
	}
}

// Spread is the rounds' results of one figure.
type Spread []float64

// Add adds a round's.
func (s *Spread) Add(v float64) { *s = append(*s, v) }

// Quantile is the smallest value that at least a share q of all does not
// exceed; NaN of none.
func (s Spread) Quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// Median is the middle value, the lower one of two.
func (s Spread) Median() float64 { return s.Quantile(0.5) }

// Around adds what stands beside a median: the least and the greatest.
func (f *Figures) Around(name string, s Spread, unit string) {
	f.Add(name+"_min", s.Quantile(0), unit)
	f.Add(name+"_max", s.Quantile(1), unit)
}

// All adds median, least and greatest of a figure without a limit.
func (f *Figures) All(name string, s Spread, unit string) {
	f.Add(name, s.Median(), unit)
	f.Around(name, s, unit)
}
