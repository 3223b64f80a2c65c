// Command query measures the query layer over the real embedded ClickHouse: a
// trace of ten hops, one that is not there, any id in any encoding, first pages of
// searches, one record's payload, the first page of a trace of ten thousand
// records; a plan of a hundred traces, and the memory of annals serve while many
// ask; what indexing a record costs in CPU and in bytes. Look-ups stand beside a
// bare primary-key read of the same table in the same round.
//
//	go run ./bench/query                       # 20 million records
//	go run ./bench/query -records 1000000      # fewer, in two minutes
//	go run ./bench/query -long                 # 100 million
//	go run ./bench/query -data /data/query     # loaded there once, measured each time
//
// One record in twenty is archived and indexed through the product's own code;
// ClickHouse makes the others of them, with ids, offsets and times of their own.
//
// Every figure is one JSON line on standard output, with keys name, value, unit,
// limit and ok; limit is null for figures that only stand beside the others. A
// table for people goes to standard error. The exit code is 1 when a limit is
// missed or something could not be measured. docs/performance.md says what was
// found.
//
//	main.go     flags, the parts in their order, the figures
//	records.go  the records
//	load.go     archived and indexed
//	copies.go   copied by ClickHouse
//	kept.go     what is loaded, in a folder that may be kept
//	ask.go      what is asked
//	spent.go    what a question takes, CPU too
//	cost.go     CPU and bytes of the index
//	role.go     annals serve
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/query"
)

// The bars, in milliseconds; they are for 100 million records, and fewer must
// not be slower.
const (
	mostLookup  = 50.0
	mostSearch  = 500.0
	mostPayload = 30.0
	mostBig     = 300.0
	mostGrowth  = 1.5
	mostMissing = 1.2 // what is not there, beside what is
)

// fewRecords is what growth is measured from.
const fewRecords = 10_000_000

func main() { measure.Main("query", run) }

// bench is one run.
type bench struct {
	rounds     int
	costRounds int
	crowded    time.Duration
	profile    string
	bin, work  string
	figures    *measure.Figures
	random     *rand.Rand

	engines    *measure.Program
	clickHouse int // its process
	up         embedded.UpFile
	store      *objstore.Store
	rules      *extract.Rules

	loaded   loaded
	all, few *searched
	archived []sample // of traces whose records are in the archive
}

