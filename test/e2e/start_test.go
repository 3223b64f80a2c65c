package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/test/instance"
)

// TestOccupiedPortNamesTheFlag starts on a port that is taken, for each port.
func TestOccupiedPortNamesTheFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--kafka-listen", "--s3-listen", "--clickhouse-listen", "--web-listen"} {
		if flag == "--clickhouse-listen" || flag == "--web-listen" {
			instance.NeedsClickHouse(t)
		}
		args := []string{"up", "--data-dir", filepath.Join(t.TempDir(), "data")}
		for _, other := range []string{"--kafka-listen", "--s3-listen", "--clickhouse-listen", "--web-listen"} {
			address := "127.0.0.1:0"
			if other == flag {
				address = taken.Addr().String()
			}
			args = append(args, other, address)
		}
		said := programs.Annals(t, args...)
		if said.Code == 0 || !strings.Contains(said.Err, flag) || !strings.Contains(said.Err, taken.Addr().String()) {
			t.Errorf("%s on a taken port: code %d, %s", flag, said.Code, said.Err)
		}
	}
}

// TestConfigurationMistakesAreShown starts with what is no configuration.
func TestConfigurationMistakesAreShown(t *testing.T) {
	for name, c := range map[string]struct{ file, want, also string }{
		"unknown key":  {"archive:\n  cut:\n    byts: 64MiB\n", ":3:", "bytes"},
		"no number":    {"archive:\n  cut:\n    bytes: many\n", ":3:", "archive.cut.bytes"},
		"out of range": {"archive:\n  cut:\n    bytes: 1B\n", ":3:", "64KiB"},
		"not YAML":     {"archive: [\n", "annals.yaml:", ""},
	} {
		file := filepath.Join(t.TempDir(), "annals.yaml")
		if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"up", "--config", file, "--data-dir", filepath.Join(t.TempDir(), "data")}, {"config", "check", file}} {
			said := programs.Annals(t, args...)
			if said.Code != 4 || !strings.Contains(said.Err, c.want) || !strings.Contains(said.Err, c.also) {
				t.Errorf("%s, annals %s: code %d, want %q and %q in: %s", name, args[0], said.Code, c.want, c.also, said.Err)
			}
		}
	}
}

// TestSecondStartOnTheSameFolderIsRefused asks that the running one is named.
func TestSecondStartOnTheSameFolderIsRefused(t *testing.T) {
	i := year(t)
	said := programs.Annals(t, "up", "--data-dir", i.DataDir)
	if said.Code != 1 || !strings.Contains(said.Err, i.DataDir) {
		t.Errorf("code %d: %s", said.Code, said.Err)
	}
}

// TestAskingWithoutAServer asks when nothing runs.
func TestAskingWithoutAServer(t *testing.T) {
	said := programs.Annals(t, "coverage", "--server", "http://127.0.0.1:1")
	if said.Code != 1 || !strings.Contains(said.Err, "127.0.0.1:1") || !strings.Contains(said.Err, "annals up") {
		t.Errorf("code %d: %s", said.Code, said.Err)
	}
}
