package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// archived is what one run of annals archive over one unit came to.
type archived struct {
	records    int64
	startUp    time.Duration // until its probe answered
	wall       time.Duration // from then on
	opened     time.Duration // of it, until the first records were taken in: the group, heads, geneses
	cpu        time.Duration // of annals archive
	clickhouse time.Duration // of the index's process meanwhile, merges included
	others     time.Duration // of broker and store
	resident   int64
	segments   int64
	bytes      int64 // of segments
	commits    int64
	ledger     int64 // bytes of commits
	requests   map[string]float64
}

// run is one run of annals archive.
type run struct {
	name   string // S3 prefix, consumer group and database
	topics string // pattern
	index  bool
	memory string // archive.memory.bytes; empty: the default

	partitions int // of its topics together, if they are many
}

// database is the run's, in ClickHouse.
func (r *run) database() string { return strings.NewReplacer("-", "_").Replace(r.name) }

// archive runs annals archive over topics that are already filled, from its
// start until every record is sealed and, with index, found; then it stops it.
// CPU is counted from the first answer of its probe on.
func (b *bench) archive(ctx context.Context, r run, records int64) (got archived, err error) {
	before, err := b.consumed()
	if err != nil {
		return got, err
	}
	started := time.Now()
	p, base, err := b.answering(ctx, r)
	if err != nil {
		return got, err
	}
	got.startUp = time.Since(started)
	defer func() { err = errors.Join(err, p.Stop()) }()
	began := time.Now()
	start, err := p.CPU()
	if err != nil {
		return got, err
	}
	err = b.sealed(ctx, p, base, r, records, func() { got.opened = time.Since(began) })
	if err != nil {
		return got, fmt.Errorf("%s: %w\n%s", r.name, err, p.Said())
	}
	got.records, got.wall, got.resident = records, time.Since(began), p.Resident()
	if got.cpu, err = p.CPU(); err != nil {
		return got, err
	}
	got.cpu -= start
	if r.index {
		if err := settled(ctx, b.up.ClickHouse); err != nil {
			return got, err
		}
	}
	after, err := b.consumed()
	if err != nil {
		return got, err
	}
	rested := time.Duration(b.idle * float64(time.Since(began)))
	got.clickhouse, got.others = max(0, after.clickhouse-before.clickhouse-rested), after.others-before.others
	if got.requests, err = requests(ctx, base); err != nil {
		return got, err
	}
	return got, got.stored(b.storedUnder(r.name))
}

// command is annals archive with a configuration of its own.
func (b *bench) command(r run) (cmd *exec.Cmd, base string, err error) {
	address, err := measure.FreeAddress()
	if err != nil {
		return nil, "", err
	}
	config := filepath.Join(b.work, r.name+".yaml")
	if err := os.WriteFile(config, []byte(b.configuration(r, address)), 0o600); err != nil {
		return nil, "", fmt.Errorf("write a configuration: %w", err)
	}
	cmd = exec.Command(filepath.Join(b.bin, "annals"), "archive", "--config", config, "--log-level", "error")
	cmd.Env = append(os.Environ(), "ANNALS_S3_SECRET_KEY="+b.up.S3.SecretKey, "ANNALS_CLICKHOUSE_PASSWORD="+b.up.ClickHouse.Password)
	if b.up.Kafka.Password != "" {
		cmd.Env = append(cmd.Env, "ANNALS_KAFKA_SASL_PASSWORD="+b.up.Kafka.Password)
	}
	return cmd, "http://" + address, nil
}

// answering starts annals archive and waits for its probe.
func (b *bench) answering(ctx context.Context, r run) (p *measure.Program, base string, err error) {
	cmd, base, err := b.command(r)
	if err != nil {
		return nil, "", err
	}
	if p, err = measure.Start(cmd, nil); err != nil {
		return nil, "", err
	}
	err = measure.Await(ctx, time.Minute, 5*time.Millisecond, func() (bool, error) {
		_, _, err := measure.Call(ctx, http.MethodGet, base+"/healthz", nil, nil)
		return err == nil, p.Alive()
	})
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("start annals archive: %w", err), p.Stop())
	}
	return p, base, nil
}

// askEvery is how often a run is asked how far it is: each question costs it
// CPU, the more the more partitions it has figures of.
const (
	askEvery     = 200 * time.Millisecond
	askManyEvery = time.Second
)

