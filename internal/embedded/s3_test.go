package embedded_test

import (
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

func startS3(t testing.TB, opts embedded.S3Options) *embedded.S3 {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.AccessKey == "" {
		opts.AccessKey, opts.SecretKey = "annals", "secret"
	}
	if opts.Bucket == "" {
		opts.Bucket = "annals"
	}
	if opts.DataDir == "" {
		opts.DataDir = t.TempDir()
	}
	s, err := embedded.StartS3(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
