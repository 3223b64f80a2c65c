package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is built once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "annals-demo")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "annals-demo")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			code = 1
		}
	}
	os.Exit(code)
}

// annalsDemo prepares a command of the built program.
func annalsDemo(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DEMO_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// upFile writes a broker's connection as a running stack does.
func upFile(t *testing.T, brokers []string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"kafka": map[string]any{"brokers": brokers, "mechanism": "SCRAM-SHA-256", "user": user, "password": password}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "up.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var loaded = regexp.MustCompile(`history (loaded|found): ([0-9,]+) days, ([0-9,]+) records`)

// Everything is loaded once, by four processes; a second start finds it.
func TestAllLoadsOnce(t *testing.T) {
	up := upFile(t, broker(t))
	for i, what := range []string{"first", "second"} {
		var out bytes.Buffer
		cmd := annalsDemo(t, "all", "--up-file", up, "--from", "2023-10-02", "--to", "2024-01-05", "--live-interval", "20ms", "--once")
		cmd.Stderr = &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s start: %v\n%s", what, err, &out)
		}
		found := loaded.FindStringSubmatch(out.String())
		// 63 days of 30 rates, 4 live days of 30: rates twice, volatilities
		// from a currency's 21st rate on, three exposures a day, some alerts.
		if found == nil || found[1] != []string{"loaded", "found"}[i] || found[2] != "63" {
			t.Fatalf("%s start said:\n%s", what, &out)
		}
		n, err := strconv.Atoi(strings.ReplaceAll(found[3], ",", ""))
		if history, all := 63*30*2+(63-20)*30+63*3, 67*30*2+(67-20)*30+67*3; err != nil || n < history || n > all+100 {
			t.Errorf("%s start: %s records, want %d to some more than %d", what, found[3], history, all)
		}
		if !strings.Contains(out.String(), "all 4 live days have arrived (run 1)") {
			t.Errorf("%s start did not say that the live days are over:\n%s", what, &out)
		}
	}
	var out bytes.Buffer
	cmd := annalsDemo(t, "again", "--up-file", up, "--from", "2023-10-02", "--to", "2024-01-05", "--live-interval", "10ms")
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "run 2, 2024-01-05: 4 of 4 days") {
		t.Fatalf("again: %v\n%s", err, &out)
	}
}

// A killed service is started again, an interrupted program stops its services.
func TestAllRestartsAndStops(t *testing.T) {
	up := upFile(t, broker(t))
	cmd := annalsDemo(t, "all", "--up-file", up, "--from", "2022-06-01", "--to", "2024-01-05", "--live-interval", "100ms", "--log-level", "info")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			lines <- in.Text()
		}
	}()
	await := func(what string) {
		t.Helper()
		for deadline := time.After(60 * time.Second); ; {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("the program ended before it said %q", what)
				}
				if strings.Contains(line, what) {
					return
				}
			case <-deadline:
				t.Fatalf("the program did not say %q", what)
			}
		}
	}
	await(`"component":"risk-engine"`)
	victim := children(t, cmd.Process.Pid)["risk-engine"]
	if victim == 0 {
		t.Fatal("there is no process risk-engine")
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await("service ended, starting it again")
	await("live days have arrived")
	services := children(t, cmd.Process.Pid)
	if len(services) != 4 || services["risk-engine"] == victim {
		t.Errorf("the services are %v, of which %d was killed", services, victim)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range lines { // to the end, as Wait asks
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
	for name, pid := range services {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("%s (process %d) is still there", name, pid)
		}
	}
}

// A service whose supervisor is killed stops by itself.
func TestServiceStopsWithoutSupervisor(t *testing.T) {
	up := upFile(t, broker(t))
	cmd := annalsDemo(t, "rate-enricher", "--supervised", "--up-file", up)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the service ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the service goes on")
	}
}

func TestBadInputIsExplained(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "up.json")
	if err := os.WriteFile(empty, []byte(`{"kafka":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no connection": {[]string{"all"}, "give --brokers, DEMO_KAFKA_BROKERS or --up-file"},
		"not running":   {[]string{"all", "--up-file", "/nowhere/up.json"}, "is the stack running?"},
		"empty up file": {[]string{"all", "--up-file", empty}, "names no kafka.brokers"},
		"no password":   {[]string{"all", "--brokers", "127.0.0.1:1", "--user", "u"}, "set DEMO_KAFKA_PASSWORD"},
		"no day":        {[]string{"all", "--brokers", "127.0.0.1:1", "--from", "soon"}, "no day of the form 2006-01-02"},
		"days reversed": {[]string{"all", "--brokers", "127.0.0.1:1", "--from", "2010-01-01", "--to", "2009-01-01"}, "is before the first"},
		"mechanism":     {[]string{"risk-engine", "--brokers", "127.0.0.1:1", "--user", "u", "--password-file", empty, "--mechanism", "NTLM"}, "give SCRAM-SHA-256"},
		"command":       {[]string{"rate-enrichr"}, "unexpected argument rate-enrichr"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			path, err := program()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(ctx, path, c.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %v, said %q, want %q", c.args, err, out, c.want)
			}
		})
	}
}
