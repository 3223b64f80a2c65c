package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"time"
)

// spent is what something took: time, and CPU of ClickHouse. Time says how busy the
// machine was, too; CPU does so less. That of this process says little: a third of it
// is spent on looking how much memory others have.
type spent struct{ time, engine time.Duration }

func (s spent) milliseconds() float64 { return float64(s.time.Microseconds()) / 1000 }

// watch measures what is done from now on until it is stopped.
func (b *bench) watch() (stop func() spent) {
	engine, began := cpuOf(b.clickHouse), time.Now()
	return func() spent {
		took := time.Since(began)
		return spent{took, cpuOf(b.clickHouse) - engine}
	}
}

// tick is what /proc counts a process's CPU in.
const tick = 10 * time.Millisecond

// cpuOf is the CPU that a process took, 0 where that is not known. What is cut
// below a tick is in the next difference.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte(") ")) // behind the name
	fields := bytes.Fields(rest)
	const user, system = 11, 12
	if len(fields) <= system {
		return 0
	}
	var sum time.Duration
	for _, field := range fields[user : system+1] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// profiled writes what takes CPU from now on to a file, until it is stopped; none if
// the file has no name.
func profiled(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("create profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("start profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
