package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// spent is what something took: time, and CPU of ClickHouse. Time says how busy the
// machine was, too; CPU does so less. That of this process says little: a third of it
// is spent on looking how much memory others have.
type spent struct{ time, engine time.Duration }

func (s spent) milliseconds() float64 { return float64(s.time.Microseconds()) / 1000 }

// watch measures what is done from now on until it is stopped.
func (b *bench) watch() (stop func() (spent, error)) {
	before, err := measure.CPU(b.clickHouse)
	began := time.Now()
	return func() (spent, error) {
		took := time.Since(began)
		after, errAfter := measure.CPU(b.clickHouse)
		return spent{took, after - before}, errors.Join(err, errAfter)
	}
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
