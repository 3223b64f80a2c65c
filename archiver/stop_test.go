package archiver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// TestStopSealsWhatIsWorthIt: who stops in an orderly way leaves little to be read
// again: what is worth a segment is sealed, be the membership static or not.
func TestStopSealsWhatIsWorthIt(t *testing.T) {
	t.Parallel()
	for name, instance := range map[string]string{"static": "one", "dynamic": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.topic(t, "held", 2)
			many(t, r.client, "held", 0, 100) // some 100 bytes each, and more
			r.produce(t, "held", 1, 5)
			a, stop := r.archive(t, func(o *archiver.Options) {
				o.Tail.InstanceID = instance
				o.Cut = archiver.Cut{MinBytes: 5000, Age: time.Hour, MaxAge: time.Hour}
			})
			must(t, a.CatchUp(t.Context()))
			stop()
			for partition, want := range []int64{100, 0} {
				head, err := r.book.Head(t.Context(), r.stream("held", id, int32(partition)))
				must(t, err)
				if head.Next != want {
					t.Errorf("partition %d is sealed to %d, want %d", partition, head.Next, want)
				}
			}
		})
	}
}

// TestKafkaIsTold how far the ledger is, and is not asked: an archiver begins where
// the ledger ends, whatever its group has committed.
func TestKafkaIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "told", 1)
	s := r.stream("told", id, 0)
	dynamic := func(o *archiver.Options) { o.Tail.InstanceID = "" }
	sent := r.produce(t, "told", 0, 10)
	a, stop := r.archive(t, dynamic)
	r.sealed(t, a, s, 10)
	admin := kadm.NewClient(r.client)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		committed, err := admin.FetchOffsets(t.Context(), "annals-archiver")
		if err != nil {
			return err
		}
		if o, ok := committed.Lookup("told", 0); !ok || o.At != 10 {
			return fmt.Errorf("the group has committed %+v", committed)
		}
		return nil
	})
	stop()
	sent = append(sent, r.produce(t, "told", 0, 10)...)
	for i, at := range []int64{3, 25} { // behind the ledger, and ahead of it
		wrong := kadm.Offsets{}
		wrong.AddOffset("told", 0, at, -1)
		must(t, admin.CommitAllOffsets(t.Context(), "annals-archiver", wrong))
		a, stop = r.archive(t, dynamic)
		r.sealed(t, a, s, 20+10*int64(i))
		stop()
		same(t, r.rows(t, s), sent)
		sent = append(sent, r.produce(t, "told", 0, 10)...)
	}
}
