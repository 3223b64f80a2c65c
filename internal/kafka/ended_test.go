package kafka_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
)

// TestEndedOfWhatIsDeleted: of a transaction whose marker was deleted meanwhile no
// broker tells how it ended, and it is not taken for one that is committed.
func TestEndedOfWhatIsDeleted(t *testing.T) {
	t.Parallel()
	k, admin, s := history(t) // offsets 0 to 9
	tx := embeddedtest.KafkaClient(t, k, kgo.TransactionalID("writer"), kgo.DefaultProduceTopic("log"))
	must(t, tx.BeginTransaction())
	for range 3 { // 10 to 12
		must(t, tx.ProduceSync(t.Context(), &kgo.Record{Value: []byte("aborted")}).FirstErr())
	}
	must(t, tx.EndTransaction(t.Context(), kgo.TryAbort)) // 13
	plain := embeddedtest.KafkaClient(t, k, kgo.DefaultProduceTopic("log"))
	must(t, plain.ProduceSync(t.Context(), &kgo.Record{Value: []byte("later")}).FirstErr()) // 14
	leader, err := admin.Leader(t.Context(), s.Topic, 0)
	must(t, err)
	id, _, err := tx.ProducerID(t.Context())
	must(t, err)
	open := []kafka.Open{{Producer: id, From: 10}}
	ask := func(start int64) (map[int64]bool, error) {
		t.Helper()
		_, err := kadm.NewClient(plain).DeleteRecords(t.Context(), kadm.Offsets{"log": {0: {Topic: "log", At: start}}})
		must(t, err)
		return admin.Ended(t.Context(), s, leader, 13, open)
	}
	for _, start := range []int64{0, 11, 13} { // the marker, which was not read, is there
		got, err := ask(start)
		if err != nil {
			t.Fatalf("from %d on: %v", start, err)
		}
		if want := (map[int64]bool{id: false}); !maps.Equal(got, want) {
			t.Errorf("from %d on: %v, want %v", start, got, want)
		}
	}
	if got, err := ask(14); !errors.Is(err, kafka.ErrOffsetOutOfRange) {
		t.Errorf("the marker is deleted: %v, %v", got, err)
	}
}
