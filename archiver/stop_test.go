package archiver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
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

// hungStore is a store that never answers a PUT of a segment.
type hungStore struct {
	archiver.Store
	asked chan struct{} // has one, if it was asked
}

func (s hungStore) Put(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if !strings.HasPrefix(key, "data/") {
		return s.Store.Put(ctx, key, body)
	}
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return objstore.Object{}, schema.Errorf(schema.Unavailable, "put %s: %w", key, ctx.Err())
}

// TestStopWithAStoreThatHangs: who stops waits for the store no longer than the
// group would, whether a segment is under way or is cut as the partition goes; and
// whoever comes next reads again what was not sealed.
func TestStopWithAStoreThatHangs(t *testing.T) {
	t.Parallel()
	for name, underWay := range map[string]bool{"a segment under way": true, "a cut as it goes": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.topic(t, "held", 1)
			s := r.stream("held", id, 0)
			sent := many(t, r.client, "held", 0, 100)
			hung := hungStore{r.store, make(chan struct{}, 1)}
			r.objects = hung
			// At most half of it for Revoked and what comes before, and a request's
			// own time: without a bound of its own a stop took three quarters of a minute.
			const rebalance, slack = 6 * time.Second, 20 * time.Second
			a, stop := r.archive(t, func(o *archiver.Options) {
				o.Tail.InstanceID, o.Tail.RebalanceTimeout = "", rebalance
				o.Cut = archiver.Cut{MinBytes: 1, Age: time.Hour, MaxAge: time.Hour}
			})
			must(t, a.CatchUp(t.Context()))
			if underWay {
				_, err := a.Seal(t.Context(), false)
				must(t, err)
				<-hung.asked
			}
			began := time.Now()
			stop()
			took := time.Since(began)
			t.Logf("stopped in %s", took)
			if took > rebalance/2+slack {
				t.Errorf("it took %s to stop", took)
			}
			if !underWay {
				select {
				case <-hung.asked:
				default:
					t.Error("what is worth sealing was not cut when the partition went")
				}
			}
			head, err := r.book.Head(t.Context(), s)
			must(t, err)
			if head.Next != 0 {
				t.Errorf("the chain goes to %d by a store that takes nothing", head.Next)
			}
			r.objects = nil
			next, _ := r.archive(t, func(o *archiver.Options) { o.Tail.InstanceID = "" })
			r.sealed(t, next, s, 100)
			r.verified(t, s, sent)
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
