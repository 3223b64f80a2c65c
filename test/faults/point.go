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

// killer counts the steps and dies at its point.
type killer struct {
	point *Point
	mu    sync.Mutex
	count map[string]int
}

func newKiller(point *Point) *killer { return &killer{point: point, count: map[string]int{}} }

// step performs do and dies before or after it, if it is the moment.
func (k *killer) step(name string, do func() error) error {
	k.mu.Lock()
	k.count[name]++
	now := k.point != nil && k.point.Step == name && k.point.N == k.count[name]
	k.mu.Unlock()
	if now && !k.point.After {
		die()
	}
	err := do()
	if now && err == nil {
		die()
	}
	return err
}

// die ends the process as a power cut would: no deferred call, no flush.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
