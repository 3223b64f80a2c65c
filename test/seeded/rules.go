package seeded

import (
	"iter"
	"reflect"
	"testing"
)

// fewest is how many different bugs a model is to be tried by, at least.
const fewest = 12

// EachRuleOnce fails the test unless every rule that can be broken, a field of R, is
// broken by a bug, and no bug breaks another's: so that none is dropped from the
// list, or found for what another does. bugs gives what each breaks, by its name.
func EachRuleOnce[R any](t testing.TB, bugs iter.Seq2[string, R]) {
	t.Helper()
	by, count := map[string]string{}, 0
	for bug, rules := range bugs {
		count++
		v := reflect.ValueOf(rules)
		broken := 0
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			name := v.Type().Field(i).Name
			if broken++; by[name] != "" {
				t.Errorf("%s is what %q breaks, and %q", name, by[name], bug)
			}
			by[name] = bug
		}
		if broken != 1 {
			t.Errorf("%q breaks %d rules, want one", bug, broken)
		}
	}
	for i := range reflect.TypeFor[R]().NumField() {
		if name := reflect.TypeFor[R]().Field(i).Name; by[name] == "" {
			t.Errorf("no bug breaks %s", name)
		}
	}
	if count < fewest {
		t.Errorf("%d bugs, want %d at least", count, fewest)
	}
}
