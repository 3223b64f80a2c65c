package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// spooling is an archiver's spool, and what its metrics say of it.
type spooling struct {
	dir     string
	bytes   int64
	metrics *prometheus.Registry
}

func newSpooling(dir string) *spooling {
	return &spooling{dir: dir, bytes: 64 << 20, metrics: prometheus.NewRegistry()}
}

// use has an archiver keep little in memory, and cut nothing by itself.
func (s *spooling) use(o *archiver.Options) {
	o.Memory, o.Spool, o.Registerer = 48<<10, archiver.Spool{Dir: s.dir, Bytes: s.bytes}, s.metrics
	o.Cut = archiver.Cut{Bytes: 64 << 20, Age: time.Hour, MaxAge: time.Hour}
}

// measured sums a metric's series that have a label; empty: all.
func (s *spooling) measured(name, label string) (sum float64) {
	families, err := s.metrics.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && strings.Contains(fmt.Sprint(m.GetLabel()), label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// files are those that have frames.
func (s *spooling) files() (found []string) {
	list, _ := filepath.Glob(filepath.Join(s.dir, "annals-spool", "*.frames")) // the pattern is a good one
	for _, path := range list {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			found = append(found, path)
		}
	}
	return found
}

// spoolVariants is how many cases a fault has at the spool's disk; 0: it makes
// no sense there.
func spoolVariants(column string) int {
	switch column {
	case full: // its budget, what the system allows a file, or no frame is as small as its budget
		return 3
	case replyLost: // of what was cut from it
		return 2
	case flippedBody, shortBody, deleted, killed, stopped:
		return 1
	default:
		return 0
	}
}

// breakSpool is a case in which records wait in the spool.
func breakSpool(t *testing.T, b *breakage, p *place) {
	r := newRig(t, p)
	for range 4 {
		r.some(t)
	}
	s := newSpooling(t.TempDir())
	switch {
	case b.column == killed:
		killSpooling(t, r, s)
		return
	case b.column == stopped:
		stopSpooling(t, r, s)
		return
	case b.column == full && b.variant == 1:
		_, ended, said := r.spawn(t, func(e *engines) { e.Spool, e.FileLimit = s.dir, 500 })
		if err := <-ended; err != nil {
			t.Fatalf("the process ended: %v: %s", err, said)
		}
		must(t, r.verify(t))
		return
	case b.column == full:
		s.bytes = []int64{1300, 0, 50}[b.variant] // a frame has about 1000
	}
	a, stop := r.archive(t, setting{spool: s})
	embeddedtest.Eventually(t, recovery, func() error {
		if b.column != full && s.measured("annals_archiver_spool_bytes", "") == 0 {
			return fmt.Errorf("nothing was spooled, health: %v", a.Health())
		}
		return a.CatchUp(t.Context())
	})
	fired := breakFiles(t, b, r, s)
	r.settle(t, a, true)
	for try := 0; b.column == full && fired() != nil && try < 20; try++ { // the room is gone for a moment only
		r.some(t)
		r.settle(t, a, true)
	}
	must(t, fired())
	if said := a.Health()["spool"]; b.column == full && (b.variant == 2) != strings.Contains(said, "too small") {
		t.Errorf("of a spool of %d bytes Health says %q", s.bytes, said)
	}
	stop()
	if left := s.files(); len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
	must(t, r.verify(t))
}

// breakFiles does what the column says. What it returns tells whether that came
// to anything.
func breakFiles(t *testing.T, b *breakage, r *rig, s *spooling) (fired func() error) {
	t.Helper()
	switch b.column {
	case flippedBody:
		for _, path := range s.files() {
			flip(t, path)
		}
	case shortBody:
		for _, path := range s.files() {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, info.Size()/2))
		}
	case deleted:
		must(t, os.RemoveAll(filepath.Join(s.dir, "annals-spool")))
	case replyLost:
		at := []string{"/data/", "/ledger/"}[b.variant]
		g := &trigger{n: 1, count: 1}
		r.s3.arm(&ambush{trigger: g, match: path("PUT", at), fault: ofHTTP[replyLost]})
		return func() error {
			if read := s.measured("annals_archiver_spool_read_bytes_total", "segment"); g.hits() == 0 || read == 0 {
				return fmt.Errorf("%d answers were lost, %.0f bytes were cut from the spool", g.hits(), read)
			}
			return nil
		}
	}
	name := "annals_archiver_spool_damaged_total"
	switch {
	case b.column == full && b.variant == 2:
		name = "annals_archiver_spool_failures_total"
	case b.column == full:
		name = "annals_archiver_spool_full_total"
	}
	return func() error {
		if s.measured(name, "") == 0 {
			return fmt.Errorf("%s is 0: it did not fire", name)
		}
		return nil
	}
}

// killSpooling kills a process whose records wait in its spool. The next one
// finds its files, and no use for them.
func killSpooling(t *testing.T, r *rig, s *spooling) {
	t.Helper()
	cmd, ended, _ := spawnSpooling(t, r, s)
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	<-ended
	left := s.files()
	if len(left) == 0 {
		t.Fatal("the process was killed, and left nothing in its spool")
	}
	a, stop := r.archive(t, setting{direct: true, spool: s})
	r.settle(t, a, true)
	stop()
	if now := s.files(); len(now) > 0 {
		t.Errorf("left in the spool: %v, of the one that was killed: %v", now, left)
	}
	must(t, r.verify(t))
}

// stopSpooling has a process stand still while its records wait in its spool, and
// another one archive them. The first goes on, and has nothing of it to seal.
func stopSpooling(t *testing.T, r *rig, s *spooling) {
	t.Helper()
	cmd, ended, said := spawnSpooling(t, r, s)
	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	a, stop := r.archive(t, setting{direct: true, group: "rival"})
	r.settle(t, a, true)
	stop()
	if len(s.files()) == 0 {
		t.Fatal("the process stood still, and its spool is empty")
	}
	must(t, cmd.Process.Signal(syscall.SIGUSR1))
	must(t, cmd.Process.Signal(syscall.SIGCONT))
	if err := <-ended; err != nil {
		t.Fatalf("the process that stood still ended: %v: %s", err, said)
	}
	if left := s.files(); len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
	must(t, r.verify(t))
}

// spawnSpooling starts a process that keeps what it reads, until some of it is
// in its spool.
func spawnSpooling(t *testing.T, r *rig, s *spooling) (cmd *exec.Cmd, ended <-chan error, said *bytes.Buffer) {
	t.Helper()
	cmd, ended, said = r.spawn(t, func(e *engines) { e.Spool, e.Hold = s.dir, true })
	embeddedtest.Eventually(t, recovery, func() error {
		select {
		case err := <-ended:
			t.Fatalf("the process ended: %v: %s", err, said)
		default:
		}
		if len(s.files()) == 0 {
			return errors.New("nothing was spooled")
		}
		return nil
	})
	return cmd, ended, said
}

// spooling is that of an archiver's process.
func (e *engines) spooling() *spooling {
	if e.Spool == "" {
		return nil
	}
	return newSpooling(e.Spool)
}

// limit has the system refuse writes beyond FileLimit, as a full disk does: in
// the midst of a frame.
func (e *engines) limit() error {
	if e.FileLimit == 0 {
		return nil
	}
	signal.Ignore(syscall.SIGXFSZ)
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: e.FileLimit, Max: e.FileLimit})
}

// wasLimited tells whether that never happened.
func (e *engines) wasLimited(s *spooling) error {
	if e.FileLimit > 0 && s.measured("annals_archiver_spool_failures_total", "") == 0 {
		return errors.New("the disk was never full")
	}
	return nil
}