// sealed waits until the records are taken in, sealed on request and, with
// index, every commit is in it. opened is called when the first are taken in.
func (b *bench) sealed(ctx context.Context, p *measure.Program, base string, r run, records int64, opened func()) error {
	every := askEvery
	if r.partitions >= manyPartitions {
		every = askManyEvery
	}
	seal := "/seal" // waiting would wait for an index that answers nobody
	if r.index {
		seal += "?wait=true"
	}
	waits := []struct {
		what string
		done func() (bool, error)
	}{
		{"reading", func() (bool, error) {
			taken, err := measure.Metric(ctx, base, "annals_archiver_records_total")
			if taken > 0 {
				opened()
			}
			return taken > 0, err
		}},
		{"taken in", func() (bool, error) {
			taken, err := measure.Metric(ctx, base, "annals_archiver_records_total")
			return int64(taken) >= records, err
		}},
		{"sealed", func() (bool, error) {
			if err := measure.API(ctx, base, http.MethodPost, seal, new(struct{})); err != nil {
				return false, err
			}
			left, err := measure.Metric(ctx, base, "annals_archiver_unsealed_records")
			return left == 0, err
		}},
		{"indexed", func() (bool, error) {
			if !r.index {
				return true, nil
			}
			n, err := measure.Count(ctx, b.up.ClickHouse, "SELECT sum(committed + aborted + control) FROM "+r.database()+".segments FINAL WHERE kind = 'segment'")
			return n >= records, err
		}},
	}
	for _, wait := range waits {
		err := measure.Await(ctx, 10*time.Minute, every, func() (bool, error) {
			if err := p.Alive(); err != nil {
				return false, err
			}
			return wait.done()
		})
		if err != nil {
			return fmt.Errorf("wait until it is %s: %w", wait.what, err)
		}
	}
	return nil
}

// engineTimes are what the engines have used so far.
type engineTimes struct{ clickhouse, others time.Duration }

func (b *bench) consumed() (engineTimes, error) {
	all, err := b.engines.CPU()
	if err != nil {
		return engineTimes{}, err
	}
	own, err := measure.Usage(b.clickhousePID)
	return engineTimes{own.CPU, all - own.CPU}, err
}

// requests are the object store's own counters, by operation.
func requests(ctx context.Context, base string) (map[string]float64, error) {
	byOp := map[string]float64{}
	for _, op := range []string{"put", "put_if_absent", "put_if_match", "get", "get_range", "list", "stat", "delete", "ping"} {
		n, err := measure.MetricOf(ctx, base, "annals_objstore_request_seconds_count", `op="`+op+`"`)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			byOp[op] = n
		}
	}
	return byOp, nil
}

// storedUnder is a prefix's folder in the store, which keeps plain files.
func (b *bench) storedUnder(prefix string) string {
	return filepath.Join(b.store, b.up.S3.Bucket, prefix)
}

// stored counts what lies under a prefix.
func (a *archived) stored(folder string) error {
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".parquet"):
			a.segments, a.bytes = a.segments+1, a.bytes+info.Size()
		case strings.Contains(path, "/ledger/"):
			a.commits, a.ledger = a.commits+1, a.ledger+info.Size()
		}
		return nil
	})
	if err == nil && a.segments == 0 {
		err = errors.New("no segments are there")
	}
	if err != nil {
		return fmt.Errorf("count what is stored in %s: %w", folder, err)
	}
	return nil
}

// nowhere is an address where no ClickHouse answers: the archiver goes on
// without its index, as it does when that is down.
const nowhere = "http://127.0.0.1:9"

// configuration is what a user with engines of their own would write.
func (b *bench) configuration(r run, web string) string {
	clickhouse, memory := b.up.ClickHouse.URL, "archive: {group: "+r.name+"}"
	if !r.index {
		clickhouse = nowhere
	}
	if r.memory != "" {
		memory = "archive: {group: " + r.name + ", memory: {bytes: " + r.memory + "}}"
	}
	sasl := ""
	if b.up.Kafka.User != "" {
		sasl = fmt.Sprintf("  sasl: {mechanism: SCRAM-SHA-256, username: %q}\n", b.up.Kafka.User)
	}
	return fmt.Sprintf(`kafka:
  brokers: [%q]
  metadata_max_age: 2s
%s  topics: {include: [%q]}
s3:
  endpoint: %q
  region: %q
  bucket: %q
  prefix: %q
  addressing: path
  credentials: static
  access_key: %q
clickhouse:
  url: %q
  database: %q
  user: %q
index:
  partition: years
  retention: 0s
web:
  listen: %q
%s
`, b.up.Kafka.Brokers[0], sasl, r.topics, b.up.S3.Endpoint, b.up.S3.Region, b.up.S3.Bucket, r.name, b.up.S3.AccessKey,
		clickhouse, r.database(), b.up.ClickHouse.User, web, memory)
}

// forget removes what a run has stored.
func (b *bench) forget(ctx context.Context, r run) error {
	err := os.RemoveAll(b.storedUnder(r.name))
	if r.index {
		_, dropErr := measure.SQL(ctx, b.up.ClickHouse, "DROP DATABASE IF EXISTS "+r.database()+" SYNC")
		err = errors.Join(err, dropErr)
	}
	if err != nil {
		return fmt.Errorf("remove what %s has stored: %w", r.name, err)
	}
	return nil
}
