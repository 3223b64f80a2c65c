package archiver_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
)

// A chain that is damaged stops its partition, and no other, and no longer than
// it is damaged: a read that went wrong on its way is done again.
func TestDamagedChainStopsOnePartition(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "two", 2)
	r.produce(t, "two", 0, 5)
	first := r.stream("two", id, 0)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, first, 5)
	stop()
	whole, _, err := r.store.Get(t.Context(), schema.CommitKey(first, 1), schema.MaxCommitBytes)
	must(t, err)
	_, err = r.store.Put(t.Context(), schema.CommitKey(first, 1), []byte(`{"format":"annals.commit/1"}`))
	must(t, err)
	more := r.produce(t, "two", 0, 3)
	sent := r.produce(t, "two", 1, 7)
	a, _ = r.archive(t, nil)
	second := r.stream("two", id, 1)
	r.sealed(t, a, second, 7)
	same(t, r.rows(t, second), sent)
	if said := a.Health()["store"]; !strings.Contains(said, "two/0") {
		t.Errorf("Health says %q", said)
	}
	_, err = r.store.Put(t.Context(), schema.CommitKey(first, 1), whole)
	must(t, err)
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if said := a.Health()["store"]; said != "" {
			return errors.New(said)
		}
		return nil
	})
	r.sealed(t, a, first, 8)
	same(t, r.rows(t, first)[5:], more)
}

// The loop is alive while there is nothing to do, and is not when it hangs.
func TestAliveUntilTheLoopHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "hangs", 1)
	hung := make(chan struct{})
	let := sync.OnceFunc(func() { close(hung) })
	t.Cleanup(let)
	a, stop := r.archive(t, func(o *archiver.Options) {
		o.StillAfter = 2 * time.Second
		o.Logger = slog.New(hanging{r.log.Handler(), "partition opened", hung})
	})
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if a.Alive() == nil {
			return errors.New("a loop that hangs is said to be alive")
		}
		return nil
	})
	let()
	embeddedtest.Eventually(t, 30*time.Second, a.Alive)
	r.produce(t, "hangs", 0, 3)
	r.sealed(t, a, r.stream("hangs", id, 0), 3)
	stop()
	if err := a.Alive(); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// hanging is a log that does not take a message until somebody lets it.
type hanging struct {
	slog.Handler
	message string
	until   <-chan struct{}
}

// Enabled implements slog.Handler.
func (hanging) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h hanging) Handle(ctx context.Context, record slog.Record) error {
	if record.Message == h.message {
		<-h.until
	}
	if !h.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h hanging) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hanging{h.Handler.WithAttrs(attrs), h.message, h.until}
}
