package doctor

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Examine looks at one engine. It returns what it could look at, in any order;
// it ends when ctx does.
type Examine func(ctx context.Context) []Check

// Report is what an examination came to: every check of [Catalog], in order.
type Report struct {
	Checks []Check         `json:"checks"`
	Counts map[Verdict]int `json:"counts"`
	Took   time.Duration   `json:"-"`
}

// Run examines the engines side by side, each for at most patience, and
// completes the report: what nobody looked at is indeterminate. A check that
// comes twice counts by the first; one that is not in the catalogue is a
// mistake of the program's and reported as failed.
func Run(ctx context.Context, patience time.Duration, engines ...Examine) Report {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := make([][]Check, len(engines))
	var group sync.WaitGroup
	for i, examine := range engines {
		group.Go(func() { found[i] = examine(ctx) })
	}
	group.Wait()
	byName := map[string]Check{}
	for _, checks := range found {
		for _, c := range checks {
			if _, twice := byName[c.Name]; !twice {
				byName[c.Name] = c
			}
		}
	}
	r := Report{Counts: map[Verdict]int{}}
	for _, entry := range Catalog() {
		c, ok := byName[entry.Name]
		if !ok {
			c = Ill(entry.Name, Indeterminate, "mend what is above, and run annals doctor again", "not looked at")
		}
		delete(byName, entry.Name)
		r.add(c)
	}
	for name, c := range byName {
		r.add(Ill(name, Failed, "report this as a fault of annals", "a check that the catalogue does not have: %s", c.Seen))
	}
	r.Took = time.Since(begin)
	return r
}

func (r *Report) add(c Check) {
	r.Checks = append(r.Checks, c)
	r.Counts[c.Verdict]++
}

// ExitCode is 0 where nothing failed and everything was seen (warnings
// included), 1 where something failed, 2 where something is indeterminate and
// nothing failed.
func (r Report) ExitCode() int {
	switch {
	case r.Counts[Failed] > 0:
		return 1
	case r.Counts[Indeterminate] > 0:
		return 2
	default:
		return 0
	}
}

// Print writes a line a check, the verdict first, and a line of the counts.
func (r Report) Print(w io.Writer) error {
	for _, c := range r.Checks {
		line := fmt.Sprintf("%-13s  %-20s  %s", c.Verdict, c.Name, c.Seen)
		if c.Todo != "" {
			line += ". To do: " + c.Todo
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d ok, %d warnings, %d failed, %d indeterminate, in %s\n",
		r.Counts[OK], r.Counts[Warning], r.Counts[Failed], r.Counts[Indeterminate], r.Took.Round(100*time.Millisecond))
	return err
}
