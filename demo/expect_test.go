package demo_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/demo"
	"github.com/fx-risk-ai/annals/demo/ecb"
)

func mechanism() (sasl.Mechanism, error) {
	return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
}

// expectation is what a pipeline must have produced for a set of days,
// computed from the file the straight way, without windows that roll.
type expectation struct {
	days         []ecb.Day
	rates        int
	gaps         int
	volatilities int
	exposures    int
	// quotes are each currency's rates in order.
	quotes map[string][]quote
}

type quote struct {
	day      time.Time
	rate     float64
	text     string
	previous int // index into the currency's quotes; -1: none
}

func expect(t testing.TB, from, to time.Time) expectation {
	t.Helper()
	h, err := ecb.Load()
	if err != nil {
		t.Fatal(err)
	}
	e := expectation{quotes: map[string][]quote{}}
	for _, d := range h.Days {
		if d.Date.Before(from) || d.Date.After(to) {
			continue
		}
		e.days = append(e.days, d)
		e.rates += len(d.Quotes)
		e.gaps += len(d.Gaps)
		for _, q := range d.Quotes {
			var rate json.Number = json.Number(q.Rate)
			f, err := rate.Float64()
			if err != nil {
				t.Fatal(err)
			}
			qs := e.quotes[q.Currency]
			previous := -1
			if n := len(qs); n > 0 && d.Date.Sub(qs[n-1].day) <= 7*24*time.Hour {
				previous = n - 1
			}
			e.quotes[q.Currency] = append(qs, quote{d.Date, f, q.Rate, previous})
		}
	}
	for _, qs := range e.quotes {
		for i := range qs {
			if windowAt(qs, i, 20) != nil {
				e.volatilities++
			}
		}
	}
	e.exposures = 3 * len(e.days)
	return e
}

// windowAt are the indices of the n consecutive quotes with a change that end
// at i; nil if there are fewer.
func windowAt(qs []quote, i, n int) []int {
	var w []int
	for len(w) < n {
		if i < 0 || qs[i].previous < 0 {
			return nil
		}
		w = append(w, i)
		i = qs[i].previous
	}
	slices.Reverse(w)
	return w
}

// deviationOf is the sample standard deviation of a window's log returns.
func deviationOf(qs []quote, window []int) float64 {
	var returns []float64
	for _, i := range window {
		returns = append(returns, math.Log(qs[i].rate)-math.Log(qs[qs[i].previous].rate))
	}
	var sum, squares float64
	for _, r := range returns {
		sum += r
	}
	for _, r := range returns {
		squares += math.Pow(r-sum/float64(len(returns)), 2)
	}
	return math.Sqrt(squares / float64(len(returns)-1))
}

// body decodes a value into fields.
func body(t testing.TB, r *kgo.Record) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.Value, &m); err != nil {
		t.Fatalf("%s/%d offset %d: %v", r.Topic, r.Partition, r.Offset, err)
	}
	return m
}

func headers(r *kgo.Record, name string) []string {
	var vs []string
	for _, h := range r.Headers {
		if h.Key == name {
			vs = append(vs, string(h.Value))
		}
	}
	return vs
}

func one(t testing.TB, r *kgo.Record, name string) string {
	t.Helper()
	vs := headers(r, name)
	if len(vs) != 1 {
		t.Fatalf("%s/%d offset %d has %d headers %s, want one", r.Topic, r.Partition, r.Offset, len(vs), name)
	}
	return vs[0]
}

func close6(a, b float64) bool { return math.Abs(a-b) <= 2e-6*max(1, math.Abs(b)) }

// pipeline is what a pipeline has produced, read back.
type pipeline struct {
	received, rejected, enriched, volatility, exposure, alerts []*kgo.Record
}

func readPipeline(t testing.TB, brokers []string, e expectation) pipeline {
	t.Helper()
	return pipeline{
		received:   committed(t, brokers, demo.TopicReceived, e.rates),
		rejected:   committed(t, brokers, demo.TopicRejected, e.gaps),
		enriched:   committed(t, brokers, demo.TopicEnriched, e.rates),
		volatility: committed(t, brokers, demo.TopicVolatility, e.volatilities),
		exposure:   committed(t, brokers, demo.TopicExposure, e.exposures),
		alerts:     nil,
	}
}
