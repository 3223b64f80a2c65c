package main

import (
	"fmt"
	"io"
	"time"
)

// progressLine says how far something is: on a terminal it is one line that
// changes, elsewhere a line every progressEvery. It belongs to one goroutine at
// a time.
type progressLine struct {
	w        io.Writer
	terminal bool
	began    time.Time
	said     time.Time
	now      func() time.Time
}

const progressEvery = 10 * time.Second

func newProgress(w io.Writer) *progressLine {
	now := time.Now()
	return &progressLine{w: w, terminal: isTerminal(w), began: now, said: now, now: time.Now}
}

// at says that done of total are done, in text, and how long the rest takes if
// it goes on so.
func (p *progressLine) at(done, total int64, text string) {
	now := p.now()
	pause := progressEvery
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if now.Sub(p.said) < pause {
		return
	}
	p.said = now
	text += ", " + p.left(now, done, total)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// left is the rest of the time, in words.
func (p *progressLine) left(now time.Time, done, total int64) string {
	took := now.Sub(p.began)
	if done <= 0 || total <= 0 || took < time.Second {
		return "time left not known yet"
	}
	rest := time.Duration(float64(took) * float64(max(0, total-done)) / float64(done))
	return fmt.Sprintf("%.0f %%, about %s left", 100*float64(min(done, total))/float64(total), max(rest, time.Second).Round(time.Second))
}

// end takes the line away.
func (p *progressLine) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
