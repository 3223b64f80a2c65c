package deploy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/config"
)

// secretFile matches what a sample says where a secret lies.
var secretFile = regexp.MustCompile(`/run/secrets/[a-z0-9.-]+`)

// loadSample reads a sample strictly, with the secret files it names put into a
// folder of the test.
func loadSample(t *testing.T, path string, environ ...string) (config.Config, []config.Warning) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, named := range secretFile.FindAll(content, -1) {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(string(named))), []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content = bytes.ReplaceAll(content, []byte("/run/secrets"), []byte(dir))
	placed := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(placed, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := config.Load(placed, environ)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return cfg, warnings
}

// TestSamplesAreValid reads every sample as annals would, and holds together
// what they show: every way to authenticate must be among them.
func TestSamplesAreValid(t *testing.T) {
	paths, err := filepath.Glob("samples/*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d samples, %v", len(paths), err)
	}
	shown := map[string]bool{}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			cfg, warnings := loadSample(t, path, secretsOutsideFiles[filepath.Base(path)]...)
			for _, w := range warnings {
				if filepath.Base(path) != "compose.yaml" {
					t.Errorf("warning: %s", w)
				}
			}
			shown[cfg.Kafka.SASL.Mechanism] = true
			if cfg.S3.Configured() {
				shown["s3 "+cfg.S3.Credentials] = true
				shown["s3 "+cfg.S3.Addressing] = true
			}
			shown["mtls"] = shown["mtls"] || cfg.Kafka.TLS.CertFile != ""
			shown["token file"] = shown["token file"] || cfg.Kafka.SASL.TokenFile != ""
			shown["clickhouse tls"] = shown["clickhouse tls"] || cfg.ClickHouse.TLS.CAFile != ""
			if filepath.Base(path) == "production.yaml" || filepath.Base(path) == "compose.yaml" {
				if err := cfg.RequireEngines(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, want := range []string{
		"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "mtls", "token file",
		"s3 static", "s3 env", "s3 role", "s3 auto", "s3 path", "s3 virtual-host", "clickhouse tls",
	} {
		if !shown[want] {
			t.Errorf("no sample shows %q", want)
		}
	}
}

// secretsOutsideFiles is the environment that a sample's first lines ask for.
var secretsOutsideFiles = map[string][]string{
	"kafka-plain.yaml": {"ANNALS_KAFKA_SASL_PASSWORD=secret"},
	"compose.yaml":     {"ANNALS_S3_SECRET_KEY=secret", "ANNALS_CLICKHOUSE_PASSWORD=secret"},
}

// TestSamplesHoldNoSecrets: a sample is copied, so it must show the right way.
func TestSamplesHoldNoSecrets(t *testing.T) {
	paths, err := filepath.Glob("samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			key, value, found := strings.Cut(strings.TrimSpace(line), ":")
			sensitive := regexp.MustCompile(`password|secret|token`).MatchString(key) && !strings.HasPrefix(key, "#")
			if found && sensitive && !strings.HasSuffix(key, "_file") && !strings.HasSuffix(key, "_url") {
				t.Errorf("%s: %s holds %q", path, key, value)
			}
		}
	}
}
