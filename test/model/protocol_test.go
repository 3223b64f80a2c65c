package model

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// most is how many states a run may visit. None of the configurations comes
// near; one that would is not exhaustive, and fails.
const (
	most     = 4_000_000
	mostLong = 60_000_000
)

// mostInAll is how many states the configurations that run always may have
// together. Two cores with other things to do as well visited 200,000 a second; of so
// many, ones that are three times as slow see the end within two minutes. Whoever
// needs more makes a configuration long.
const mostInAll = 7_500_000

func long() bool { return os.Getenv("ANNALS_TEST_LONG") != "" }

// TestProtocolHolds searches every configuration to its end: every state holds,
// and from every state everything can still be archived without further
// faults. Every transition is part of some run.
func TestProtocolHolds(t *testing.T) {
	var used [transitions]bool
	ran, states, began := 0, 0, time.Now()
	t.Run("configurations", func(t *testing.T) {
		results := make(chan result, len(configs))
		t.Cleanup(func() {
			close(results)
			for r := range results {
				if ran++; !r.long {
					states += r.states
				}
				for name := range used {
					used[name] = used[name] || r.used[name]
				}
			}
		})
		for _, c := range configs {
			t.Run(c.name, func(t *testing.T) {
				if c.long && !long() {
					t.Skip("long: set ANNALS_TEST_LONG=1 to run it")
				}
				t.Parallel()
				results <- holdsIn(t, c)
			})
		}
	})
	t.Logf("%d configurations searched to their end in %s; those that always run have %d states of %d that they may have",
		ran, time.Since(began).Round(time.Millisecond), states, mostInAll)
	if states > mostInAll {
		t.Errorf("%d states in all, at most %d: the search would take too long for every run", states, mostInAll)
	}
	if t.Failed() || ran < len(configs)-len(longer()) {
		return // some were not asked for
	}
	for name, is := range used {
		if !is {
			t.Errorf("no run makes the transition %s: the model does not cover it", transition(name))
		}
	}
}

func longer() (list []config) {
	for _, c := range configs {
		if c.long {
			list = append(list, c)
		}
	}
	return list
}

func holdsIn(t *testing.T, c config) result {
	t.Helper()
	limit := most
	if c.long {
		limit = mostLong
	}
	start := time.Now()
	e := search{model: model{config: c}, limit: limit, goals: true}
	r := e.run()
	r.long = c.long
	t.Logf("%d states, %d transitions, depth %d, in %s", r.states, r.moves, r.depth, time.Since(start).Round(time.Millisecond))
	switch {
	case r.violation != "":
		t.Errorf("%s\n    %s", r.violation, strings.Join(r.trace, "\n    "))
	case r.bounded != "":
		t.Errorf("not exhaustive: %s", r.bounded)
	case !r.archived:
		t.Error("no state has everything archived: the run proves nothing")
	}
	return r
}

// TestBoundIsSaid: a run that does not visit every state fails for it.
func TestBoundIsSaid(t *testing.T) {
	e := search{model: model{config: named("core")}, limit: 1000}
	if r := e.run(); r.bounded == "" || r.violation != "" {
		t.Errorf("a run over its limit says %q and %q; want that it is not exhaustive", r.bounded, r.violation)
	}
	c := named("core")
	c.offsets, c.logs, c.holds = 4, []rows{written(plain, plain, plain, plain)}, 9
	e = search{model: model{config: c}, limit: most}
	if r := e.run(); r.bounded == "" {
		t.Error("a run whose chains do not fit the encoding counts as exhaustive")
	}
}

// TestTraceIsAWay: the trace of a violation begins at the beginning, and names
// a transition a line.
func TestTraceIsAWay(t *testing.T) {
	e := search{model: model{config: named("core"), rules: rules{commitFirst: true}}, limit: most}
	r := e.run()
	if len(r.trace) < 2 || !strings.HasPrefix(r.trace[0], "log [") {
		t.Fatalf("trace: %q", r.trace)
	}
	for _, line := range r.trace[1:] {
		if name, _, _ := strings.Cut(line, " "); !slices.Contains(names[:], name) {
			t.Errorf("line %q begins with no transition", line)
		}
	}
	if last := r.trace[len(r.trace)-1]; !strings.HasPrefix(last, "arrive") || !strings.Contains(last, "commit 1: segment") {
		t.Errorf("the trace ends with %q; want the commit that names a missing segment", last)
	}
}
