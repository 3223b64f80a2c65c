// Command query measures look-ups at the query layer over the real embedded
// ClickHouse: a trace of ten hops, one that is not there, any id in any encoding,
// and the first page of a filtered search; each beside a bare primary-key read of
// the same table in the same round, and at a tenth of the records and at all.
//
//	go run ./bench/query                       # 20 million records
//	go run ./bench/query -records 2000000      # fewer, in a minute or two
//	go run ./bench/query -long                 # 100 million
//
// Every figure is one JSON line on standard output, with keys name, value, unit,
// limit and ok; limit is null for figures that only stand beside the others. A
// table for people goes to standard error. The exit code is 1 when a limit is
// missed or something could not be measured. Times are of a call, client and all;
// the ids asked for are fresh every time.
//
//	main.go   flags, the two stages, the figures
//	load.go   the records
//	ask.go    what is asked
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
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
	mostGrowth  = 1.5
	mostMissing = 1.2 // a trace that is not there, beside one that is
)

func main() { measure.Main("query", run) }

// bench is one run.
type bench struct {
	samples int
	figures *measure.Figures
	up      embedded.UpFile
	index   *index.Index
	engine  *query.Engine
	loaded  loaded
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{figures: &measure.Figures{}}
	flags := flag.NewFlagSet("query", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "folder of annals-chdb")
	records := flags.Int64("records", 20_000_000, "records that are searched, at least 1,000,000")
	long := flags.Bool("long", false, "100 million records")
	flags.IntVar(&b.samples, "samples", 200, "questions of each kind, at each stage")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *long {
		*records = 100_000_000
	}
	if *records < 1_000_000 || b.samples < 20 {
		return fmt.Errorf("%d records, %d samples: too few to say anything", *records, b.samples)
	}
	work, err := os.MkdirTemp("", "annals-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	b.figures.Load("load_average_at_start")
	engines, up, err := measure.Engines(ctx, filepath.Join(work, "data"), folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Stop()) }()
	b.up = up
	if err := b.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.index.Close()) }()
	if err := b.stages(ctx, *records); err != nil {
		return err
	}
	b.figures.Load("load_average_at_end")
	b.figures.Table(os.Stderr)
	return b.figures.Missed()
}

// open makes index and engine over the engines.
func (b *bench) open(ctx context.Context) error {
	c := b.up.ClickHouse
	address, err := url.Parse(c.URL)
	if err != nil {
		return fmt.Errorf("read address of ClickHouse: %w", err)
	}
	if b.index, err = index.Open(index.Options{Addr: address.Host, Database: c.Database, User: c.User, Password: c.Password, Partition: "months"}); err != nil {
		return err
	}
	if err := b.index.Migrate(ctx); err != nil {
		return err
	}
	s3 := b.up.S3
	at, err := url.Parse(s3.Endpoint)
	if err != nil {
		return fmt.Errorf("read address of the store: %w", err)
	}
	store, err := objstore.Open(objstore.Options{Endpoint: at.Host, Region: s3.Region, Bucket: s3.Bucket, PathStyle: true, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey})
	if err != nil {
		return err
	}
	rules, err := extract.New(extract.Options{})
	if err != nil {
		return err
	}
	b.engine, err = query.New(query.Options{Index: b.index, Store: store, Ledger: ledger.New(store, slog.New(slog.DiscardHandler)), Extract: rules})
	return err
}

// stages measures with a tenth of the records, and with all of them.
func (b *bench) stages(ctx context.Context, records int64) error {
	began := time.Now()
	if err := b.load(ctx, records/10); err != nil {
		return err
	}
	few, err := b.ask(ctx)
	if err != nil {
		return err
	}
	if err := b.load(ctx, records); err != nil {
		return err
	}
	b.figures.Add("records", float64(b.loaded.records), "records")
	b.figures.Add("loaded_in", time.Since(began).Seconds(), "s")
	all, err := b.ask(ctx)
	if err != nil {
		return err
	}
	parts, err := measure.Count(ctx, b.up.ClickHouse, "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'records_by_trace'")
	if err != nil {
		return err
	}
	b.figures.Add("parts_of_records_by_trace", float64(parts), "parts")
	bare := all["bare"].Median()
	for _, name := range kinds {
		b.figures.Add(name+"_p50", all[name].Median(), "ms")
		p95, p99 := all[name].Quantile(0.95), all[name].Quantile(0.99)
		switch name {
		case "bare":
			b.figures.Add(name+"_p99", p99, "ms")
			continue
		case "search":
			b.figures.AtMost(name+"_p95", p95, "ms", mostSearch)
		case "trace", "any_id":
			b.figures.AtMost(name+"_p99", p99, "ms", mostLookup)
		default:
			b.figures.Add(name+"_p99", p99, "ms")
		}
		b.figures.Add(name+"_p50_to_bare", all[name].Median()/bare, "ratio")
		b.figures.Add(name+"_p99_to_bare_p99", p99/all["bare"].Quantile(0.99), "ratio")
	}
	b.figures.AtMost("trace_p50_growth_from_a_tenth", all["trace"].Median()/few["trace"].Median(), "ratio", mostGrowth)
	b.figures.AtMost("not_found_to_trace_p50", all["not_found"].Median()/all["trace"].Median(), "ratio", mostMissing)
	return nil
}
