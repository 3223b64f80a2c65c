package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Console tells a person what [Supervisor] does: a line that is written over
// once a second on a terminal, a line every five seconds elsewhere, and a line
// that stays at each change. It is used by one goroutine.
type Console struct {
	w        io.Writer
	terminal bool
	again    string

	begun    time.Time
	last     time.Time
	records  int64
	rate     float64
	loaded   bool
	done     bool
	overline bool
}

// NewConsole writes to w; terminal says whether lines can be written over, and
// again is how a person asks for the live days again.
func NewConsole(w io.Writer, terminal bool, again string) *Console {
	return &Console{w: w, terminal: terminal, again: again}
}

// Status is for [Supervisor].Status.
func (c *Console) Status(s Status) {
	now := time.Now()
	if c.begun.IsZero() {
		c.begun, c.last, c.records = now, now, s.Records
	}
	if s.Loaded && !c.loaded {
		c.loaded = true
		g := s.Services[ECBGateway]
		days, records := thousands(int64(g.HistoryDays)), thousands(s.HistoryRecords)
		if s.HistoryFound {
			c.line("history found: %s days, %s records were there already", days, records)
		} else {
			c.line("history loaded: %s days, %s records (in %s)", days, records, now.Sub(c.begun).Round(100*time.Millisecond))
		}
	}
	if s.Done != c.done {
		c.done = s.Done
		if g := s.Services[ECBGateway]; s.Done && g.TotalDays > 0 {
			c.line("all %s live days have arrived (run %d). To see them arrive again: %s", thousands(int64(g.TotalDays)), g.Run, c.again)
		}
	}
	every := 5 * time.Second
	if c.terminal {
		every = time.Second
	}
	if now.Sub(c.last) < every-every/10 || s.Done {
		return
	}
	c.rate = float64(s.Records-c.records) / now.Sub(c.last).Seconds()
	c.last, c.records = now, s.Records
	c.passing(c.describe(s))
}

func (c *Console) describe(s Status) string {
	var b strings.Builder
	g := s.Services[ECBGateway]
	switch g.Phase {
	case PhaseHistory, PhaseLive:
		fmt.Fprintf(&b, "%s %s: %s of %s days", g.Phase, g.Day, thousands(int64(g.Days)), thousands(int64(g.TotalDays)))
	case PhaseDone:
		b.WriteString("all days published")
	default:
		b.WriteString("starting")
	}
	for _, name := range Services() {
		p, spoke := s.Services[name]
		if !spoke {
			fmt.Fprintf(&b, " · %s …", name)
			continue
		}
		fmt.Fprintf(&b, " · %s %s", name, thousands(p.Out))
	}
	if g.Phase == PhaseHistory || !s.Loaded {
		fmt.Fprintf(&b, " · %s records/s", thousands(int64(c.rate)))
	}
	return b.String()
}

// passing writes a line that the next one may replace.
func (c *Console) passing(text string) {
	if !c.terminal {
		c.line("%s", text)
		return
	}
	c.overline = true
	c.write("\r\x1b[K" + text)
}

// line writes a line that stays.
func (c *Console) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...) + "\n"
	if c.overline {
		c.overline = false
		text = "\r\x1b[K" + text
	}
	c.write(text)
}

func (c *Console) write(text string) {
	if _, err := io.WriteString(c.w, text); err != nil {
		c.w = io.Discard // nobody is reading any more
	}
}

// thousands writes a number with its digits grouped.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
