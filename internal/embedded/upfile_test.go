package embedded_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

func someUpFile() embedded.UpFile {
	return embedded.UpFile{
		Version: "v0.1.0", PID: os.Getpid(), StartedAt: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), Web: "http://127.0.0.1:8080",
		Kafka:      embedded.UpKafka{Embedded: true, Brokers: []string{"127.0.0.1:19092"}, ClusterID: "c", Mechanism: "SCRAM-SHA-256", User: "annals", Password: "p"},
		S3:         embedded.UpS3{Embedded: true, Endpoint: "http://127.0.0.1:19000", Region: "us-east-1", Bucket: "annals", Prefix: "archive", AccessKey: "annals", SecretKey: "s"},
		ClickHouse: &embedded.UpClickHouse{Embedded: true, URL: "http://127.0.0.1:18123", Database: "annals", User: "annals", Password: "p"},
	}
}

func lockDir(t *testing.T, dir string) *embedded.DataDirLock {
	t.Helper()
	l, err := embedded.LockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func unlock(t *testing.T, l *embedded.DataDirLock) {
	t.Helper()
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestUpFileLifeCycle(t *testing.T) {
	dir := t.TempDir()
	if _, err := embedded.ReadUpFile(dir); !errors.Is(err, embedded.ErrNotUp) || !strings.Contains(err.Error(), dir) {
		t.Errorf("nothing is up: %v", err)
	}
	l := lockDir(t, dir)
	want := someUpFile()
	for range 2 { // the second replaces the first
		if err := embedded.WriteUpFile(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := embedded.ReadUpFile(dir)
	want.Format = 1
	if a, b := asJSON(t, got), asJSON(t, want); err != nil || a != b {
		t.Errorf("read %s, %v, wrote %s", a, err, b)
	}
	fi, err := os.Stat(filepath.Join(dir, embedded.UpFileName))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", fi.Mode(), err)
	}
	unlock(t, l) // as the kernel does for a process that was killed
	if _, err := embedded.ReadUpFile(dir); !errors.Is(err, embedded.ErrStaleUpFile) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("its process has ended: %v", err)
	}
	l = lockDir(t, dir)
	for range 2 {
		if err := embedded.RemoveUpFile(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := embedded.ReadUpFile(dir); !errors.Is(err, embedded.ErrNotUp) {
		t.Errorf("after removal: %v", err)
	}
	unlock(t, l)
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUpFileRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		mode os.FileMode
		want string
	}{
		"others read": {`{"format":1}`, 0o644, "chmod 600"},
		"newer":       {`{"format":2}`, 0o600, "format 2"},
		"not JSON":    {`pid 12`, 0o600, "parse up file"},
	} {
		dir := t.TempDir()
		l := lockDir(t, dir)
		path := filepath.Join(dir, embedded.UpFileName)
		if err := errors.Join(os.WriteFile(path, []byte(c.body), c.mode), os.Chmod(path, c.mode)); err != nil { // whatever the umask
			t.Fatal(err)
		}
		if _, err := embedded.ReadUpFile(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		unlock(t, l)
	}
}

func TestDataDirHasOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	l := lockDir(t, dir)
	_, err := embedded.LockDataDir(dir)
	if !errors.Is(err, embedded.ErrDataDirInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second owner: %v", err)
	}
	if l.Unclean() {
		t.Error("a new directory was left unclean")
	}
	unlock(t, l)
	again := lockDir(t, dir)
	if again.Unclean() {
		t.Error("a clean stop was unclean")
	}
	unlock(t, again)
}

// TestDataDirKnowsAKill kills a process that holds the lock.
func TestDataDirKnowsAKill(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, childJob{Engine: "lock", Dir: dir})
	if _, err := embedded.LockDataDir(dir); !errors.Is(err, embedded.ErrDataDirInUse) || !strings.Contains(err.Error(), c.addr) {
		t.Errorf("held by process %s: %v", c.addr, err)
	}
	c.kill()
	l := lockDir(t, dir)
	if !l.Unclean() {
		t.Error("a kill was a clean stop")
	}
	unlock(t, l)
}

// TestDataDirLockIgnoresLookers: reading the up file looks at the lock, which
// must not keep a start from getting it.
func TestDataDirLockIgnoresLookers(t *testing.T) {
	dir := t.TempDir()
	unlock(t, lockDir(t, dir))
	if err := embedded.WriteUpFile(dir, someUpFile()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = embedded.ReadUpFile(dir) // stale or not, as it happens
			}
		}
	}()
	for range 20 {
		unlock(t, lockDir(t, dir))
	}
	close(stop)
	<-done
}
