// Command replay measures replays beside the bare client: the pace of a replay
// against franz-go producing the same records from memory in transactions of the
// same size; memory with one partition and with 64 merged by one clock; how late
// paced records are; how soon a dead worker's job is taken over.
//
//	go run ./bench/replay                  # everything, three rounds
//	go run ./bench/replay -only paced      # one part
//
// Every figure is one JSON line on standard output, with keys name, value, unit,
// limit and ok; limit is null for figures that only stand beside the others. A
// table for people goes to standard error. The exit code is 1 when a limit is
// missed or something could not be measured.
//
// Broker and store are the embedded ones, in a process of their own; each worker
// is a process too, whose memory is read from /proc, so it needs Linux. The clock
// of a replay stops at its last commit; reading back is reported apart.
//
//	main.go     flags, the parts and their order
//	worker.go   a worker in a process of its own
//	archive.go  what is replayed
//	bare.go     the client alone
//	parts.go    the figures
//	ranges.go   bytes read for ranges of times
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
)

func main() {
	measure.Main("replay", func(ctx context.Context, args []string) error {
		if len(args) > 0 && args[0] == workerCommand {
			return runWorker(ctx, args[1:])
		}
		return run(ctx, args)
	})
}

// bench is one run.
type bench struct {
	dir     string // of the engines' data
	rounds  int
	records int
	profile string // folder of the workers' profiles; empty: none
	figures *measure.Figures
	up      embedded.UpFile
	kafka   kafka.Options
	store   *objstore.Store
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{figures: &measure.Figures{}}
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "folder of annals-chdb")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds of replay and bare client, side by side")
	flags.IntVar(&b.records, "records", 1_000_000, "records that are replayed")
	flags.StringVar(&b.profile, "profile", "", "folder for profiles of the workers: CPU, and what memory was allocated")
	only := flags.String("only", "fast,merged,paced,ranges,takeover", "what to measure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "annals-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	b.dir = filepath.Join(work, "data")
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	b.figures.Load("load_average_at_start")
	engines, up, err := measure.Engines(ctx, b.dir, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Stop()) }()
	b.up, b.kafka = up, kafkaOf(up)
	if b.store, err = storeOf(up); err != nil {
		return err
	}
	defer b.store.Close()
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{{"fast", b.fast}, {"merged", b.merged}, {"paced", b.paced}, {"ranges", b.ranges}, {"takeover", b.takeover}} {
		if strings.Contains(","+*only+",", ","+part.name+",") {
			if err := part.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	b.figures.Load("load_average_at_end")
	b.figures.Table(os.Stderr)
	return b.figures.Missed()
}

func kafkaOf(up embedded.UpFile) kafka.Options {
	return kafka.Options{
		Brokers: up.Kafka.Brokers, ClientID: "annals-bench",
		SASL: kafka.SASL{Mechanism: up.Kafka.Mechanism, Username: up.Kafka.User, Password: up.Kafka.Password},
	}
}

func storeOf(up embedded.UpFile) (*objstore.Store, error) {
	return objstore.Open(objstore.Options{
		Endpoint: up.S3.Endpoint, Region: up.S3.Region, Bucket: up.S3.Bucket, PathStyle: true, AccessKey: up.S3.AccessKey, SecretKey: up.S3.SecretKey,
	})
}
