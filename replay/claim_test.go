package replay

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// slowStore takes a write when it is let.
type slowStore struct {
	Store
	asked, let chan struct{}
}

func (s slowStore) PutIfMatch(context.Context, string, string, []byte) (objstore.Object, error) {
	close(s.asked)
	<-s.let
	return objstore.Object{ETag: "2"}, nil
}

// While a store is slow to take a job's state, whoever asks for the state gets the
// one before: a transaction that is open must not wait for the store, or the broker
// aborts it.
func TestStateIsGivenWhileItIsWritten(t *testing.T) {
	t.Parallel()
	store := slowStore{asked: make(chan struct{}), let: make(chan struct{})}
	s := &Service{store: store, options: Options{Lease: time.Minute}}
	c := &claim{service: s, id: "a", holder: "b", st: &state{ID: "a", Produced: 1, etag: "1"}}
	done := make(chan error, 1)
	go func() { done <- c.update(t.Context(), func(st *state) { st.Produced = 2 }) }()
	<-store.asked
	given := make(chan *state, 1)
	go func() { given <- c.state() }()
	select {
	case st := <-given:
		if st.Produced != 1 {
			t.Errorf("before it is written the state says %d", st.Produced)
		}
	case <-time.After(5 * time.Second):
		t.Error("the state waits for the store")
	}
	close(store.let)
	if err := <-done; err != nil || c.state().Produced != 2 {
		t.Errorf("%v, and then the state says %d", err, c.state().Produced)
	}
}

// hungStore never answers a write.
type hungStore struct{ Store }

func (hungStore) Get(context.Context, string, int64) ([]byte, objstore.Object, error) {
	return nil, objstore.Object{}, schema.Errorf(schema.NotFound, "nothing is there")
}

func (hungStore) PutIfMatch(ctx context.Context, _, _ string, _ []byte) (objstore.Object, error) {
	<-ctx.Done()
	return objstore.Object{}, ctx.Err()
}

// A worker whose store hangs while it renews the lease lets go of the job when others may
// take it, however long the store hangs.
func TestLeaseEndsWhileItIsRenewed(t *testing.T) {
	t.Parallel()
	s := &Service{store: hungStore{}, options: Options{Lease: 200 * time.Millisecond}, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := &claim{service: s, id: "a", holder: "b", st: &state{ID: "a", etag: "1"}, cancel: cancel, kick: make(chan struct{}), repaced: make(chan struct{}, 1)}
	c.extend(c.st)
	go c.keep(ctx)
	select {
	case <-ctx.Done():
		if cause := context.Cause(ctx); !errors.Is(cause, errLost) {
			t.Errorf("it lets go because %v", cause)
		}
	case <-time.After(20 * time.Second):
		t.Error("it keeps the job")
	}
}
