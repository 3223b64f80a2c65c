package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

const (
	testUser     = "someone"
	testPassword = "a password: with ; and 'quotes' and ü"
)

// startClickHouse starts an engine of the test's own, on dir.
func startClickHouse(t *testing.T, dir string) *embedded.ClickHouse {
	t.Helper()
	c, err := tryClickHouse(t, dir)
	if errors.Is(err, embedded.ErrNoClickHouseEngine) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func tryClickHouse(t *testing.T, dir string) (*embedded.ClickHouse, error) {
	t.Helper()
	if _, err := embedded.FindClickHouseLibrary(); err != nil {
		return nil, err
	}
	binary, err := embeddedtest.BuildChdb()
	if err != nil {
		return nil, err
	}
	return embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{
		Binary: binary, DataDir: dir, User: testUser, Password: testPassword,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
}

func sql(t testing.TB, c *embedded.ClickHouse, statement string) string {
	t.Helper()
	return strings.TrimSpace(embeddedtest.Exec(t, c.Addr(), testUser, testPassword, statement))
}

// awaitAnother waits until another child than pid answers.
func awaitAnother(t testing.TB, c *embedded.ClickHouse, pid int) (now int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		now, _ := c.PID()
		if now != 0 && now != pid && c.Health(t.Context()) == nil {
			return now
		}
		if time.Now().After(deadline) {
			t.Fatalf("no other child than %d after 30 s: %v", pid, c.Health(t.Context()))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestClickHouseKilled kills the child again and again in the middle of
// inserts. Every time it must come back by itself at the same address, open
// its data, and have every insert that was answered.
func TestClickHouseKilled(t *testing.T) {
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, current) }) // after the engine's end
	c := startClickHouse(t, t.TempDir())
	addr := c.Addr()
	sql(t, c, "CREATE TABLE counted (batch UInt32, i UInt32, text String) ENGINE = ReplacingMergeTree ORDER BY (batch, i) SETTINGS old_parts_lifetime = 1")
	const kills, rows = 5, 3000
	answered, batch := map[int]bool{}, 0
	for range kills {
		pid, _ := c.PID()
		killed := make(chan error, 1)
		time.AfterFunc(time.Duration(rand.IntN(250))*time.Millisecond, func() { killed <- syscall.Kill(pid, syscall.SIGKILL) })
		for dead := false; !dead; {
			select {
			case err := <-killed:
				if err != nil {
					t.Fatalf("kill %d: %v", pid, err)
				}
				dead = true // the batch below waits for the next child
			default:
			}
			batch++
			answered[batch] = insertBatch(t.Context(), addr, batch, rows) == nil
		}
		awaitAnother(t, c, pid)
	}
	if c.Addr() != addr {
		t.Fatalf("the address moved from %s to %s", addr, c.Addr())
	}
	have := map[int]bool{}
	for line := range strings.Lines(sql(t, c, "SELECT batch FROM counted GROUP BY batch HAVING uniqExact(i) = "+strconv.Itoa(rows))) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		have[n] = true
	}
	failed := 0
	for n, ok := range answered {
		if !ok {
			failed++
			continue
		}
		if !have[n] {
			t.Errorf("batch %d was answered and is not there in full", n)
		}
	}
	if got := sql(t, c, "CHECK TABLE counted SETTINGS check_query_single_value_result = 1"); got != "1" {
		t.Errorf("the table's check says %q", got)
	}
	if _, starts := c.PID(); starts != kills+1 {
		t.Errorf("started %d times for %d kills", starts, kills)
	}
	t.Logf("%d kills, %d batches, %d of them failed, %d there in full", kills, len(answered), failed, len(have))
}

func insertBatch(ctx context.Context, addr string, batch, rows int) error {
	var body bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&body, "%d\t%d\t%s\n", batch, i, strings.Repeat("x", 100))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/?query=INSERT+INTO+counted+FORMAT+TSV", &body)
	if err != nil {
		return err
	}
	req.SetBasicAuth(testUser, testPassword)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// TestClickHouseCrash holds that a crash is told in a few lines: which, and not
