package embeddedtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// one is the engine of this test binary.
var one = sync.OnceValues(startClickHouse)

// ClickHouse gives the address (host:port) and the credentials of an embedded
// ClickHouse that all tests of this test binary share; it is started at the
// first call and dies with the binary. The test is skipped when the library is
// not on this machine. A test works in a database of its own: see Database.
func ClickHouse(t testing.TB) (addr, user, password string) {
	t.Helper()
	c, err := one()
	if errors.Is(err, embedded.ErrNoClickHouseEngine) {
		t.Skipf("needs the embedded ClickHouse: %v", err)
	}
	if err != nil {
		t.Fatalf("start ClickHouse for tests: %v", err)
	}
	return c.Addr(), clickHouseUser, clickHousePassword
}

const (
	clickHouseUser     = "annals"
	clickHousePassword = "test only, not a secret"
)

// Database makes a fresh database in the shared engine and returns its name;
// it is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	addr, user, password := ClickHouse(t)
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, it panics instead
	name := "test_" + hex.EncodeToString(b[:])
	Exec(t, addr, user, password, "CREATE DATABASE "+name)
	t.Cleanup(func() { Exec(t, addr, user, password, "DROP DATABASE "+name+" SYNC") })
	return name
}

// Exec runs one statement by plain HTTP and returns its result as text.
func Exec(t testing.TB, addr, user, password, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", strings.NewReader(sql))
	if err != nil {
		t.Fatalf("make request: %v", err)
	}
	req.SetBasicAuth(user, password)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("run %q: %v", sql, err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("run %q: %s: %s", sql, resp.Status, body)
	}
	return string(body)
}

// IgnoreClickHouse are goleak's options for a package whose tests use the
// shared engine, which lives until the test binary ends.
func IgnoreClickHouse() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/fx-risk-ai/annals/internal/embedded.(*ClickHouse).supervise"),
		goleak.IgnoreAnyFunction("github.com/fx-risk-ai/annals/internal/embedded.startChild.func1"),
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).writerDescriptor.func1"),
	}
}

func startClickHouse() (*embedded.ClickHouse, error) {
	if _, err := embedded.FindClickHouseLibrary(); err != nil {
		return nil, err
	}
	binary, err := BuildChdb()
	if err != nil {
		return nil, err
	}
	dir, err := scratch()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{
		Binary: binary, DataDir: filepath.Join(dir, "clickhouse"),
		User: clickHouseUser, Password: clickHousePassword,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
}

// BuildChdb builds cmd/annals-chdb once per test binary and returns its path.
// The compiler's cache makes every build but the first quick.
var BuildChdb = sync.OnceValues(func() (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "annals-chdb")
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("build annals-chdb: own source file unknown")
	}
	root := filepath.Join(filepath.Dir(self), "..", "..", "..")
	if err := noticeSources(filepath.Join(root, "cmd", "annals-chdb")); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, "./cmd/annals-chdb")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build annals-chdb: %w: %s", err, out)
	}
	return path, nil
})

// noticeSources looks at the program's source files. go test remembers what a
// test has looked at, and so runs it again, instead of showing its old result,
// when one of them has changed.
func noticeSources(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("build annals-chdb: %w", err)
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("build annals-chdb: %w", err)
		}
	}
	return nil
}

// scratchPrefix and the owner's process id name a scratch folder, so that the
// next test binary can remove those whose owner is gone: nothing runs at the
// end of a test binary in which this one could be removed.
const scratchPrefix = "annals-embeddedtest-"

var scratch = sync.OnceValues(func() (string, error) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), scratchPrefix+"*"))
	if err != nil {
		return "", fmt.Errorf("look for old scratch folders: %w", err)
	}
	for _, dir := range old {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), scratchPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		_ = os.RemoveAll(dir) // another run may be removing it too
	}
	dir, err := os.MkdirTemp("", scratchPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("make scratch folder: %w", err)
	}
	return dir, nil
})
