package archiver

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// scraper is a registry that is scraped while it is registered with.
type scraper struct{ *prometheus.Registry }

// MustRegister implements prometheus.Registerer.
func (s scraper) MustRegister(list ...prometheus.Collector) {
	s.Registry.MustRegister(list...)
	for _, c := range list {
		out := make(chan prometheus.Metric, 1000)
		c.Collect(out)
	}
}

// A process that serves its metrics already may be scraped in the moment in which
// it makes its archiver: a nil one there would end it.
func TestScrapedWhileItIsMade(t *testing.T) {
	a, err := New(Options{
		Kafka: kafka.Options{Brokers: []string{"127.0.0.1:1"}}, Tail: kafka.ConsumerOptions{Group: "g"}, Writer: "w",
		Registerer: scraper{prometheus.NewRegistry()}, Logger: slog.New(slog.DiscardHandler),
	}, nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.admin.Close()
}

// othersBook is a ledger that knows of no other cluster.
type othersBook struct{ Ledger }

func (othersBook) Others(_ context.Context, _ string, ids map[schema.TopicID]bool) (map[schema.TopicID]string, error) {
	return map[schema.TopicID]string{}, nil
}

// Who waits for the archiver asks which topics it wants while a listing finds out
// which of them are another cluster's. Only the race detector can tell that the two
// do not meet.
func TestTopicsAreAskedForDuringAListing(t *testing.T) {
	a, _ := looping(0)
	a.ledger = othersBook{}
	a.topics = newTopics(a)
	listing := func(i int) kafka.Cluster {
		return kafka.Cluster{ID: "c", Topics: []kafka.Topic{{Name: "t", ID: schema.TopicID{1, byte(i)}}}}
	}
	var both sync.WaitGroup
	both.Go(func() {
		for i := range 100 {
			if err := a.topics.lookAtOthers(t.Context(), listing(i)); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for i := range 100 {
			if names := a.topics.wanted(listing(i)); len(names) != 1 {
				t.Errorf("wanted %v", names)
			}
		}
	})
	both.Wait()
}