// searched is an index that is asked: of all records, or of the first ones.
type searched struct {
	index   *index.Index
	engine  *query.Engine
	samples []sample
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{figures: &measure.Figures{}, random: rand.New(rand.NewPCG(3, 4))}
	flags := flag.NewFlagSet("query", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "folder of annals and annals-chdb")
	records := flags.Int64("records", 20_000_000, "records that are searched, at least 1,000,000")
	long := flags.Bool("long", false, "100 million records")
	data := flags.String("data", "", "folder that keeps the data: what another run loaded there is measured again; none: one of its own, which is removed")
	only := flags.String("only", "cost,ask,bytes,serve", "what to measure; load: nothing")
	flags.IntVar(&b.rounds, "samples", 200, "questions of each kind")
	flags.IntVar(&b.costRounds, "rounds", 3, "rounds of indexing beside bare inserts")
	flags.DurationVar(&b.crowded, "crowd", 20*time.Second, "how long many ask at once")
	flags.StringVar(&b.profile, "profile", "", "file for a profile of this process's CPU while questions are asked")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *long {
		*records = 100_000_000
	}
	if *records < 1_000_000 || b.rounds < 20 || b.costRounds < 1 {
		return fmt.Errorf("%d records, %d samples, %d rounds: too few to say anything", *records, b.rounds, b.costRounds)
	}
	if b.bin, err = filepath.Abs(*bin); err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	b.work = *data
	if b.work == "" {
		if b.work, err = os.MkdirTemp("", "annals-bench-"); err != nil {
			return fmt.Errorf("make a folder for data: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	}
	b.figures.Load("load_average_at_start")
	if b.engines, b.up, err = measure.Engines(ctx, filepath.Join(b.work, "data"), b.bin); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.engines.Stop()) }()
	if err := b.open(ctx); err != nil {
		return err
	}
	defer b.store.Close()
	defer func() { err = errors.Join(err, b.all.index.Close(), b.few.index.Close()) }()
	if err := b.load(ctx, *records); err != nil {
		return err
	}
	for part := range strings.SplitSeq(*only, ",") {
		if err := b.part(ctx, part); err != nil {
			b.figures.Table(os.Stderr)
			return fmt.Errorf("measure %s: %w", part, err)
		}
	}
	b.figures.Load("load_average_at_end")
	b.figures.Table(os.Stderr)
	return b.figures.Missed()
}

func (b *bench) part(ctx context.Context, part string) error {
	switch part {
	case "load": // it is loaded by now
		return nil
	case "cost":
		return b.cost(ctx)
	case "ask":
		return b.ask(ctx)
	case "bytes":
		return b.bytes(ctx)
	case "serve":
		return b.role(ctx)
	default:
		return errors.New("there is no such part")
	}
}

func (b *bench) address() string { return b.up.ClickHouse.URL[len("http://"):] }

// fewDatabase is where the index of the first records is.
const fewDatabase = "annals_few"

// open makes indexes and engines over the processes.
func (b *bench) open(ctx context.Context) (err error) {
	s3 := b.up.S3
	at, err := url.Parse(s3.Endpoint)
	if err != nil {
		return fmt.Errorf("read address of the store: %w", err)
	}
	b.store, err = objstore.Open(objstore.Options{Endpoint: at.Host, Region: s3.Region, Bucket: s3.Bucket, PathStyle: true, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey})
	if err != nil {
		return err
	}
	if b.rules, err = extract.New(extract.Options{}); err != nil {
		return err
	}
	if b.all, err = b.openSearched(ctx, b.up.ClickHouse.Database); err != nil {
		return err
	}
	b.few, err = b.openSearched(ctx, fewDatabase)
	return err
}

func (b *bench) openSearched(ctx context.Context, database string) (s *searched, err error) {
	s = &searched{}
	if s.index, err = b.openIndex(ctx, b.address(), database); err != nil {
		return nil, err
	}
	s.engine, err = b.newEngine(s.index)
	return s, err
}

func (b *bench) newEngine(x *index.Index) (*query.Engine, error) {
	return query.New(query.Options{Index: x, Store: b.store, Ledger: ledger.New(b.store, slog.New(slog.DiscardHandler)), Extract: b.rules})
}

// ask measures the questions.
func (b *bench) ask(ctx context.Context) error {
	if err := b.drawAll(ctx); err != nil {
		return err
	}
	b.figures.Load("load_average_when_asked")
	var err error
	if b.clickHouse, err = measure.Child(b.engines.PID(), "annals-chdb"); err != nil {
		return err
	}
	stop, err := profiled(b.profile)
	if err != nil {
		return err
	}
	took, few, err := b.askAll(ctx)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	b.report(took, few)
	return nil
}

// report prints the figures of the questions.
func (b *bench) report(all, few asked) {
	f, bare := b.figures, all.times["bare"]
	for _, q := range b.questions() {
		took := all.times[q.name]
		p50, p95, p99 := took.Median(), took.Quantile(0.95), took.Quantile(0.99)
		f.Add(q.name+"_p50", p50, "ms")
		switch q.name {
		case "trace", "event_id", "other_id":
			f.AtMost(q.name+"_p99", p99, "ms", mostLookup)
		case "search_day", "search_newest", "search_prefix", "search_rare", "search_nothing":
			f.AtMost(q.name+"_p95", p95, "ms", mostSearch)
		case "payload":
			f.AtMost(q.name+"_p95", p95, "ms", mostPayload)
		case "big_trace":
			f.AtMost(q.name+"_p95", p95, "ms", mostBig)
		default:
			f.Add(q.name+"_p99", p99, "ms")
		}
		f.Add(q.name+"_cpu_clickhouse", float64(all.engine[q.name].Milliseconds())/float64(len(took)), "ms CPU")
		if q.name != "bare" {
			f.Add(q.name+"_p50_to_bare", p50/bare.Median(), "ratio")
			f.Add(q.name+"_p99_to_bare_p99", p99/bare.Quantile(0.99), "ratio")
		}
		if q.few {
			f.Add(q.name+"_few_p50", few.times[q.name].Median(), "ms")
		}
	}
	f.AtMost("trace_p50_growth", all.times["trace"].Median()/few.times["trace"].Median(), "ratio", mostGrowth)
	f.AtMost("not_found_to_trace_p50", all.times["not_found"].Median()/all.times["trace"].Median(), "ratio", mostMissing)
	f.AtMost("unknown_id_to_event_id_p50", all.times["unknown_id"].Median()/all.times["event_id"].Median(), "ratio", mostMissing)
}
