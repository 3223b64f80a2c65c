package embedded_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// After an unclean stop, what the last minute left in part is gone from the
// store, and kept aside; everything else is there. After a clean one nothing is
// looked at.
func TestS3SetsTornObjectsAside(t *testing.T) {
	dir := t.TempDir()
	path := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	s := startS3(t, embedded.S3Options{DataDir: dir})
	b := newBucket(t, s.Endpoint(), "annals", "secret", "annals")
	const body = "bytes that were written"
	for _, key := range []string{"a/whole", "a/cut", "a/.b/empty", "plain", "old", "a/none"} {
		b.mustPut(t, key, body)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage := func() {
		for key, size := range map[string]int64{"a/cut": 7, "a/.b/empty": 0, "old": 3} {
			if err := os.Truncate(path("annals", key), size); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Removexattr(path("annals", "plain"), "user.etag"); err != nil {
			t.Fatal(err)
		}
		hourAgo := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path("annals", "old"), hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	s = startS3(t, embedded.S3Options{DataDir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path(".torn")); !os.IsNotExist(err) {
		t.Fatalf("after a clean stop objects were set aside: %v", err)
	}
	if err := os.WriteFile(path("running"), nil, 0o600); err != nil { // as a loss of power leaves it
		t.Fatal(err)
	}
	s = startS3(t, embedded.S3Options{DataDir: dir})
	b = newBucket(t, s.Endpoint(), "annals", "secret", "annals")
	for key, there := range map[string]bool{"a/whole": true, "a/none": true, "old": true, "a/cut": false, "a/.b/empty": false, "plain": false} {
		if got, _, err := b.get(t, key, ""); (err == nil) != there || key == "a/whole" && got != body {
			t.Errorf("%s is there: %v, want %v: %q", key, err == nil, there, got)
		}
	}
	if kept, err := os.ReadFile(path(".torn", "annals", "a", "cut")); err != nil || !strings.HasPrefix(body, string(kept)) || len(kept) != 7 {
		t.Errorf("what was set aside is not kept: %q, %v", kept, err)
	}
	if _, err := b.put(t, "a/cut", body, ifNoneMatch); err != nil {
		t.Errorf("create what was torn: %v", err)
	}
}
