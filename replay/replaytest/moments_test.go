package replaytest

import (
	"strings"
	"testing"
)

// A run that lost no power, or only where nothing was under way, has shown nothing.
func TestMomentsThatHitNothing(t *testing.T) {
	none := &Moments{}
	if err := none.suffice(0); err == nil || !strings.Contains(err.Error(), "at 0 moments") {
		t.Errorf("no moment: %v", err)
	}
	idle := &Moments{}
	for range 5 {
		idle.note(Starting, "put if match")
		idle.note(Between, "begin")
		idle.note(Comparing, "read")
	}
	if err := idle.suffice(10); err == nil || !strings.Contains(err.Error(), "nothing could be torn") {
		t.Errorf("with no transaction open: %v", err)
	}
	for _, doing := range []Doing{Sending, Writing} {
		m := &Moments{}
		m.note(doing, "produce")
		if err := m.suffice(1); err != nil {
			t.Errorf("%s: %v", doing, err)
		}
		if err := m.suffice(2); err == nil {
			t.Errorf("%s: one moment is taken for two", doing)
		}
	}
	idle.begun()
	idle.note(Sending, "commit")
	idle.note(Sending, "produce")
	if got, want := idle.String(), "power was lost at 17 moments of 1 replays"; !strings.HasPrefix(got, want) {
		t.Errorf("%q", got)
	}
	if got, want := idle.String(), "with a transaction open       2: commit 1, produce 1"; !strings.Contains(got, want) {
		t.Errorf("%q", got)
	}
}
