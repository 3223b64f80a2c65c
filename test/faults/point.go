package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Point is a moment to die at: before or after the n-th time that a step is
// performed.
type Point struct {
	Step  string
	After bool
	N     int
}

// String gives the form that ParsePoint reads, such as "put segment/after/3".
func (p Point) String() string {
	side := "before"
	if p.After {
		side = "after"
	}
	return fmt.Sprintf("%s/%s/%d", p.Step, side, p.N)
}

// ParsePoint reads what Point.String writes. The empty text is no point: the
// child lives.
func ParsePoint(text string) (*Point, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return nil, fmt.Errorf("parse kill point %q: want step/side/number", text)
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil {
		return nil, fmt.Errorf("parse kill point %q: %w", text, err)
	}
	return &Point{Step: parts[0], After: parts[1] == "after", N: n}, nil
}

// killer counts the moments that are its point's, and dies at the one it names.
// Behind a step that failed there is no moment: one that is tried again, since
// a busy machine let a lease run out, does not use the point up.
type killer struct {
	point *Point
	mu    sync.Mutex
	came  int
}

func newKiller(point *Point) *killer { return &killer{point: point} }

// step performs do and dies before or after it, if it is the moment.
func (k *killer) step(name string, do func() error) error {
	if k.due(name, false) {
		die()
	}
	err := do()
	if err == nil && k.due(name, true) {
		die()
	}
	return err
}

func (k *killer) due(name string, after bool) bool {
	if k.point == nil || k.point.Step != name || k.point.After != after {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.came++
	return k.came == k.point.N
}

// die ends the process as a power cut would: no deferred call, no flush.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
