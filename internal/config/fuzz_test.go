package config_test

import (
	"errors"
	"testing"

	"github.com/fx-risk-ai/annals/internal/config"
)

// FuzzLoad feeds arbitrary files: reading one must end, never panic, and give
// either settings that are valid or problems that say where they stand.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		full, "", "kafka: {brokers: [a:1, b:2]}\n", "a: &x [*x]\n", "? [a]\n: b\n", "kafka: |\n  text\n",
		"archive:\n  cut:\n    bytes: 9e99GiB\n", "\ufeffweb:\n", "web: {listen: \"127.0.0.1:1\"}}\n", "- - - -\n", "%YAML 1.2\n---\nweb:\n...\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		cfg, _, err := load(t, string(content))
		if err != nil {
			var problem *config.Problem
			if !errors.As(err, &problem) || problem.Message == "" {
				t.Fatalf("not a problem with a message: %v", err)
			}
			return
		}
		if _, err := cfg.Validate(); err != nil {
			t.Fatalf("accepted settings are not valid: %v", err)
		}
	})
}
