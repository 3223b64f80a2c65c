package demo_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/demo"
)

// These days hold a currency that ends (SKK), two that begin (INR, BRL), the
// first months of ISK's gap, a crisis with moves beyond four sigmas, and the
// change to version 2.
var (
	crisisFrom = date("2007-12-03")
	crisisTo   = date("2010-02-26")
)

func TestPipeline(t *testing.T) {
	brokers := kafka(t)
	e := expect(t, crisisFrom, crisisTo)
	run(t, config(brokers, crisisFrom, crisisTo), demo.Services()...)
	p := verify(t, brokers, e)
	if len(p.alerts) < 20 || len(p.rejected) < 200 {
		t.Errorf("%d alerts and %d rejected cells: the days were chosen to have more", len(p.alerts), len(p.rejected))
	}
	all := consume(t, brokers, demo.TopicVolatility, e.volatilities+1, kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
	if aborted := len(all) - e.volatilities; aborted <= 0 {
		t.Errorf("%d aborted records in %s, want some", aborted, demo.TopicVolatility)
	}
	for _, topic := range []string{demo.TopicReceived, demo.TopicEnriched, demo.TopicVolatility} {
		if n := partitionsOf(t, brokers, topic); n != 4 {
			t.Errorf("%s has %d partitions, want 4", topic, n)
		}
	}
	// Each currency in one partition, and each partition about a quarter.
	at, size := map[string]int32{}, map[int32]int{}
	for _, r := range p.enriched {
		if known, ok := at[string(r.Key)]; ok && known != r.Partition {
			t.Fatalf("%s is in partitions %d and %d", r.Key, known, r.Partition)
		}
		at[string(r.Key)] = r.Partition
		size[r.Partition]++
	}
	for p, n := range size {
		if share := n * 100 / e.rates; share < 20 || share > 30 {
			t.Errorf("partition %d has %d %% of the rates", p, share)
		}
	}
	t.Logf("%d days: %d received, %d volatilities, %d exposures, %d alerts, %d rejected, %d aborted", len(e.days), e.rates, e.volatilities, e.exposures, len(p.alerts), e.gaps, len(all)-e.volatilities)
}

// The first fixing day from 2024 on and the 580 after it arrive at a pace.
func TestLiveDays(t *testing.T) {
	e := expect(t, demo.LiveFrom, date("2100-01-01"))
	if len(e.days) != 581 {
		t.Fatalf("%d days from %s on, want 581", len(e.days), demo.LiveFrom.Format(time.DateOnly))
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	good := demo.Config{Brokers: []string{"127.0.0.1:9092"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*demo.Config){
		"no brokers":    func(c *demo.Config) { c.Brokers = nil },
		"mechanism":     func(c *demo.Config) { c.User, c.Mechanism = "u", "GSSAPI" },
		"days":          func(c *demo.Config) { c.From, c.To = crisisTo, crisisFrom },
		"years":         func(c *demo.Config) { c.Years = -1 },
		"years and day": func(c *demo.Config) { c.Years, c.From = 2, crisisFrom },
		"interval":      func(c *demo.Config) { c.LiveInterval = -time.Second },
		"batch":         func(c *demo.Config) { c.Batch = -1 },
		"aborts all":    func(c *demo.Config) { c.AbortEvery = 1 },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := demo.Run(t.Context(), "rate-enrichr", good); err == nil {
		t.Error("an unknown service runs")
	}
	if err := demo.RunAgain(t.Context(), demo.Config{}); err == nil || errors.Is(err, demo.ErrStillRunning) {
		t.Errorf("running again without brokers: %v", err)
	}
}
