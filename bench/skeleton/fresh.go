package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// The stream of fresh records.
const (
	freshTopic    = "bench.fresh"
	freshPerSec   = 5000
	freshTick     = 20 * time.Millisecond
	freshWarmUp   = 3 * time.Second // in which the new topic is found
	freshFor      = 10 * time.Second
	freshAskOne   = 1000 // one record in so many is asked for
	freshAskEvery = 50 * time.Millisecond
	freshGiveUp   = 30 * time.Second
	freshSeconds  = 2 // the limit
)

// fresh produces 5,000 records a second and asks the API for one in a thousand
// by its event id until it is found. Its latency is from the call that
// produced it to the answer that has it, so the time between two questions,
// and the questions' own weight on the machine, count against us.
func (b *bench) fresh(ctx context.Context, s *stack) error {
	client, err := measure.KafkaClient(s.up.Kafka, kgo.DefaultProduceTopic(freshTopic), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 4, 1, nil, freshTopic); err != nil {
		return fmt.Errorf("create %s: %w", freshTopic, err)
	}
	var (
		asks      sync.WaitGroup
		mu        sync.Mutex
		latencies measure.Spread
		failed    []error
		produced  atomic.Int64
	)
	ask := func(id string, at time.Time) {
		err := found(ctx, s.up.Web, id)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, err)
			return
		}
		latencies.Add(time.Since(at).Seconds())
	}
	began := time.Now()
	tick := time.NewTicker(freshTick)
	defer tick.Stop()
	for sent := 0; time.Since(began) < freshWarmUp+freshFor; {
		now := <-tick.C
		due := int(now.Sub(began).Seconds() * freshPerSec)
		for ; sent < due; sent++ {
			id := hex.EncodeToString(randomBytes(16))
			at := time.Now()
			client.Produce(ctx, freshRecord(id, at), func(_ *kgo.Record, err error) {
				if err == nil {
					produced.Add(1)
				}
			})
			if sent%freshAskOne == 0 && time.Since(began) > freshWarmUp {
				asks.Go(func() { ask(id, at) })
			}
		}
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	took := time.Since(began)
	asks.Wait()
	if len(failed) > 0 {
		return errors.Join(failed[:min(3, len(failed))]...)
	}
	var unique int64
	err = measure.Await(ctx, freshGiveUp, freshAskEvery, func() (bool, error) {
		var err error
		unique, err = measure.Count(ctx, s.up.ClickHouse, "SELECT uniqExact(event_id) FROM records WHERE topic = '"+freshTopic+"'")
		return unique >= produced.Load(), err
	})
	if err != nil || unique != produced.Load() {
		return errors.Join(fmt.Errorf("%d records were produced, %d can be found", produced.Load(), unique), err)
	}
	b.figures.Add("fresh_rate", float64(produced.Load())/took.Seconds(), "records/s")
	b.figures.Add("fresh_asked", float64(len(latencies)), "records")
	b.figures.Add("fresh_p50", latencies.Quantile(0.5), "s")
	b.figures.Add("fresh_p95", latencies.Quantile(0.95), "s")
	b.figures.AtMost("fresh_max", latencies.Quantile(1), "s", freshSeconds)
	return nil
}

// found asks until the API has a record with the event id.
func found(ctx context.Context, base, id string) error {
	return measure.Await(ctx, freshGiveUp, freshAskEvery, func() (bool, error) {
		var page struct {
			Records []struct {
				EventID string `json:"event_id"`
			}
		}
		err := measure.API(ctx, base, http.MethodGet, "/records?limit=1&topic="+freshTopic+"&id="+id, &page)
		return len(page.Records) > 0 && page.Records[0].EventID == id, err
	})
}

func freshRecord(id string, at time.Time) *kgo.Record {
	trace := hex.EncodeToString(randomBytes(16))
	value := fmt.Appendf(nil, `{"eventId":%q,"eventType":"BenchMeasured","eventVersion":1,"sourceService":"bench","traceId":%q,`+
		`"timestamp":%q,"account":"DE02120300000000202051","amount":"1250.00","currency":"EUR","note":"%064d"}`,
		id, trace, at.UTC().Format(time.RFC3339Nano), at.UnixNano())
	return &kgo.Record{Key: []byte(id[:8]), Value: value, Timestamp: at}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
