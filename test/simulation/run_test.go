//go:build !synctests

package simulation

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestSimulation runs TestSeeds. It needs a build of its own: a goroutine that
// waits for a mutex keeps virtual time from moving, and the Kafka client waits
// for one while the group rebalances. Its tag synctests makes them channels.
func TestSimulation(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-tags", "synctests", "-run", "^TestSeeds$", "-v", "-timeout", "5h", ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if again := onceMore.FindAllString(string(out), -1); len(again) > 0 {
		// A skipped test is what the end of a run lists, with its reason.
		t.Run("stuck once", func(t *testing.T) { t.Skip(strings.Join(again, "\n")) })
	}
}

// onceMore finds the seeds that were stuck once.
var onceMore = regexp.MustCompile(`seed \d+, once more: .*`)
