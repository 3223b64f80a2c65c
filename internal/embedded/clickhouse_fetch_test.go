package embedded_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

const fetchScript = "../../scripts/fetch-chdb.sh"

// TestFetchScriptVersion holds that what the script fetches is what the program
// looks for.
func TestFetchScriptVersion(t *testing.T) {
	text, err := os.ReadFile(fetchScript)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^version=(\S+)$`).FindSubmatch(text)
	if m == nil || string(m[1]) != embedded.ChdbVersion {
		t.Fatalf("the script fetches %q, the program looks for %s", m, embedded.ChdbVersion)
	}
}

// TestFetchScript runs it where nothing has to be fetched, and where nothing
// can be.
func TestFetchScript(t *testing.T) {
	cache := t.TempDir()
	library := filepath.Join(cache, "annals", "chdb-"+embedded.ChdbVersion, "libchdb.so")
	run := func(env ...string) (out, complaints string, err error) {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", fetchScript)
		cmd.Env = append(os.Environ(), append([]string{"ANNALS_CHDB=", "XDG_CACHE_HOME=" + cache}, env...)...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		b, err := cmd.Output()
		return strings.TrimSpace(string(b)), stderr.String(), err
	}
	// No npm on the PATH: it must say so, and how to go on without.
	tools := t.TempDir()
	for _, name := range []string{"uname", "ldd", "grep", "bash", "cat"} {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, complaints, err := run("PATH=" + tools); err == nil || !strings.Contains(complaints, "ANNALS_CHDB") {
		t.Errorf("without npm: %v, %q", err, complaints)
	}
	if err := os.MkdirAll(filepath.Dir(library), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(library, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, complaints, err := run("PATH=" + tools); err != nil || out != library || complaints != "" {
		t.Errorf("with the library there: %q, %q, %v", out, complaints, err)
	}
	if out, _, err := run("ANNALS_CHDB=" + library); err != nil || out != library {
		t.Errorf("with ANNALS_CHDB: %q, %v", out, err)
	}
	if _, complaints, err := run("ANNALS_CHDB=/nowhere.so"); err == nil || !strings.Contains(complaints, "/nowhere.so") {
		t.Errorf("with ANNALS_CHDB naming nothing: %v, %q", err, complaints)
	}
}
