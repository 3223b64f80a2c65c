package main

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

// program is a running process with its children.
type program struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of Wait, once ended is closed
	stderr *tail

	peak    sync.WaitGroup
	unwatch context.CancelFunc
	mu      sync.Mutex
	most    int64 // bytes resident at once, all processes together
}

// start runs a program whose every line on standard error goes to lines, if
// that is not nil. It ends when this process does.
func start(cmd *exec.Cmd, lines func(string)) (*program, error) {
	p := &program{cmd: cmd, ended: make(chan struct{}), stderr: &tail{lines: lines}}
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
func (p *program) watch(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if used, err := usage(p.cmd.Process.Pid); err == nil {
			p.mu.Lock()
			p.most = max(p.most, used.resident)
			p.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// resident is the most memory that was resident at once so far, in bytes.
func (p *program) resident() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// cpu is what the program and its children have used so far.
func (p *program) cpu() (time.Duration, error) {
	used, err := usage(p.cmd.Process.Pid)
	return used.cpu, err
}

// alive returns why the program is not running any more.
func (p *program) alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w\n%s", p.cmd.Path, errors.Join(errors.New("too early"), p.err), p.stderr)
	default:
		return nil
	}
}

// stop asks the program to end, and after a while makes it.
func (p *program) stop() error {
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

// used is what a tree of processes takes.
type used struct {
	cpu      time.Duration // of living ones and of children that were waited for
	resident int64         // bytes; pages that processes share count for each
}

const (
	clockTick = 10 * time.Millisecond // USER_HZ is 100 on Linux for every architecture of ours
)

// usage adds up a process and its descendants, as proc(5) has them.
func usage(root int) (used, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return used{}, fmt.Errorf("read /proc: %w", err)
	}
	page := int64(os.Getpagesize())
	byPID, children := map[int]used{}, map[int][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has just ended
		}
		// The name stands in parentheses and may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		at := func(i int) int64 { // counted as in proc(5), from 1
			n, _ := strconv.ParseInt(fields[i-3], 10, 64) // the kernel's own numbers
			return n
		}
		children[int(at(4))] = append(children[int(at(4))], pid)
		byPID[pid] = used{time.Duration(at(14)+at(15)+at(16)+at(17)) * clockTick, at(24) * page}
	}
	if _, ok := byPID[root]; !ok {
		return used{}, fmt.Errorf("process %d is gone", root)
	}
	var sum used
	for todo := []int{root}; len(todo) > 0; {
		one := byPID[todo[0]]
		sum.cpu += one.cpu
		sum.resident += one.resident
		todo = append(todo[1:], children[todo[0]]...)
	}
	return sum, nil
}

// load adds the machine's load average of the last minute: absolute figures
// of a machine that is busy with something else say little.
func (b *bench) load(name string) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return // not Linux; the first program that is started says so
	}
	first, _, _ := strings.Cut(string(text), " ")
	if v, err := strconv.ParseFloat(first, 64); err == nil {
		b.figures.add(name, v, "processes")
	}
}
