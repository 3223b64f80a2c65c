// Command skeleton measures the walking skeleton against its limits: the pace
// of archiving and indexing the demo's history, how soon a record is found,
// the demo's start, memory, a trace's answer and the explorer's first load.
//
//	go run ./bench/skeleton                # everything, three rounds, under 8 minutes
//	go run ./bench/skeleton -rounds 1 -only archive,trace
//
// Every figure is one JSON line on standard output, with keys name, value,
// unit, limit and ok; limit is null for figures that only stand beside the
// others, as the calibration of the same run does. A table for people goes to
// standard error. The exit code is 1 when a limit is missed or something could
// not be measured.
//
// The programs are those in bin/ (make build), run as a user runs them, over
// loopback. Their CPU and memory are read from /proc, children included, so
// it needs Linux. Nothing else should run on the machine: the load average at
// the start and at the end stands among the figures.
//
//	main.go        flags, the plan and its order
//	stack.go       a running annals up
//	demonstrate.go the demo's start; memory while it loads
//	archive.go     topics already filled: archive and index, round by round
//	calibrate.go   bare insert
//	fresh.go       from produce to found
//	ask.go         traces, the explorer's first load
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

func main() { measure.Main("skeleton", run) }

// parts are what can be chosen with -only, in the order in which they run.
var parts = []string{"demo", "archive", "fresh", "trace", "explorer", "archiver"}

// bench is one run.
type bench struct {
	bin     string
	work    string // folder of everything that the run writes
	filled  string // data folder with filled topics; empty: the first demo's
	rounds  int
	budget  time.Duration
	only    map[string]bool
	started time.Time
	figures *measure.Figures
	log     *slog.Logger
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{started: time.Now(), only: map[string]bool{}, figures: &measure.Figures{}}
	flags := flag.NewFlagSet("skeleton", flag.ContinueOnError)
	flags.StringVar(&b.bin, "bin", "bin", "folder of annals, annals-chdb and annals-demo")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds of the demo and of archiving")
	flags.DurationVar(&b.budget, "budget", 8*time.Minute, "no further round begins that would end later; what is left out is said")
	only := flags.String("only", strings.Join(parts, ","), "what to measure")
	flags.StringVar(&b.filled, "filled", "", "data folder of an earlier, stopped annals up --demo --demo-no-live whose topics are archived; then only archive and archiver run")
	work := flags.String("work", "", "folder for data (a new temporary one), removed at the end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.filled != "" && *only == strings.Join(parts, ",") {
		*only = "archive,archiver"
	}
	for part := range strings.SplitSeq(*only, ",") {
		b.only[part] = true
	}
	if !b.only["demo"] && !b.only["archive"] {
		b.rounds = 1 // for its data
	}
	if b.work, err = os.MkdirTemp(*work, "annals-bench-"); err != nil {
		return fmt.Errorf("make a folder for data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	b.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	b.figures.Load("load_average_at_start")
	err = b.all(ctx)
	b.figures.Load("load_average_at_end")
	b.figures.Table(os.Stderr)
	return errors.Join(err, b.figures.Missed())
}

// all runs the parts. The last demo's Annals stays up: it is asked for traces,
// and takes the fresh records.
func (b *bench) all(ctx context.Context) error {
	var times measure.Spread
	var rates spreads
	var asked *stack
	filled := b.filled
	if filled == "" {
		filled = filepath.Join(b.work, "filled")
	}
	defer func() {
		if asked != nil {
			_ = asked.Stop() // what it had to say was measured
		}
	}()
	var longest time.Duration
	for round := range b.rounds {
		begun := time.Now()
		if round > 0 && time.Since(b.started)+longest+b.reserve() > b.budget {
			b.log.Warn("rounds left out: no time within -budget", "done", round, "wanted", b.rounds)
			break
		}
		if asked != nil {
			if err := asked.Stop(); err != nil {
				return err
			}
		}
		var err error
		if b.filled == "" {
			if asked, err = b.demonstrate(ctx, round, filled, &times); err != nil {
				return err
			}
		}
		if b.only["archive"] {
			if err := b.archiveRound(ctx, round, filled, &rates); err != nil {
				return err
			}
		}
		longest = max(longest, time.Since(begun))
	}
	b.report(&times, &rates)
	return b.rest(ctx, asked, filled)
}

// reserve is the time that everything after the rounds takes, about.
func (b *bench) reserve() time.Duration { return 80 * time.Second }

func (b *bench) rest(ctx context.Context, asked *stack, filled string) error {
	steps := []struct {
		part string
		do   func() error
	}{
		{"trace", func() error { return b.traces(ctx, asked) }},
		{"explorer", func() error { return b.explorer(ctx, asked) }},
		{"fresh", func() error { return b.fresh(ctx, asked) }},
		{"archiver", func() error { return b.archiverAlone(ctx, filled) }},
	}
	var failed []error
	for _, step := range steps {
		if !b.only[step.part] {
			continue
		}
		b.log.Info("measure", "what", step.part)
		if err := step.do(); err != nil {
			failed = append(failed, fmt.Errorf("measure %s: %w", step.part, err))
		}
	}
	return errors.Join(failed...)
}
