package doctor

import "fmt"

// Verdict is what a check came to.
type Verdict string

// The verdicts.
const (
	OK            Verdict = "ok"
	Warning       Verdict = "warning"       // works, and will not always: mend it in time
	Failed        Verdict = "failed"        // Annals cannot do its work on this
	Indeterminate Verdict = "indeterminate" // not seen, for want of a right, of an answer, or of anything to look at
)

// Check is one thing that was looked at. Name is one of [Catalog]. Seen is one
// line of what was found; Todo, one line of what to do about it, is empty only
// where the verdict is ok.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Seen    string  `json:"seen"`
	Todo    string  `json:"todo,omitempty"`
}

// Well is a check that is ok.
func Well(name, seen string, args ...any) Check {
	return Check{Name: name, Verdict: OK, Seen: fmt.Sprintf(seen, args...)}
}

// Ill is a check that is not.
func Ill(name string, verdict Verdict, todo, seen string, args ...any) Check {
	return Check{Name: name, Verdict: verdict, Seen: fmt.Sprintf(seen, args...), Todo: todo}
}
