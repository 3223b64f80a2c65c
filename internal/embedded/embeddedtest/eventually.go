package embeddedtest

import (
	"testing"
	"time"
)

// Eventually asks again and again until there is no error, and fails the test
// with the last one when it takes longer than within.
func Eventually(t testing.TB, within time.Duration, ask func() error) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
	}
}
