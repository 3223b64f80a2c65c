package replaytest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Doing is what a worker is about when its machine loses its power.
type Doing string

// The doings.
const (
	Starting  Doing = "before it sends anything"
	Sending   Doing = "with a transaction open"
	Between   Doing = "between two of them"
	Writing   Doing = "while it writes a file"
	Comparing Doing = "while it reads back"
)

// Moments are those at which power was lost. Runs at the same time may share them. The
// zero value has none.
type Moments struct {
	mu   sync.Mutex
	jobs int
	at   map[Doing]map[string]int // by step
}

func (m *Moments) note(doing Doing, step string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil {
		m.at = map[Doing]map[string]int{}
	}
	if m.at[doing] == nil {
		m.at[doing] = map[string]int{}
	}
	m.at[doing][step]++
}

func (m *Moments) begun() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.jobs++
}

// Report says at how many moments power was lost, by what was going on then, and fails
// the test where there were less than wanted, or none of them hit what could be torn.
func (m *Moments) Report(t testing.TB, wanted int) {
	t.Helper()
	t.Log(m)
	if err := m.suffice(wanted); err != nil {
		t.Error(err)
	}
}

func (m *Moments) suffice(wanted int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if n := m.total(); n < max(wanted, 1) {
		err = fmt.Errorf("power was lost at %d moments, want %d", n, max(wanted, 1))
	}
	if len(m.at[Sending])+len(m.at[Writing]) == 0 {
		err = errors.Join(err, errors.New("power was never lost with a transaction open, or a file half written: nothing could be torn"))
	}
	return err
}

func (m *Moments) total() int {
	n := 0
	for _, steps := range m.at {
		for _, times := range steps {
			n += times
		}
	}
	return n
}

// String has a line for each doing.
func (m *Moments) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out strings.Builder
	fmt.Fprintf(&out, "power was lost at %d moments of %d replays", m.total(), m.jobs)
	for _, doing := range slices.Sorted(maps.Keys(m.at)) {
		n, steps := 0, []string{}
		for _, step := range slices.Sorted(maps.Keys(m.at[doing])) {
			n += m.at[doing][step]
			steps = append(steps, fmt.Sprintf("%s %d", step, m.at[doing][step]))
		}
		fmt.Fprintf(&out, "\n  %-26s %4d: %s", doing, n, strings.Join(steps, ", "))
	}
	return out.String()
}
