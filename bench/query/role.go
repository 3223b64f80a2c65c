package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// Bars of annals serve.
const (
	mostResident = 512.0  // MiB
	mostPlan     = 2000.0 // ms, of plannedTraces
	lookups      = 50
	exports      = 5

	plannedTraces = 100
)

// role measures annals serve, as a user runs it: plans of replays, and memory
// while many ask at once.
func (b *bench) role(ctx context.Context) (err error) {
	if err := b.drawAll(ctx); err != nil {
		return err
	}
	p, base, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	b.figures.Add("serve_resident_at_rest", float64(p.Resident())/(1<<20), "MiB")
	if err := b.plans(ctx, base); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Said())
	}
	var asked, exported atomic.Int64
	took, err := b.crowd(ctx, base, &asked, &exported)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.Said())
	}
	b.figures.Add("crowd_trace_p50", took.Median(), "ms")
	b.figures.Add("crowd_trace_p99", took.Quantile(0.99), "ms")
	b.figures.Add("crowd_traces", float64(asked.Load())/b.crowded.Seconds(), "look-ups/s")
	b.figures.Add("crowd_exported", float64(exported.Load())/b.crowded.Seconds()/1e6, "MB/s")
	b.figures.AtMost("serve_resident", float64(p.Resident())/(1<<20), "MiB", mostResident)
	return nil
}

// serve starts annals serve over the engines.
func (b *bench) serve(ctx context.Context) (*measure.Program, string, error) {
	address, err := measure.FreeAddress()
	if err != nil {
		return nil, "", err
	}
	up := b.up
	config := filepath.Join(b.work, "serve.yaml")
	text := fmt.Sprintf(`kafka:
  brokers: [%q]
  sasl: {mechanism: %q, username: %q}
  topics: {include: ["bench.*"]}
s3: {endpoint: %q, region: %q, bucket: %q, addressing: path, credentials: static, access_key: %q}
clickhouse: {url: %q, database: %q, user: %q}
index: {partition: months, retention: 0s, merge_idle: 0s}
web: {listen: %q}
`, up.Kafka.Brokers[0], up.Kafka.Mechanism, up.Kafka.User, up.S3.Endpoint, up.S3.Region, up.S3.Bucket, up.S3.AccessKey,
		up.ClickHouse.URL, up.ClickHouse.Database, up.ClickHouse.User, address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, "", fmt.Errorf("write a configuration: %w", err)
	}
	cmd := exec.Command(filepath.Join(b.bin, "annals"), "serve", "--config", config, "--log-level", "error")
	cmd.Env = append(os.Environ(), "ANNALS_S3_SECRET_KEY="+up.S3.SecretKey, "ANNALS_CLICKHOUSE_PASSWORD="+up.ClickHouse.Password,
		"ANNALS_KAFKA_SASL_PASSWORD="+up.Kafka.Password)
	p, err := measure.Start(cmd, nil)
	if err != nil {
		return nil, "", err
	}
	base := "http://" + address
	err = measure.Await(ctx, time.Minute, 20*time.Millisecond, func() (bool, error) {
		_, _, err := measure.Call(ctx, http.MethodGet, base+"/healthz", nil, nil)
		return err == nil, p.Alive()
	})
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("start annals serve: %w", err), p.Stop())
	}
	return p, base, nil
}

// plans plans replays of a hundred traces, other ones each time.
func (b *bench) plans(ctx context.Context, base string) error {
	var took measure.Spread
	for n := range min(5, len(b.archived)/plannedTraces) {
		traces := make([]string, plannedTraces)
		for i := range traces {
			traces[i] = b.archived[n*plannedTraces+i].trace
		}
		request, err := json.Marshal(map[string]any{"trace_ids": traces})
		if err != nil {
			return fmt.Errorf("write a request: %w", err)
		}
		began := time.Now()
		body, _, err := measure.Call(ctx, http.MethodPost, base+"/api/v1/replays/plans", request, map[string]string{"Content-Type": "application/json"})
		if err != nil {
			return err
		}
		took.Add(float64(time.Since(began).Microseconds()) / 1000)
		var plan struct{ Records int64 }
		if err := json.Unmarshal(body, &plan); err != nil || plan.Records != plannedTraces*hops {
			return errors.Join(err, fmt.Errorf("a plan of %d traces has %d records", plannedTraces, plan.Records))
		}
	}
	b.figures.Around("plan_of_100_traces", took, "ms")
	b.figures.AtMost("plan_of_100_traces", took.Median(), "ms", mostPlan)
	return nil
}

// crowd has many look traces up, each again and again, and some export all that
// a search finds, which goes on until the time is over.
func (b *bench) crowd(ctx context.Context, base string, asked, exported *atomic.Int64) (took measure.Spread, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.crowded)
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	failed := func(why error) {
		if ctx.Err() == nil { // what was under way when the time was over is no failure
			mu.Lock()
			err = errors.Join(err, why)
			mu.Unlock()
			cancel()
		}
	}
	for n := range lookups {
		group.Go(func() {
			for i := n; ctx.Err() == nil; i += lookups {
				began := time.Now()
				_, _, err := measure.Call(ctx, http.MethodGet, base+"/api/v1/traces/"+b.all.samples[i%len(b.all.samples)].trace, nil, nil)
				if err != nil {
					failed(err)
					return
				}
				asked.Add(1)
				mu.Lock()
				took.Add(float64(time.Since(began).Microseconds()) / 1000)
				mu.Unlock()
			}
		})
	}
	for n := range exports {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := export(ctx, base, n, exported); err != nil {
					failed(err)
					return
				}
			}
		})
	}
	group.Wait()
	return took, err
}

func export(ctx context.Context, base string, n int, exported *atomic.Int64) error {
	query := url.Values{"format": {[]string{"ndjson", "csv", "parquet"}[n%3]}, "service": {fmt.Sprintf("service-%d", n)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/records/export?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("export: %s", response.Status)
	}
	_, err = io.Copy(counting{exported}, response.Body)
	return err
}

// counting counts what is written to it.
type counting struct{ bytes *atomic.Int64 }

func (c counting) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return len(p), nil
}
