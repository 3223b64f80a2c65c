package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// How long a start and a clean stop may take on a busy machine.
const (
	startTime = 60 * time.Second
	stopTime  = 60 * time.Second
)

// Options say what to start.
type Options struct {
	// DataDir holds the embedded engines. Empty: a folder of the test's own.
	DataDir string
	// Args come after `annals up` and the flags for the data folder and ports.
	Args []string
	// Env is added to the environment, as NAME=value.
	Env []string
	// Wrap, if set, are a program and its arguments that start annals.
	Wrap []string
}

// Instance is a running `annals up`.
type Instance struct {
	Programs *Programs
	DataDir  string
	Up       embedded.UpFile // as it was when the process was ready

	options Options
	command *exec.Cmd
	log     string // file with what the process says
	ended   chan struct{}
	err     error // of the process, once ended
}

// Start runs `annals up` on free ports and waits until it is ready. The test's
// end stops it.
func (p *Programs) Start(t testing.TB, o Options) *Instance {
	t.Helper()
	if o.DataDir == "" {
		o.DataDir = filepath.Join(t.TempDir(), "data")
	}
	i, err := p.Launch(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("annals up said at last:\n%s", i.Tail(40))
		}
		if err := i.Shut(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return i
}

// Launch is Start without a test; somebody has to call Shut.
func (p *Programs) Launch(o Options) (*Instance, error) {
	i := &Instance{Programs: p, DataDir: o.DataDir, options: o}
	if err := i.spawn(); err != nil {
		return nil, err
	}
	if err := i.ready(); err != nil {
		return nil, errors.Join(err, i.kill())
	}
	return i, nil
}

// Again starts the same instance anew, after Stop or Kill.
func (i *Instance) Again(t testing.TB, args ...string) {
	t.Helper()
	if len(args) > 0 {
		i.options.Args = args
	}
	if err := i.spawn(); err != nil {
		t.Fatal(err)
	}
	if err := i.ready(); err != nil {
		t.Fatal(err)
	}
}

func (i *Instance) spawn() error {
	args := []string{"up", "--data-dir", i.DataDir}
	for _, engine := range []string{"kafka", "s3", "clickhouse", "web"} {
		args = append(args, "--"+engine+"-listen", "127.0.0.1:0")
	}
	args = append(append([]string{i.Programs.Path("annals")}, args...), i.options.Args...)
	args = append(append([]string{}, i.options.Wrap...), args...)
	if err := os.MkdirAll(i.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	i.log = filepath.Join(filepath.Dir(i.DataDir), filepath.Base(i.DataDir)+".log")
	log, err := os.OpenFile(i.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	i.command = exec.Command(args[0], args[1:]...)
	i.command.Env = append(os.Environ(), i.options.Env...)
	i.command.Stdout, i.command.Stderr = log, log
	if err := i.command.Start(); err != nil {
		return fmt.Errorf("start annals up: %w", err)
	}
	i.ended = make(chan struct{})
	go func() {
		i.err = i.command.Wait()
		close(i.ended)
	}()
	return nil
}

// ready waits for the up file of this very process.
func (i *Instance) ready() error {
	deadline := time.Now().Add(startTime)
	for time.Now().Before(deadline) {
		up, err := embedded.ReadUpFile(i.DataDir)
		switch {
		case err == nil && up.PID == i.PID():
			i.Up = up
			return nil
		case err != nil && !errors.Is(err, embedded.ErrNotUp) && !errors.Is(err, embedded.ErrStaleUpFile):
			return err
		}
		select {
		case <-i.ended:
			return fmt.Errorf("annals up ended before it was ready: %v\n%s", i.err, i.Tail(40))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("annals up was not ready within %s\n%s", startTime, i.Tail(40))
}

// PID is the process's id.
func (i *Instance) PID() int { return i.command.Process.Pid }

// Ended is closed when the process has ended.
func (i *Instance) Ended() <-chan struct{} { return i.ended }

// Stop interrupts the process, as Ctrl-C does, and fails the test unless it
// ends well, leaves no up file, and no process of its own.
func (i *Instance) Stop(t testing.TB) {
	t.Helper()
	children := Descendants(i.PID())
	if err := i.Shut(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(i.DataDir, embedded.UpFileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the up file after a clean stop: %v", err)
	}
	for _, pid := range children {
		if alive(pid) {
			t.Errorf("process %d outlives annals up", pid)
		}
	}
}

// Shut stops the process if it still runs.
func (i *Instance) Shut() error {
	select {
	case <-i.ended:
		return nil
	default:
	}
	if err := i.command.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("interrupt annals up: %w", err)
	}
	select {
	case <-i.ended:
		if i.err != nil {
			return fmt.Errorf("annals up, interrupted: %w\n%s", i.err, i.Tail(40))
		}
		return nil
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("annals up did not stop within %s\n%s", stopTime, i.Tail(40)), i.kill())
	}
}

// Kill ends the process and everything it started with SIGKILL, all at once,
// and waits until all are gone.
func (i *Instance) Kill(t testing.TB) {
	t.Helper()
	if err := i.kill(); err != nil {
		t.Fatal(err)
	}
}

func (i *Instance) kill() error {
	all := append([]int{i.PID()}, Descendants(i.PID())...)
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	<-i.ended
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		gone := true
		for _, pid := range all {
			gone = gone && !alive(pid)
		}
		if gone {
			return nil
		}
	}
	return fmt.Errorf("processes %v were killed and are still there", all)
}

// Child gives the id of a running child by a word of its command line; the
// test fails if there is none.
func (i *Instance) Child(t testing.TB, word string) int {
	t.Helper()
	for _, pid := range Descendants(i.PID()) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(line), word) {
			return pid
		}
	}
	t.Fatalf("annals up has no child %q", word)
	return 0
}

// Descendants are the processes below one, as /proc tells.
func Descendants(pid int) []int {
	var list []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		line, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended meanwhile
		}
		for _, word := range strings.Fields(string(line)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			list = append(append(list, child), Descendants(child)...)
		}
	}
	return list
}

// alive tells whether a process runs; one that only waits to be reaped by its
// parent does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// Log is everything that the process has said since its start.
func (i *Instance) Log() string {
	raw, err := os.ReadFile(i.log)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Tail is the end of Log, in lines; what it says of requests is left out.
func (i *Instance) Tail(lines int) string {
	all := slices.DeleteFunc(strings.Split(strings.TrimRight(i.Log(), "\n"), "\n"), func(line string) bool {
		return strings.Contains(line, `"msg":"request answered"`)
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Says waits until the process has said something.
func (i *Instance) Says(t testing.TB, text string, within time.Duration) {
	t.Helper()
	embeddedtest.Eventually(t, within, func() error {
		if !strings.Contains(i.Log(), text) {
			return fmt.Errorf("annals up has not said %q", text)
		}
		return nil
	})
}

// NeedsClickHouse skips a test where the embedded ClickHouse is not installed.
func NeedsClickHouse(t testing.TB) {
	t.Helper()
	if _, err := embedded.FindClickHouseLibrary(); err != nil {
		t.Skip(err)
	}
}

// DemoYear gives the flags for one year of rates and nothing live.
func DemoYear() []string { return []string{"--demo", "--demo-years", "1", "--demo-no-live"} }
