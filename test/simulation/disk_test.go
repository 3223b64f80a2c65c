//go:build synctests

package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/archiver"
)

// spooled gives some seeds a spool, and a memory so small that it is used: what
// is buffered waits for its age there.
func (s *settings) spooled(d *dice) {
	if s.drill != nil && s.drill.spool {
		s.options.Memory, s.options.Spool.Bytes, s.big = 4_000, int64(d.within(600, 1_600)), 200 // of which a buffer takes about 700
		s.options.Cut = archiver.Cut{Bytes: 1 << 20, MinBytes: 1 << 20, Age: time.Minute, MaxAge: 2 * time.Minute}
		return
	}
	if !d.chance(0.35) || s.sleeper {
		return
	}
	s.options.Memory = int64(d.within(2_000, 6_000))
	s.options.Spool.Bytes = oneOf(d, []int64{1_000, 40_000, 1 << 20})
	s.options.Cut = archiver.Cut{
		Bytes: oneOf(d, []int64{20_000, 1 << 20}), MinBytes: 1 << 20,
		Age: d.time(2*time.Second, 20*time.Second), MaxAge: d.time(20*time.Second, 40*time.Second),
	}
}

// disk is where one process has its spool. A nil one is none.
type disk struct {
	world   *world
	dir     string
	metrics *prometheus.Registry
	gone    bool // somebody deleted the folder
}

// newDisk is an empty one, or has what a killed process left.
func (w *world) newDisk() (*disk, error) {
	if w.settings.options.Spool.Bytes == 0 {
		return nil, nil
	}
	d := &disk{world: w, dir: w.leftover, metrics: prometheus.NewRegistry()}
	w.leftover = ""
	if d.dir == "" {
		d.dir = filepath.Join(w.dir, "spool-"+strconv.Itoa(w.launched))
	}
	return d, os.MkdirAll(d.dir, 0o700)
}

func (d *disk) use(o *archiver.Options) {
	if d != nil {
		o.Spool.Dir, o.Registerer = d.dir, d.metrics
	}
}

func (d *disk) folder() string { return filepath.Join(d.dir, "annals-spool") }

// files are those that have frames, or had them a moment ago.
func (d *disk) files() []string {
	list, _ := filepath.Glob(filepath.Join(d.folder(), "*.frames")) // the pattern is a good one
	return list
}

// leave keeps what is there for the next process, as it is when this one is
// killed: it ends in peace, and would take it along.
func (d *disk) leave() {
	if d == nil {
		return
	}
	left := d.dir + "-left"
	if err := os.MkdirAll(filepath.Join(left, "annals-spool"), 0o700); err != nil {
		return
	}
	for _, path := range d.files() {
		if body, err := os.ReadFile(path); err == nil {
			_ = os.WriteFile(filepath.Join(left, "annals-spool", filepath.Base(path)), body, 0o600) // any subset will do
		}
	}
	d.world.leftover = left
}

// measured reads a metric, all its series added up.
func (d *disk) measured(name string) (sum float64) {
	if d == nil {
		return 0
	}
	return sumOf(d.metrics, name)
}

// sumOf adds up a metric's series; -1: they could not be had.
func sumOf(metrics *prometheus.Registry, name string) (sum float64) {
	families, err := metrics.Gather()
	if err != nil {
		return -1
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// close is for a process that has ended: it has left nothing.
func (d *disk) close() error {
	if d == nil {
		return nil
	}
	saw.add(d)
	if left := d.files(); len(left) > 0 && !d.gone {
		return fmt.Errorf("disk: %d files are left in its spool", len(left))
	}
	return nil
}

type diskFault struct {
	name string
	do   func(*dice, *disk, []string) error
}

// What happens to a disk, the folder last. What is done to a file that goes
// meanwhile is not done.
var diskFaults = []diskFault{
	{"a bit of a frame flips", func(draw *dice, _ *disk, files []string) error {
		return changeFile(oneOf(draw, files), func(b []byte) []byte {
			if len(b) > 0 {
				b[draw.below(len(b))] ^= 1 << draw.below(8)
			}
			return b
		})
	}},
	{"a file of frames is cut short", func(draw *dice, _ *disk, files []string) error {
		return changeFile(oneOf(draw, files), func(b []byte) []byte { return b[:draw.below(len(b)+1)] })
	}},
	{"a file of frames is deleted", func(draw *dice, _ *disk, files []string) error { return os.Remove(oneOf(draw, files)) }},
	{"a file of frames has the bytes of another", func(draw *dice, _ *disk, files []string) error {
		other, err := os.ReadFile(oneOf(draw, files))
		if err != nil {
			return err
		}
		return changeFile(oneOf(draw, files), func([]byte) []byte { return bytes.Clone(other) })
	}},
	{"the next files cannot be created", func(draw *dice, d *disk, files []string) error {
		last := 0
		for _, path := range files {
			if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".frames")); err == nil {
				last = max(last, n)
			}
		}
		for n := range draw.within(1, 6) {
			if err := os.Mkdir(filepath.Join(d.folder(), strconv.Itoa(last+1+n)+".frames"), 0o700); err != nil {
				return err
			}
		}
		return nil
	}},
	{"the folder is deleted", func(_ *dice, d *disk, _ []string) error {
		d.gone = true
		return os.RemoveAll(d.folder())
	}},
}

func changeFile(path string, change func([]byte) []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // it is not created
	if err != nil {
		return err
	}
	defer f.Close()
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if body = change(body); f.Truncate(int64(len(body))) == nil {
		_, err = f.WriteAt(body, 0)
	}
	return err
}

// breakDisk does something to the spool of a process.
func (w *world) breakDisk(context.Context) (bool, error) {
	p := w.anyProcess()
	if p == nil || p.disk == nil || p.gate.isShut() || len(p.disk.files()) == 0 {
		return false, nil
	}
	return true, w.breakDiskOf(p, oneOf(w.script, diskFaults))
}

func (w *world) breakDiskOf(p *process, fault diskFault) error {
	files := p.disk.files()
	if len(files) == 0 {
		return nil
	}
	w.note("disk of archiver %s, %d files: %s", p.name, len(files), fault.name)
	var path *fs.PathError
	if err := fault.do(w.script, p.disk, files); err != nil && !errors.As(err, &path) {
		return err
	}
	return nil
}

// sights are what the spools of all seeds came to see.
type sights struct {
	mu   sync.Mutex
	seen map[string]float64
}

var saw = sights{seen: map[string]float64{}}

var spoolMetrics = []string{
	"annals_archiver_spool_written_bytes_total", "annals_archiver_spool_read_bytes_total", "annals_archiver_spool_full_total",
	"annals_archiver_spool_failures_total", "annals_archiver_spool_damaged_total",
}

func (s *sights) add(d *disk) {
	for _, name := range spoolMetrics {
		n := d.measured(name)
		s.mu.Lock()
		s.seen[name] += n
		s.mu.Unlock()
	}
}

// check fails if something about spools was left untried, or says that it was
// if nothing was aimed at it.
func (s *sights) check(t *testing.T, aimed bool) {
	for _, name := range spoolMetrics {
		switch n := s.seen[name]; {
		case n > 0:
			t.Logf("%s: %.0f", name, n)
		case aimed:
			t.Errorf("%s is 0, and the drill is aimed at it", name)
		default:
			t.Logf("%s: 0: indeterminate, these histories say nothing of it", name)
		}
	}
}
