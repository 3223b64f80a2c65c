package instance

import (
	"fmt"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/web/api"
)

// Loaded waits until the demo's history is through, sealed and indexed.
func (i *Instance) Loaded(t testing.TB) {
	t.Helper()
	i.Says(t, "history loaded, indexed and sealed", 2*time.Minute)
	i.Settled(t)
}

// Settled waits until everything that Kafka holds is sealed and indexed.
func (i *Instance) Settled(t testing.TB) {
	t.Helper()
	embeddedtest.Eventually(t, time.Minute, func() error {
		i.Seal(t)
		places := i.Coverage(t)
		var records int64
		for place, end := range i.Ends(t) {
			got, ok := places[place]
			if !ok || got.ArchivedTo != end {
				return fmt.Errorf("%v is sealed to %d of %d", place, got.ArchivedTo, end)
			}
			records += got.Counts.Committed
		}
		return i.indexed(t, records)
	})
}

// indexed tells whether the index counts so many committed records, all sealed.
func (i *Instance) indexed(t testing.TB, records int64) error {
	t.Helper()
	var fresh, sealed int64
	var list api.TopicList
	i.Ask(t, "/topics", &list)
	for _, topic := range list.Topics {
		fresh += topic.FreshRecords
		sealed += topic.SealedRecords
	}
	if fresh != 0 || sealed != records {
		return fmt.Errorf("the index has %d sealed records and %d fresh ones, the ledger %d", sealed, fresh, records)
	}
	return nil
}

// Coverage asks what is archived of every partition; a topic with two
// incarnations or branches fails the test.
func (i *Instance) Coverage(t testing.TB) map[Place]api.PartitionCoverage {
	t.Helper()
	var answer api.Coverage
	i.JSON(t, &answer, "coverage")
	places := map[Place]api.PartitionCoverage{}
	for _, p := range answer.Partitions {
		place := Place{Topic: p.Topic, Partition: p.Partition}
		if _, twice := places[place]; twice {
			t.Fatalf("%v has two branches or incarnations, and nothing here made them", place)
		}
		places[place] = p
	}
	return places
}
