package browser_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/test/browser"
	"github.com/fx-risk-ai/annals/test/instance"
)

// The walk against the explorer's fixtures, which have states that the demo's
// archive does not. The walk over a real archive runs always; this one is a
// long case.
func TestExplorerOnFixtures(t *testing.T) {
	instance.Long(t)
	needsBrowser(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	said, err := browser.Walk(ctx, fixtures(t, built), pictures(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(said)
}

// fixtures starts the explorer's fixture server over a built explorer and
// gives its address.
func fixtures(t *testing.T, built string) string {
	t.Helper()
	cmd := exec.Command("node", "../../web/ui/dev/server.mjs", built)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("stop the fixture server: %v", err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the fixture server ended by itself")
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the fixture server did not say where it listens: %v", err)
	}
	var where struct{ Base string }
	if err := json.Unmarshal(line, &where); err != nil {
		t.Fatalf("the fixture server said %q: %v", line, err)
	}
	return where.Base
}
