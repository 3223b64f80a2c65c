package property

import (
	"flag"
	"os"
	"testing"
)

// Few has a test's properties be checked n times, and in full with
// ANNALS_TEST_LONG=1. A number given with -rapid.checks wins. The setting is
// the process's: a test that calls this must not be parallel.
func Few(t testing.TB, n string) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if os.Getenv("ANNALS_TEST_LONG") != "" || f.Value.String() != f.DefValue {
		return
	}
	if err := flag.Set(f.Name, n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(f.Name, f.DefValue); err != nil {
			t.Error(err)
		}
	})
}
