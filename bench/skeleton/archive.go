package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// Limits of archiving, in records a second.
const recordsPerSecond = 20_000 // aim: 40,000

// spreads are what the rounds of archiving brought.
type spreads struct{ rate, cpu, consume, insert measure.Spread }

// archiveRound archives and indexes the filled topics with a new annals up,
// then calibrates on the same machine state: bare consume of the same topics,
// bare insert into one table of the same ClickHouse.
func (b *bench) archiveRound(ctx context.Context, round int, filled string, all *spreads) (err error) {
	b.log.Info("measure", "what", "archive", "round", round+1)
	dir := filepath.Join(b.work, fmt.Sprintf("archive-%d", round))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := keepKafka(filled, dir); err != nil {
		return err
	}
	s, err := b.up(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	before, err := s.CPU()
	if err != nil {
		return err
	}
	topics, records, err := held(ctx, s.up.Kafka)
	if err != nil {
		return err
	}
	if err := archived(ctx, s.up.Web, s.up.ClickHouse, records, s.Alive); err != nil {
		return err
	}
	took := time.Since(s.ready)
	after, err := s.CPU()
	if err != nil {
		return err
	}
	all.rate.Add(float64(records) / took.Seconds())
	all.cpu.Add(float64((after - before).Microseconds()) / float64(records))
	b.figures.Add(fmt.Sprintf("archive_records_round_%d", round+1), float64(records), "records")
	if err := b.whole(ctx, s, records); err != nil {
		return err
	}
	rate, err := measure.Consume(ctx, s.up.Kafka, topics, records)
	if err != nil {
		return err
	}
	all.consume.Add(rate)
	if rate, err = bareInsert(ctx, s.up.ClickHouse); err != nil {
		return err
	}
	all.insert.Add(rate)
	return nil
}

// archived waits until records offsets are sealed and searchable: taken in,
// sealed on request, and every commit in the index.
func archived(ctx context.Context, base string, index *embedded.UpClickHouse, records int64, alive func() error) error {
	steps := []func() (bool, error){
		func() (bool, error) {
			taken, err := measure.Metric(ctx, base, "annals_archiver_records_total")
			return int64(taken) >= records, err
		},
		func() (bool, error) {
			var sealed struct{ Waited bool }
			if err := measure.API(ctx, base, http.MethodPost, "/seal?wait=true", &sealed); err != nil {
				return false, err
			}
			left, err := measure.Metric(ctx, base, "annals_archiver_unsealed_records")
			return left == 0, err
		},
		func() (bool, error) {
			n, err := measure.Count(ctx, index, "SELECT sum(committed + aborted + control) FROM segments FINAL WHERE kind = 'segment'")
			return n >= records, err
		},
	}
	for i, step := range steps {
		err := measure.Await(ctx, 3*time.Minute, 50*time.Millisecond, func() (bool, error) {
			if err := alive(); err != nil {
				return false, err
			}
			return step()
		})
		if err != nil {
			return fmt.Errorf("wait until it is %s: %w", []string{"taken in", "sealed", "indexed"}[i], err)
		}
	}
	return nil
}

// whole checks, after the clock has stopped, that nothing is missing: by the
// API's own coverage, and by the identities in the index.
func (b *bench) whole(ctx context.Context, s *stack, records int64) error {
	var coverage struct {
		Partitions []struct {
			Topic         string
			Partition     int32
			Lag           int64
			ArchivedTo    int64 `json:"archived_to"`
			HighWatermark int64 `json:"high_watermark"`
			GapOffsets    int64 `json:"gap_offsets"`
			Counts        struct{ Committed, Aborted, Control int64 }
		}
	}
	if err := measure.API(ctx, s.up.Web, http.MethodGet, "/coverage", &coverage); err != nil {
		return err
	}
	var rows int64
	for _, p := range coverage.Partitions {
		rows += p.Counts.Committed + p.Counts.Aborted + p.Counts.Control + p.GapOffsets
		if p.Lag != 0 || p.ArchivedTo != p.HighWatermark {
			return fmt.Errorf("%s/%d is sealed to %d of %d, lag %d", p.Topic, p.Partition, p.ArchivedTo, p.HighWatermark, p.Lag)
		}
	}
	if rows != records {
		return fmt.Errorf("coverage counts %d offsets, Kafka has %d", rows, records)
	}
	indexed, err := measure.Count(ctx, s.up.ClickHouse, "SELECT uniqExact(topic_id, partition, branch, offset) FROM records")
	if err != nil {
		return err
	}
	if indexed != records {
		return fmt.Errorf("the index has %d records, Kafka %d", indexed, records)
	}
	return nil
}

// report adds what the rounds came to.
func (b *bench) report(times *measure.Spread, all *spreads) {
	if b.only["demo"] {
		b.figures.AtMost("demo_to_sealed", times.Quantile(0.5), "s", demoSeconds)
		b.figures.Around("demo_to_sealed", *times, "s")
	}
	if !b.only["archive"] {
		return
	}
	b.figures.AtLeast("archive_and_index", all.rate.Quantile(0.5), "records/s", recordsPerSecond)
	b.figures.Around("archive_and_index", all.rate, "records/s")
	b.figures.All("archive_and_index_cpu", all.cpu, "µs/record")
	b.figures.All("bare_consume", all.consume, "records/s")
	b.figures.All("bare_insert", all.insert, "rows/s")
}

// archiverAlone measures the memory of annals archive, with the engines in
// another process, over the same topics.
func (b *bench) archiverAlone(ctx context.Context, filled string) (err error) {
	dir := filepath.Join(b.work, "archiver")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	if err := keepKafka(filled, dir); err != nil {
		return err
	}
	engines, up, err := measure.Engines(ctx, dir, b.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Stop()) }()
	address, err := measure.FreeAddress()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "annals.yaml")
	if err := os.WriteFile(config, []byte(configuration(up, address)), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	_, records, err := held(ctx, up.Kafka)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(b.bin, "annals"), "archive", "--config", config)
	cmd.Env = append(os.Environ(), "ANNALS_KAFKA_SASL_PASSWORD="+up.Kafka.Password,
		"ANNALS_S3_SECRET_KEY="+up.S3.SecretKey, "ANNALS_CLICKHOUSE_PASSWORD="+up.ClickHouse.Password)
	began := time.Now()
	archiver, err := measure.Start(cmd, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archiver.Stop()) }()
	base := "http://" + address
	err = measure.Await(ctx, time.Minute, 50*time.Millisecond, func() (bool, error) {
		_, _, err := measure.Call(ctx, http.MethodGet, base+"/healthz", nil, nil)
		return err == nil, archiver.Alive()
	})
	if err != nil {
		return fmt.Errorf("start annals archive: %w", err)
	}
	alive := func() error { return errors.Join(archiver.Alive(), engines.Alive()) }
	if err := archived(ctx, base, up.ClickHouse, records, alive); err != nil {
		return err
	}
	b.figures.Add("archiver_alone", float64(records)/time.Since(began).Seconds(), "records/s")
	if used, err := archiver.CPU(); err == nil {
		b.figures.Add("archiver_alone_cpu", float64(used.Microseconds())/float64(records), "µs/record")
	}
	if used, err := engines.CPU(); err == nil {
		b.figures.Add("engines_cpu", float64(used.Microseconds())/float64(records), "µs/record")
	}
	b.figures.AtMost("archiver_alone_resident", float64(archiver.Resident())/mib, "MiB", archiveBytes/mib)
	return nil
}

// configuration is what a user with engines of their own would write.
func configuration(up embedded.UpFile, web string) string {
	return fmt.Sprintf(`kafka:
  brokers: [%q]
  metadata_max_age: 2s
  sasl: {mechanism: SCRAM-SHA-256, username: %q}
s3:
  endpoint: %q
  region: %q
  bucket: %q
  addressing: path
  credentials: static
  access_key: %q
clickhouse:
  url: %q
  user: %q
index:
  partition: years
  retention: 0s
web:
  listen: %q
`, up.Kafka.Brokers[0], up.Kafka.User, up.S3.Endpoint, up.S3.Region, up.S3.Bucket, up.S3.AccessKey,
		up.ClickHouse.URL, up.ClickHouse.User, web)
}
