// Command replay measures replays beside the bare client: the pace of a replay
// against franz-go producing the same records from memory in transactions of the
// same size; memory with one partition and with 64 merged by one clock; how late
// paced records are, beside those of a bare client; how soon a dead worker's job is
// taken over; and OSO kafka-backup's restore of the same topic.
//
//	go run ./bench/replay                  # everything, three rounds
//	go run ./bench/replay -only paced      # one part
//	PEERS_DIR=/path/to/harness go run ./bench/replay -only peers
//
// Every figure is one JSON line on standard output, with keys name, value, unit,
// limit and ok; limit is null for figures that only stand beside the others. What
// was not run has a null value and the reason in not_run. A table for people goes
// to standard error. The exit code is 1 when a limit is missed or something could
// not be measured, 3 when something was not run.
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
//	files.go    replays into files
//	paced.go    lateness, with a broker on a disk and with one in memory
//	ranges.go   bytes read for ranges of times
//	peers.go    restores of others, through a harness outside of this repository
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/extract"
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
	bin     string           // folder of annals-chdb
	working *measure.Program // the worker that was started last, while it should run
	peer    int64            // records of the peers' topic
	asked   time.Duration    // between two questions to a job
	rules   *extract.Rules
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{figures: &measure.Figures{}, asked: often}
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "folder of annals-chdb")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds of replay and bare client, side by side")
	flags.IntVar(&b.records, "records", 1_000_000, "records that are replayed")
	flags.StringVar(&b.profile, "profile", "", "folder for profiles of the workers: CPU, and what memory was allocated")
	flags.Int64Var(&b.peer, "peer-records", 3_000_000, "records of the peers' topic")
	only := flags.String("only", "fast,merged,files,paced,ranges,takeover,peers", "what to measure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "annals-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	b.dir = filepath.Join(work, "data")
	if b.bin, err = filepath.Abs(*bin); err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	b.figures.Load("load_average_at_start")
	engines, up, err := measure.Engines(ctx, b.dir, b.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Stop()) }()
	if err := b.use(up); err != nil {
		return err
	}
	defer b.store.Close()
	if b.rules, err = extract.New(extract.Options{}); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{{"fast", b.fast}, {"merged", b.merged}, {"files", b.files}, {"paced", b.paced}, {"ranges", b.ranges}, {"takeover", b.takeover}, {"peers", b.peers}} {
		if strings.Contains(","+*only+",", ","+part.name+",") {
			if err := part.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	b.figures.Load("load_average_at_end")
	b.figures.Table(os.Stderr)
	return b.figures.Verdict()
}

// use takes the engines that an up file names.
func (b *bench) use(up embedded.UpFile) (err error) {
	b.up, b.kafka = up, kafkaOf(up)
	b.store, err = storeOf(up)
	return err
}

func kafkaOf(up embedded.UpFile) kafka.Options {
	return kafka.Options{
		Brokers: up.Kafka.Brokers, ClientID: "annals-bench",
		SASL: kafka.SASL{Mechanism: up.Kafka.Mechanism, Username: up.Kafka.User, Password: up.Kafka.Password},
	}
}

func storeOf(up embedded.UpFile) (*objstore.Store, error) {
	return objstore.Open(objstore.Options{
		Endpoint: up.S3.Endpoint, Region: up.S3.Region, Bucket: up.S3.Bucket, Prefix: up.S3.Prefix, PathStyle: true, AccessKey: up.S3.AccessKey, SecretKey: up.S3.SecretKey,
	})
}
