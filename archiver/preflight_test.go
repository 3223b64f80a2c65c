package archiver_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

// on makes an archiver on another store than the rig's.
func (r *rig) on(t *testing.T, store *objstore.Store) *archiver.Archiver {
	t.Helper()
	a, err := archiver.New(archiver.Options{
		Kafka: r.kafka(), Tail: kafka.ConsumerOptions{Group: "annals-archiver"},
		Discovery: 300 * time.Millisecond, Writer: "test", Build: "test", Logger: r.log,
	}, store, ledger.New(store, r.log), r.index, r.rules)
	must(t, err)
	return a
}

func TestTheArchiverRefusesAStoreThatIsNotAtomic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1)
	r.produce(t, "orders", 0, 10)
	store := objstoretest.Embedded(t, objstoretest.Flaws(objstoretest.CheckThenPut))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.on(t, store).Run(ctx); !errors.Is(err, objstore.ErrNotAtomic) {
		t.Errorf("the archiver ended with %v", err)
	}
	for o, err := range store.List(t.Context(), "", "") {
		t.Errorf("it has written %s, %v", o.Key, err)
	}
}

func TestTheArchiverWaitsForAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1)
	r.produce(t, "orders", 0, 10)
	var away atomic.Bool
	away.Store(true)
	store := objstoretest.Embedded(t, func(o *objstore.Options) {
		o.Transport = &objstoretest.Faults{Base: o.Transport, Choose: func(*http.Request) objstoretest.Fault {
			if away.Load() {
				return objstoretest.Refused
			}
			return objstoretest.None
		}}
	})
	a := r.on(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(a.Health()["store"], "start: ping") && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if trouble := a.Health()["store"]; !strings.Contains(trouble, "connection refused") {
		t.Errorf("while the store is away: %q", trouble)
	}
	away.Store(false)
	must(t, a.CatchUp(ctx))
	_, err := a.Seal(ctx, true)
	must(t, err)
	if trouble := a.Health()["store"]; trouble != "" {
		t.Errorf("when the store is back: %q", trouble)
	}
	cancel()
	must(t, <-done)
}
