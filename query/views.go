package query

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

const (
	streamsAge = 10 * time.Second // how old the list of streams may be
	maxViews   = 20_000           // resolved chains that are kept
)

// knownViews keeps resolved chains: a chain that was read once is read on from
// there.
type knownViews struct {
	mu       sync.Mutex
	views    map[chainKey]*ledger.View
	accounts map[chainKey]*account
	streams  []schema.Stream
	at       time.Time
}

// chainKey is what one chain is of. Two clusters may have the same topic ID, as
// after one was copied from the other.
type chainKey struct {
	cluster string
	schema.StreamKey
}

func chainOf(s schema.Stream) chainKey {
	return chainKey{s.Cluster, s.Key()}
}

// allStreams gives every stream that has a chain.
func (e *Engine) allStreams(ctx context.Context) ([]schema.Stream, error) {
	k := &e.views
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.at) < streamsAge {
		return k.streams, nil
	}
	var streams []schema.Stream
	for s, err := range e.options.Ledger.Streams(ctx) {
		if err != nil {
			return nil, err
		}
		streams = append(streams, s)
	}
	k.streams, k.at = streams, time.Now()
	return streams, nil
}

// view resolves a stream's chain.
func (e *Engine) view(ctx context.Context, s schema.Stream) (*ledger.View, error) {
	k := &e.views
	key := chainOf(s)
	k.mu.Lock()
	known := k.views[key]
	k.mu.Unlock()
	v, err := e.options.Ledger.View(ctx, s, known)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.views == nil || len(k.views) >= maxViews {
		k.views, k.accounts = map[chainKey]*ledger.View{}, map[chainKey]*account{}
	}
	k.views[key] = v
	return v, nil
}

// account adds up a view.
func (e *Engine) account(ctx context.Context, v *ledger.View) (*account, error) {
	k := &e.views
	key := chainOf(v.Stream)
	k.mu.Lock()
	known := k.accounts[key]
	k.mu.Unlock()
	a, err := e.accountFor(ctx, v, known)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.views[key] == v {
		k.accounts[key] = a
	}
	return a, nil
}

// viewsOf resolves the chains of the streams that f wants.
func (e *Engine) viewsOf(ctx context.Context, f func(schema.Stream) bool) ([]*ledger.View, error) {
	streams, err := e.allStreams(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []schema.Stream
	for _, s := range streams {
		if f(s) {
			wanted = append(wanted, s)
		}
	}
	views := make([]*ledger.View, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i, s := range wanted {
		group.Go(func() (err error) {
			views[i], err = e.view(ctx, s)
			return err
		})
	}
	return views, group.Wait()
}

// newestOf is the chain that began last, the first of several that began at once; views
// is not empty.
func newestOf(views []*ledger.View) *ledger.View {
	return slices.MaxFunc(views, func(a, b *ledger.View) int { return a.Genesis.Written().Compare(b.Genesis.Written()) })
}