// thousands of lines of stack.
func TestClickHouseCrash(t *testing.T) {
	var log bytes.Buffer
	binary, err := embeddedtest.BuildChdb()
	if err != nil {
		t.Fatal(err)
	}
	c, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{
		Binary: binary, DataDir: t.TempDir(), User: testUser, Password: testPassword,
		Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	if errors.Is(err, embedded.ErrNoClickHouseEngine) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := c.PID()
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil { // Go's runtime dumps every stack
		t.Fatal(err)
	}
	awaitAnother(t, c, pid)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	text := log.String() // nobody writes any more
	if !strings.Contains(text, "embedded clickhouse died") || !strings.Contains(text, "it said: SIGQUIT") {
		t.Errorf("the log does not say why the child died:\n%.2000s", text)
	}
	if n := strings.Count(text, "\n"); n > 70 {
		t.Errorf("the log has %d lines", n)
	}
}

// TestClickHouseKeepsData stops the engine cleanly and opens its data again.
// On the way it prints the figures that the design counts with.
func TestClickHouseKeepsData(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	c := startClickHouse(t, dir)
	first := time.Since(began)
	pid, _ := c.PID()
	t.Logf("start %v, resident when idle %s", first.Round(time.Millisecond), resident(t, pid))
	sql(t, c, "CREATE DATABASE kept")
	sql(t, c, "CREATE TABLE kept.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	sql(t, c, "INSERT INTO kept.t SELECT number FROM numbers(100000)")
	began = time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	stop := time.Since(began)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("the child %d is still there after Close: %v", pid, err)
	}
	began = time.Now()
	c = startClickHouse(t, dir)
	t.Logf("stop %v, start again %v", stop.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if got := sql(t, c, "SELECT count(), sum(a) FROM kept.t"); got != "100000\t4999950000" {
		t.Fatalf("after a restart: %s", got)
	}
	if got := sql(t, c, "SELECT version()"); got != c.Version() || got == "" {
		t.Fatalf("Version() is %q, the engine says %q", c.Version(), got)
	}
}

func resident(t testing.TB, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

// TestClickHouseBrokenPart damages a part as a power cut would. The engine
// must start and serve the rest.
func TestClickHouseBrokenPart(t *testing.T) {
	dir := t.TempDir()
	c := startClickHouse(t, dir)
	sql(t, c, "CREATE TABLE torn (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
	sql(t, c, "SYSTEM STOP MERGES torn")
	for i := range 5 {
		sql(t, c, fmt.Sprintf("INSERT INTO torn SELECT number + %d, 'x' FROM numbers(1000)", i*1000))
	}
	part := sql(t, c, "SELECT path FROM system.parts WHERE table = 'torn' AND active ORDER BY name LIMIT 1")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(part, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", part, err)
	}
	for _, f := range files {
		if err := os.Truncate(f, 0); err != nil {
			t.Fatal(err)
		}
	}
	c = startClickHouse(t, dir)
	if got := sql(t, c, "SELECT count() FROM torn"); got != "4000" {
		t.Fatalf("with one of five parts torn %s rows are served, want 4000", got)
	}
}

// TestClickHouseRefusals names what is wrong when it cannot start.
func TestClickHouseRefusals(t *testing.T) {
	current := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, current) }) // after the engine's end
	dir := t.TempDir()
	c := startClickHouse(t, dir)
	log := slog.New(slog.DiscardHandler)
	binary, err := embeddedtest.BuildChdb()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // only held
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    embedded.ClickHouseOptions
		is   error
		says string
	}{
		"no library":     {o: embedded.ClickHouseOptions{Library: "/nowhere/libchdb.so"}, is: embedded.ErrNoClickHouseEngine, says: "/nowhere/libchdb.so"},
		"no program":     {o: embedded.ClickHouseOptions{Binary: "/nowhere/annals-chdb"}, is: embedded.ErrNoClickHouseEngine, says: "/nowhere/annals-chdb"},
		"not a library":  {o: embedded.ClickHouseOptions{Library: text}, says: text},
		"port taken":     {o: embedded.ClickHouseOptions{Listen: taken.Addr().String()}, is: embedded.ErrPortInUse, says: taken.Addr().String()},
		"not loopback":   {o: embedded.ClickHouseOptions{Listen: "0.0.0.0:0"}, is: embedded.ErrNotLoopback, says: "0.0.0.0"},
		"not an address": {o: embedded.ClickHouseOptions{Listen: "8123"}, says: "8123"},
		"little memory":  {o: embedded.ClickHouseOptions{MaxMemory: 1 << 20}, says: "--max-memory"},
		"not a folder":   {o: embedded.ClickHouseOptions{DataDir: text}, says: text},
	} {
		if c.o.DataDir == "" {
			c.o.DataDir = t.TempDir()
		}
		if c.o.Binary == "" {
			c.o.Binary = binary
		}
		c.o.User, c.o.Password, c.o.Logger = testUser, testPassword, log
		started, err := embedded.StartClickHouse(t.Context(), c.o)
		if err == nil {
			t.Errorf("%s: it started", name)
			if err := started.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v naming %s", name, err, c.is, c.says)
		}
	}
	// A second process on the same folder waits for the first to go; a start
	// that is given up meanwhile leaves nothing behind.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{Binary: binary, DataDir: dir, User: testUser, Password: testPassword, Logger: log}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second engine on the same folder: %v", err)
	}
	if err := c.Health(t.Context()); err != nil {
		t.Errorf("the first one after all this: %v", err)
	}
}

// TestFindClickHouseLibrary holds where the library is looked for.
func TestFindClickHouseLibrary(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("ANNALS_CHDB", "")
	t.Setenv("XDG_CACHE_HOME", cache)
	_, err := embedded.FindClickHouseLibrary()
	if !errors.Is(err, embedded.ErrNoClickHouseEngine) || !strings.Contains(err.Error(), "make engines") || !strings.Contains(err.Error(), "ANNALS_CHDB") {
		t.Errorf("without a library: %v", err)
	}
	want := filepath.Join(cache, "annals", "chdb-"+embedded.ChdbVersion, "libchdb.so")
	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := embedded.FindClickHouseLibrary(); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	t.Setenv("ANNALS_CHDB", filepath.Join(cache, "elsewhere.so"))
	if _, err := embedded.FindClickHouseLibrary(); !errors.Is(err, embedded.ErrNoClickHouseEngine) || !strings.Contains(err.Error(), "elsewhere.so") {
		t.Errorf("with ANNALS_CHDB naming nothing: %v", err)
	}
}
