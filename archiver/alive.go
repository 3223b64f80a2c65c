package archiver

import (
	"fmt"
	"sync/atomic"
	"time"
)

// StillAfter is how long the loop may stand still before Alive says so. What it
// waits for in an orderly way, a store that is away, a full budget, a rebalance,
// counts as moving.
const StillAfter = 3 * time.Minute

// pulse tells when the loop moved last. It needs no mutex, since one that is
// never given back is among what it is to find.
type pulse struct{ at atomic.Int64 }

func (p *pulse) beat() { p.at.Store(time.Now().UnixNano()) }

// Alive returns an error when the loop has stood still for StillAfter: then only
// a restart helps. It takes no lock and waits for nothing. Before Run, and after
// it, there is nothing to stand still.
func (a *Archiver) Alive() error {
	at := a.pulse.at.Load()
	if at == 0 {
		return nil
	}
	if still := time.Since(time.Unix(0, at)); still > a.options.StillAfter {
		return fmt.Errorf("the archiver's loop has not moved for %s", still.Round(time.Second))
	}
	return nil
}
