//go:build unix

package archiver_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// A disk that hangs on reads stops sealers and nothing else: the loop moves, and
// the archiver is not alive all the same. When the disk gives up, all goes on.
func TestSpoolThatHangsOnReadsShows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "hung", 1)
	sent := many(t, r.client, "hung", 0, 1500)
	dir, registry := t.TempDir(), prometheus.NewRegistry()
	a, stop := r.archive(t, func(o *archiver.Options) {
		spooling(dir, registry)(o)
		o.StillAfter = 3 * time.Second
	})
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		if measured(t, registry, "annals_archiver_unsealed_records") < 1500 || measured(t, registry, "annals_archiver_spool_bytes") == 0 {
			return fmt.Errorf("nothing is spooled, health %v", a.Health())
		}
		return nil
	})
	must(t, a.Indexed(t.Context()))
	must(t, a.Alive())
	files, err := filepath.Glob(filepath.Join(dir, "annals-spool", "*.frames"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files { // who opens it waits for a writer
		must(t, os.Remove(file))
		must(t, syscall.Mkfifo(file, 0o600))
	}
	let, over := make(chan struct{}), make(chan struct{})
	giveUp := sync.OnceFunc(func() { close(let) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-let
		for {
			for _, file := range files {
				if f, err := os.OpenFile(file, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
					_ = f.Close()
				}
			}
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	// However the test ends: an archiver is not stopped while its disk hangs.
	t.Cleanup(func() {
		giveUp()
		stop()
		close(over)
		<-ended
	})
	sealing := make(chan error, 1)
	go func() {
		_, err := a.Seal(t.Context(), true)
		sealing <- err
	}()
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if said := a.Health()["spool"]; !strings.Contains(said, "has not come to an end") {
			return fmt.Errorf("Health says of the spool: %q", said)
		}
		return nil
	})
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if err := a.Alive(); err == nil || !strings.Contains(err.Error(), "has not come to an end") {
			return fmt.Errorf("with a sealer that hangs: %w", errors.Join(errors.New("alive"), err))
		}
		return nil
	})
	giveUp()
	embeddedtest.Eventually(t, 30*time.Second, a.Alive)
	must(t, <-sealing)
	s := r.stream("hung", id, 0)
	r.sealed(t, a, s, 1500)
	r.verified(t, s, sent)
}
