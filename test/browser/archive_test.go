package browser_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/test/browser"
	"github.com/fx-risk-ai/annals/test/instance"
)

// A browser walks the explorer over a real archive: search, trace, graph,
// record, topics, a replay from plan to receipt; light and dark.
// ANNALS_BROWSER_OUT keeps the pictures.
func TestExplorerOverAnArchive(t *testing.T) {
	instance.NeedsClickHouse(t)
	needsBrowser(t)
	programs, err := instance.Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := programs.Remove(); err != nil {
			t.Error(err)
		}
	})
	up := programs.Start(t, instance.Options{Args: instance.DemoYear()})
	up.Loaded(t)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	said, err := browser.Walk(ctx, up.Up.Web, pictures(t))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Log(said)
}

// needsBrowser skips a test where a browser or the built explorer is missing.
func needsBrowser(t *testing.T) {
	t.Helper()
	if missing := browser.Missing(); missing != "" {
		t.Skip(missing)
	}
	if _, err := os.Stat(built + "/index.html"); err != nil {
		t.Skip("the explorer is not built: make ui")
	}
}

// built is the folder of the built explorer.
const built = "../../web/ui/dist"

// pictures gives the folder for what the browser saw.
func pictures(t *testing.T) string {
	t.Helper()
	if out := os.Getenv("ANNALS_BROWSER_OUT"); out != "" {
		return out
	}
	return t.TempDir()
}
