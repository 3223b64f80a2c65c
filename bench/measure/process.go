package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is a running process with its children.
type Program struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of Wait, once ended is closed
	stderr *tail

	peak    sync.WaitGroup
	unwatch context.CancelFunc
	mu      sync.Mutex
	most    int64 // bytes resident at once, all processes together
}

// Start runs a program whose every line on standard error goes to lines, if
// that is not nil. It ends when this process does.
func Start(cmd *exec.Cmd, lines func(string)) (*Program, error) {
	p := &Program{cmd: cmd, ended: make(chan struct{}), stderr: &tail{lines: lines}}
	cmd.Stdout, cmd.Stderr = io.Discard, p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	p.unwatch = cancel
	p.peak.Go(func() { p.watch(ctx) })
	return p, nil
}

// watch samples the resident memory of the tree every 100 ms.
func (p *Program) watch(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if used, err := Usage(p.cmd.Process.Pid); err == nil {
			p.mu.Lock()
			p.most = max(p.most, used.Resident)
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Resident is the most memory that was resident at once so far, in bytes.
func (p *Program) Resident() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// CPU is what the program and its children have used so far.
func (p *Program) CPU() (time.Duration, error) {
	used, err := Usage(p.cmd.Process.Pid)
	return used.CPU, err
}

// PID is the program's process.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the program has ended.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// Said is the last of what the program wrote on standard error.
func (p *Program) Said() string { return p.stderr.String() }

// Alive returns why the program is not running any more.
func (p *Program) Alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, errors.Join(errors.New("too early"), p.err), p.stderr)
	default:
		return nil
	}
}

// Stop asks the program to end, and after a while makes it.
func (p *Program) Stop() error {
	p.unwatch()
	p.peak.Wait()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill() // it may just have ended
		<-p.ended
		return fmt.Errorf("%s did not stop in 40 s\n%s", p.cmd.Path, p.stderr)
	}
	if p.err != nil {
		return fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, p.err, p.stderr)
	}
	return nil
}

// tail keeps the last of what a program said.
type tail struct {
	lines func(string)
	mu    sync.Mutex
	last  []string
	rest  []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.rest = append(t.rest, p...)
	var whole []string
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			break
		}
		whole, t.rest = append(whole, string(line)), rest
	}
	t.last = append(t.last, whole...)
	t.last = t.last[max(0, len(t.last)-15):]
	t.mu.Unlock()
	for _, line := range whole {
		if t.lines != nil {
			t.lines(line)
		}
	}
	return len(p), nil
}

// String gives the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.last, "\n")
}

// Used is what a tree of processes takes.
type Used struct {
	CPU      time.Duration // of living ones and of children that were waited for
	Resident int64         // bytes; pages that processes share count for each
}

const clockTick = 10 * time.Millisecond // USER_HZ is 100 on Linux for every architecture of ours

// Usage adds up a process and its descendants, as proc(5) has them.
func Usage(root int) (Used, error) {
	all, err := processes()
	if err != nil {
		return Used{}, err
	}
	if _, ok := all[root]; !ok {
		return Used{}, fmt.Errorf("process %d is gone", root)
	}
	children := map[int][]int{}
	for pid, one := range all {
		children[one.parent] = append(children[one.parent], pid)
	}
	var sum Used
	for todo := []int{root}; len(todo) > 0; {
		one := all[todo[0]]
		sum.CPU += one.CPU
		sum.Resident += one.Resident
		todo = append(todo[1:], children[todo[0]]...)
	}
	return sum, nil
}

// CPU is what one process has used so far, with children that it waited for: a read
// of one file, where Usage reads those of all processes. What is below a clock tick
// is in the next difference.
func CPU(pid int) (time.Duration, error) {
	one, err := readProcess(pid)
	return one.CPU, err
}

// Child finds the process that a process started of a program of that name.
func Child(parent int, name string) (int, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	for pid, one := range all {
		// The kernel keeps fifteen bytes of a name.
		if one.parent == parent && one.name == name[:min(15, len(name))] {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("process %d has no child %s", parent, name)
}

type process struct {
	Used
	parent int
	name   string
}

func processes() (map[int]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read /proc: %w", err)
	}
	all := map[int]process{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if one, err := readProcess(pid); err == nil { // else it has just ended
			all[pid] = one
		}
	}
	return all, nil
}

// readProcess reads what proc(5) has of one process.
func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, fmt.Errorf("read a process: %w", err)
	}
	// The name stands in parentheses and may hold anything.
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("process %d: its stat has no name", pid)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 22 {
		return process{}, fmt.Errorf("process %d: its stat has %d fields", pid, len(fields))
	}
	at := func(i int) int64 { // counted as in proc(5), from 1
		n, _ := strconv.ParseInt(fields[i-3], 10, 64) // the kernel's own numbers
		return n
	}
	return process{
		Used: Used{time.Duration(at(14)+at(15)+at(16)+at(17)) * clockTick, at(24) * int64(os.Getpagesize())}, parent: int(at(4)), name: string(stat[open+1 : end]),
	}, nil
}
