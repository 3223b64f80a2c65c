//go:build !synctests

package simulation

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// TestSimulation runs TestSeeds and what else needs virtual time. It needs a
// build of its own: a goroutine that waits for a mutex keeps virtual time from
// moving, and the Kafka client waits for one while the group rebalances. Its tag
// synctests makes them channels.
func TestSimulation(t *testing.T) {
	t.Parallel()
	patience := time.Duration(0) // for ever, as this test's own
	if end, ok := t.Deadline(); ok {
		patience = time.Until(end) - 10*time.Second
	}
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-tags", "synctests", "-run", "^(TestSeeds|TestGroupOutlivesItsMembers)$", "-v",
		"-timeout", patience.String(), ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if said := regexp.MustCompile("the time was over.*").Find(out); said != nil {
		t.Skipf("%s", said)
	}
}
