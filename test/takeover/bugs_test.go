package takeover

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/test/seeded"
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

func TestBugsAreAllRules(t *testing.T) {
	seeded.EachRuleOnce(t, func(yield func(string, rules) bool) {
		for _, bug := range bugs {
			if !yield(bug.name, bug.rules) {
				return
			}
		}
	})
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
