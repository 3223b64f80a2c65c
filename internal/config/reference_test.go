package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/config"
)

var update = flag.Bool("update", false, "write the reference instead of comparing it")

var referencePath = filepath.Join("..", "..", "docs", "guides", "configuration.md")

// TestReferenceIsCurrent fails when a setting was changed without "make gen".
func TestReferenceIsCurrent(t *testing.T) {
	want := config.Reference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(referencePath), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(referencePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/guides/configuration.md is stale: run make gen")
	}
}

// TestEveryOptionIsDocumented looks into the reference, where a reader would.
func TestEveryOptionIsDocumented(t *testing.T) {
	lines := strings.Split(config.Reference(), "\n")
	options := 0
	for i, line := range lines {
		if !strings.HasPrefix(line, "- **`") {
			continue
		}
		options++
		if i+2 >= len(lines) || len(strings.TrimSpace(lines[i+2])) < 5 ||
			!strings.Contains(lines[i+1], "ANNALS_") && !strings.Contains(lines[i+1], "In the configuration file only") {
			t.Errorf("no description: %s", line)
		}
		if strings.Contains(line, "size;") || strings.Contains(line, "length of time;") {
			if !strings.Contains(line, "` to `") {
				t.Errorf("no range: %s", line)
			}
		}
	}
	if options < 50 {
		t.Errorf("only %d options: is the reference cut?", options)
	}
}
