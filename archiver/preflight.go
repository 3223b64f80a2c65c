package archiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
)

// tryStore refuses a store on which two archivers could both believe to have
// made the same commit. One that does not answer, or may not be written yet,
// is waited for, and said to be in the way. It runs once, before anything is
// read: 0.1 s on the embedded store, fourteen requests one after another
// (objstore.Store.Preflight).
func (a *Archiver) tryStore(ctx context.Context) error {
	start := cause{from: onStore, what: "start"}
	for pauses := retry.Between(250*time.Millisecond, 10*time.Second); ; {
		trying, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := a.store.Preflight(trying)
		cancel()
		if errors.Is(err, objstore.ErrNotAtomic) {
			return fmt.Errorf("refuse to start: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		a.mu.Lock()
		if err == nil {
			a.clear(start)
			a.mu.Unlock()
			return nil
		}
		a.trouble(start, err)
		a.mu.Unlock()
		if pauses.Wait(ctx) != nil {
			return nil
		}
	}
}
