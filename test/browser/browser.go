package browser

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// chromiums are where Chromium is looked for, besides ANNALS_CHROMIUM.
// chromium.mjs looks in the same places.
var chromiums = []string{"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}

// Missing says what a walk needs and this machine lacks, and how to get it;
// nothing is missing when it is empty.
func Missing() string {
	if _, err := exec.LookPath("node"); err != nil {
		return "Node is not on PATH: https://nodejs.org/en/download"
	}
	candidates := chromiums
	if named := os.Getenv("ANNALS_CHROMIUM"); named != "" {
		candidates = append([]string{named}, chromiums...)
	}
	found := false
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			found = true
			break
		}
	}
	if !found {
		return "no Chromium here: install it (Debian: apt install chromium), or name it in ANNALS_CHROMIUM"
	}
	root, err := moduleRoot()
	if err != nil {
		return err.Error()
	}
	if _, err := os.Stat(filepath.Join(root, "web/ui/node_modules/playwright-core")); err != nil {
		return "the explorer's packages are not installed: make ui"
	}
	return ""
}

// Walk drives the explorer at base, such as http://127.0.0.1:8080, and leaves
// pictures in out. The archive must hold records with traces; it is sealed,
// and one trace is replayed in each theme. It returns what the driver said,
// and an error that holds it when anything failed.
func Walk(ctx context.Context, base, out string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(root, "test/browser/run.mjs"), "--base", base, "--out", out)
	// The driver ends its browser by itself when it is asked to.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	said, err := cmd.CombinedOutput()
	if err != nil {
		return string(said), fmt.Errorf("walk the explorer at %s: %w\n%s", base, err, strings.TrimSpace(string(said)))
	}
	return string(said), nil
}

// moduleRoot is the folder of go.mod, upwards from the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the module's root: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the module's root: no go.mod above the working directory")
		}
		dir = parent
	}
}
