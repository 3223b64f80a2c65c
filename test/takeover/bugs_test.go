package takeover

import (
	"reflect"
	"strings"
	"testing"
)

// bugs are protocols with one rule broken. The search must find each, for the reason
// that it is a bug.
var bugs = []struct {
	name   string
	rules  rules
	breaks string // the violation begins so
}{
	{"earlier workers are not fenced", rules{noFence: true}, "target: "},
	{"the position is read, then earlier workers are fenced", rules{readsFirst: true}, "target: "},
	{"work goes on from the state object", rules{trustsState: true}, "target: "},
	{"the position is written after the records", rules{twoSteps: true}, "target: "},
	{"an unanswered commit is sent again", rules{sendsAgain: true}, "target: "},
	{"done when the last commit is sent", rules{doneWhenSent: true}, "end: "},
	{"a claim without If-Match", rules{putsBlindly: true}, "end: a job that had ended"},
	{"a changed state is written over", rules{overwrites: true}, "cancel: "},
	{"who lets go does not look at what is asked", rules{keepsItsCancel: true}, "cancel: "},
	{"a job that awaits an approval is claimed", rules{ignoresHeld: true}, "approval: "},
	{"jobs are claimed while all are stopped", rules{ignoresStop: true}, "stop: "},
	{"a lease holds for ever", rules{leaseForever: true}, "stuck"},
	{"who lost its job ends it", rules{endsOthers: true}, "end: a job that had ended"},
}

// fewestBugs is how many different ones the search is to be tried by, at least.
const fewestBugs = 12

// TestBugsAreAllRules: every rule that can be broken is broken by a bug, and no bug
// breaks another's, so that none is dropped from the list, or found for what another
// does.
func TestBugsAreAllRules(t *testing.T) {
	by := map[string]string{}
	for _, bug := range bugs {
		v := reflect.ValueOf(bug.rules)
		broken := 0
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			name := v.Type().Field(i).Name
			if broken++; by[name] != "" {
				t.Errorf("%s is what %q breaks, and %q", name, by[name], bug.name)
			}
			by[name] = bug.name
		}
		if broken != 1 {
			t.Errorf("%q breaks %d rules, want one", bug.name, broken)
		}
	}
	for i := range reflect.TypeFor[rules]().NumField() {
		if name := reflect.TypeFor[rules]().Field(i).Name; by[name] == "" {
			t.Errorf("no bug breaks %s", name)
		}
	}
	if len(bugs) < fewestBugs {
		t.Errorf("%d bugs, want %d at least", len(bugs), fewestBugs)
	}
}

func TestBugsAreFound(t *testing.T) {
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			r := search(&model{rules: bug.rules}, t)
			switch {
			case r.violation == "":
				t.Fatalf("not found in %d states", r.states)
			case !strings.HasPrefix(r.violation, bug.breaks):
				t.Fatalf("found %q, want %q\n    %s", r.violation, bug.breaks, strings.Join(r.trace, "\n    "))
			}
			t.Logf("%d states: %s\n    %s", r.states, r.violation, strings.Join(r.trace, "\n    "))
		})
	}
}
