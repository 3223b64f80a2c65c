package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

func TestCredentialsBelongToTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	first, err := embedded.LoadOrCreateCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := embedded.LoadOrCreateCredentials(dir)
	if err != nil || again != first {
		t.Errorf("the second load differs (%v)", err)
	}
	other, err := embedded.LoadOrCreateCredentials(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range []embedded.Credentials{first, other} {
		for _, secret := range []string{c.Kafka.Password, c.S3.SecretKey, c.ClickHouse.Password} {
			if len(secret) != 43 || seen[secret] {
				t.Errorf("secret of %d characters, seen before: %v", len(secret), seen[secret])
			}
			seen[secret] = true
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, embedded.CredentialsFile): 0o600} {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, fi.Mode().Perm(), want, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

func TestCredentialsAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	made := map[embedded.Credentials]int{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			c, err := embedded.LoadOrCreateCredentials(dir)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			made[c]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Errorf("16 at once got %d different credentials", len(made))
	}
}

func TestCredentialsRefusesWhatItCannotTrust(t *testing.T) {
	good := `{"version":1,"kafka":{"user":"u","password":"p"},"s3":{"access_key":"a","secret_key":"s"},"clickhouse":{"user":"u","password":"p"}}`
	for name, c := range map[string]struct {
		body string
		mode os.FileMode
		want string
	}{
		"good":          {good, 0o600, ""},
		"read only":     {good, 0o400, ""},
		"group reads":   {good, 0o640, "chmod 600"},
		"others read":   {good, 0o604, "chmod 600"},
		"newer":         {strings.Replace(good, ":1", ":2", 1), 0o600, "version 2"},
		"secret gone":   {strings.Replace(good, `"s"`, `""`, 1), 0o600, "s3.secret_key is empty"},
		"not JSON":      {"kafka: x", 0o600, "parse credentials"},
		"cut":           {good[:40], 0o600, "parse credentials"},
		"far too large": {good + strings.Repeat(" ", 100_000), 0o600, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, embedded.CredentialsFile)
			if err := errors.Join(os.WriteFile(path, []byte(c.body), c.mode), os.Chmod(path, c.mode)); err != nil { // whatever the umask
				t.Fatal(err)
			}
			_, err := embedded.LoadOrCreateCredentials(dir)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if wide := c.mode&0o077 != 0; errors.Is(err, embedded.ErrWidePermissions) != wide {
				t.Errorf("got %v for mode %v", err, c.mode)
			}
			if err != nil && strings.Contains(fmt.Sprint(err), good[20:60]) {
				t.Error("the error shows the file's contents")
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != c.body {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}
