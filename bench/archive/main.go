// Command archive measures the archiver beside what it cannot do without, beside
// others that do alike, and beside its limits.
//
//	go run ./bench/archive                              # everything, three rounds
//	go run ./bench/archive -rounds 1 -records 100000    # short
//	go run ./bench/archive -only units,columns
//	PEERS_DIR=/path/to/harness go run ./bench/archive -only peers
//
// Every figure is one JSON line on standard output, with keys name, value,
// unit, limit and ok; limit is null for figures that only stand beside the
// others. What was not run has a null value and the reason in not_run. A table
// for people goes to standard error. The exit code is 1 when a limit is missed
// or something could not be measured, 3 when something was not run.
//
// The programs are those in bin/ (make build), run as a user runs them, over
// loopback, with Kafka, the store and ClickHouse in processes of their own.
// CPU is that of processes, from /proc and getrusage, children included: it is
// a fair figure on a busy machine, rates are not. docs/performance.md says what
// each figure is and what was found.
//
//	main.go      flags, the plan and its order
//	topics.go    the loads: 300-byte records, and the demo's
//	run.go       one run of annals archive
//	units.go     archive and parts, round by round
//	parts.go     the unavoidable parts alone, in a process of their own
//	encode.go    … bare Parquet
//	insert.go    … bare insert
//	columns.go   what a stored record costs, column by column
//	many.go      1,000 partitions; requests a day
//	cold.go      a start over 100,000 commits
//	peers.go     others, through a harness outside of this repository
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var (
		err     error
		skipped []string
	)
	switch args := os.Args[1:]; {
	case len(args) > 0 && args[0] == measure.EnginesCommand:
		err = measure.RunEngines(ctx, args[1:])
	case len(args) > 0 && args[0] == partsCommand:
		err = runParts(ctx, args[1:])
	default:
		skipped, err = measureAll(ctx, args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "archive: "+err.Error())
		stop()
		os.Exit(1)
	}
	if len(skipped) > 0 {
		fmt.Fprintln(os.Stderr, "archive: not run: "+strings.Join(skipped, ", "))
		stop()
		os.Exit(3)
	}
}

// kinds are what can be chosen with -only, in the order in which they run.
var kinds = []string{"units", "many", "cold", "peers"}

// bench is one run of everything.
type bench struct {
	bin     string
	work    string // folder of everything that the run writes
	dir     string // the engines' data folder, in it
	store   string // the store's folder of buckets
	rounds  int
	records int64

	peerRecords int64

	only    []string
	chosen  []string // units
	figures *measure.Figures
	log     *slog.Logger

	engines       *measure.Program
	up            embedded.UpFile
	clickhousePID int
	idle          float64 // CPU seconds that ClickHouse takes a second when nobody asks it anything
}

func measureAll(ctx context.Context, args []string) (skipped []string, err error) {
	b := &bench{figures: &measure.Figures{}, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags := flag.NewFlagSet("archive", flag.ContinueOnError)
	flags.StringVar(&b.bin, "bin", "bin", "folder of annals, annals-chdb and annals-demo")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds of archiving and of the peers")
	flags.Int64Var(&b.records, "records", 400_000, "300-byte records of one unit; of the demo's, about as many, up to its 27 years")
	flags.Int64Var(&b.peerRecords, "peer-records", 3_000_000, "records of the peers' topic")
	only := flags.String("only", strings.Join(kinds, ","), "what to measure")
	units := flags.String("units", "plain-4,demo-4,plain-64,demo-64", "loads to archive: 300-byte records or the demo's, and partitions")
	work := flags.String("work", "", "folder for data (a new temporary one), removed at the end")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for kind := range strings.SplitSeq(*only, ",") {
		if !slices.Contains(kinds, kind) {
			return nil, fmt.Errorf("-only %s: want some of %s", kind, strings.Join(kinds, ","))
		}
		b.only = append(b.only, kind)
	}
	b.chosen = strings.Split(*units, ",")
	if b.rounds < 1 || b.records < 1000 {
		return nil, errors.New("want at least one round and 1000 records")
	}
	if b.work, err = os.MkdirTemp(*work, "annals-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return nil, fmt.Errorf("find the programs: %w", err)
	}
	b.figures.Load("load_average_at_start")
	err = b.all(ctx)
	b.figures.Load("load_average_at_end")
	b.figures.Table(os.Stderr)
	return b.figures.Skipped(), errors.Join(err, b.figures.Missed())
}

// all starts the engines and runs what was chosen. What fails keeps nothing
// else from being measured.
func (b *bench) all(ctx context.Context) (err error) {
	b.dir = filepath.Join(b.work, "engines")
	b.store = filepath.Join(b.dir, "s3")
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	if b.engines, b.up, err = measure.Engines(ctx, b.dir, b.bin); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.engines.Stop()) }()
	if b.clickhousePID, err = measure.Child(b.engines.PID(), "annals-chdb"); err != nil {
		return err
	}
	b.up.ClickHouse.Database = "default" // every run has a database of its own
	if err := b.rest(ctx); err != nil {
		return err
	}
	steps := map[string]func(context.Context) error{"units": b.units, "many": b.many, "cold": b.cold, "peers": b.peers}
	var failed []error
	for _, kind := range kinds {
		if !slices.Contains(b.only, kind) {
			continue
		}
		began := time.Now()
		b.log.Info("measure", "what", kind)
		if err := steps[kind](ctx); err != nil {
			failed = append(failed, fmt.Errorf("measure %s: %w", kind, err))
		}
		b.log.Info("measured", "what", kind, "took", time.Since(began).Round(time.Second).String())
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// rest measures what ClickHouse takes when it has nothing to do. It is no part
// of what a record costs, and on a busy machine, where everything takes long,
// it would be the larger part.
func (b *bench) rest(ctx context.Context) error {
	if err := settled(ctx, b.up.ClickHouse); err != nil {
		return err
	}
	before, err := measure.Usage(b.clickhousePID)
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Second):
	}
	after, err := measure.Usage(b.clickhousePID)
	if err != nil {
		return err
	}
	b.idle = (after.CPU - before.CPU).Seconds() / time.Since(began).Seconds()
	b.figures.Add("clickhouse_idle", b.idle, "CPU s/s")
	return nil
}
