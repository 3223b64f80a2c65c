package e2e_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/test/browser"
	"github.com/fx-risk-ai/annals/test/instance"
)

// A browser walks the explorer over a real archive: search, trace, graph,
// record, topics, a replay from plan to receipt; light and dark. The instance
// is its own, since the walk seals and replays. ANNALS_BROWSER_OUT keeps the
// pictures.
func TestExplorerOverAnArchive(t *testing.T) {
	needsClickHouse(t)
	if missing := browser.Missing(); missing != "" {
		t.Skip(missing)
	}
	if _, err := os.Stat("../../web/ui/dist/index.html"); err != nil {
		t.Skip("the explorer is not built: make ui")
	}
	t.Parallel() // beside tests that wait for what they have killed
	i := programs.Start(t, instance.Options{Args: demoYear()})
	loaded(t, i)
	out := os.Getenv("ANNALS_BROWSER_OUT")
	if out == "" {
		out = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	said, err := browser.Walk(ctx, i.Up.Web, out)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Log(said)
}
