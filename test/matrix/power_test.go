package matrix

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// file is an object as it is on disk.
type file struct {
	body   []byte
	xattrs map[string][]byte
}

// folder is what is below a prefix of the store, by path.
type folder map[string]file

// readFolder copies what is there. What comes and goes meanwhile may be in it,
// or not.
func readFolder(dir string) (folder, error) {
	all := folder{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreGone(err)
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return ignoreGone(err)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[name] = file{body: body, xattrs: readXattrs(path)}
		return nil
	})
	return all, ignoreGone(err)
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func readXattrs(path string) map[string][]byte {
	names := make([]byte, 4096)
	n, err := unix.Listxattr(path, names)
	if err != nil {
		return nil
	}
	all := map[string][]byte{}
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		value := make([]byte, 4096)
		if n, err := unix.Getxattr(path, string(name), value); err == nil {
			all[string(name)] = value[:n]
		}
	}
	return all
}

func (f file) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, f.body, 0o600); err != nil {
		return err
	}
	for name, value := range f.xattrs {
		if err := unix.Setxattr(path, name, value, 0); err != nil {
			return err
		}
	}
	return nil
}

// outage is a loss of power: what was on disk for certain, and what may have
// been.
type outage struct {
	r   *rig
	dir string
	at  int // the power fails when this many syncs with something to do have begun

	mu      sync.Mutex
	pending folder // as of the begin of the sync that runs
	certain folder // as of the begin of the last sync that was done
	there   folder // when the power failed
	err     error
	begun   int
	failed  chan struct{}
}

// begin and end are called around every sync of the store.
func (o *outage) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.there != nil || o.err != nil {
		return
	}
	now, err := readFolder(o.dir)
	if err != nil {
		o.err = err
		close(o.failed)
		return
	}
	o.pending = now
	if len(now) == len(o.certain) { // objects are never changed in place
		return
	}
	if o.begun++; o.begun < o.at {
		return
	}
	o.r.s3.cut(true)
	o.r.search.cut(true)
	o.there = now
	close(o.failed)
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.there == nil {
		o.certain = o.pending
	}
}

func (o *outage) over() bool {
	select {
	case <-o.failed:
		return true
	default:
		return false
	}
}

// After an outage a file that was not synced is there as a whole, in part,
// empty, or not at all.
const (
	absent = iota
	whole
	half
	empty
	fates
)

// leave writes what the outage left to a folder. fate chooses for each file
// that was not synced.
func (o *outage) leave(t *testing.T, dir string, random *rand.Rand, fate func() int) (unsynced int) {
	t.Helper()
	for name, f := range o.certain {
		must(t, f.write(filepath.Join(dir, name)))
	}
	for name, f := range o.there {
		if _, ok := o.certain[name]; ok {
			continue
		}
		unsynced++
		switch fate() {
		case absent:
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
			continue
		case half:
			f.body = f.body[:len(f.body)/2]
			f.xattrs = either(random, f.xattrs)
		case empty:
			f.body, f.xattrs = nil, either(random, f.xattrs)
		}
		must(t, f.write(filepath.Join(dir, name)))
	}
	return unsynced
}

// either is what there was, or nothing.
func either(random *rand.Rand, xattrs map[string][]byte) map[string][]byte {
	if random.IntN(2) == 0 {
		return nil
	}
	return xattrs
}

// setTornAside does what the store does at its start. The store of the tests
// runs, so the folder is shown as one of its own.
func (r *rig) setTornAside(t *testing.T, where string) {
	t.Helper()
	alone := t.TempDir()
	from, to := filepath.Join(where, r.at.Prefix), filepath.Join(alone, "bucket")
	must(t, os.Rename(from, to))
	_, err := embedded.SetTornAside(alone, embeddedtest.Log())
	must(t, err)
	must(t, os.Rename(to, from))
}

// cutPower takes the power from the store while an archiver writes to it. What
// was acknowledged is on disk, as of a sync; what was not may be there as well,
// whole, cut or empty. An archiver that finds that goes on.
func cutPower(t *testing.T, b *breakage, p *place) {
	r := newRig(t, p)
	r.some(t)
	where := embeddedtest.S3(t).Dir
	random := rand.New(rand.NewPCG(uint64(b.variant), 11))
	o := &outage{r: r, dir: filepath.Join(where, r.at.Prefix), at: 2 + random.IntN(8), failed: make(chan struct{})}
	embeddedtest.WatchSyncs(t, &embeddedtest.SyncWatch{Begin: o.begin, End: o.end})
	_, stop := r.archive(t, setting{})
	for deadline := time.Now().Add(recovery); !o.over(); {
		if time.Now().After(deadline) {
			t.Fatalf("the power was to fail at sync %d, which did not come", o.at)
		}
		r.some(t)
		select {
		case <-o.failed:
		case <-time.After(3 * time.Second): // writers share syncs
		}
	}
	stop()
	must(t, o.err)
	r.s3.acknowledged(func(key string) {
		if _, ok := o.certain[key]; !ok {
			t.Errorf("%s was acknowledged and not synced", key)
		}
	}, r.at.Bucket+"/"+r.at.Prefix+"/")

	r.at.Prefix += "-after"
	unsynced := o.leave(t, filepath.Join(where, r.at.Prefix), random, func() int {
		if b.variant < fates {
			return b.variant
		}
		return random.IntN(fates)
	})
	if unsynced == 0 {
		t.Fatal("everything was synced when the power failed")
	}
	r.setTornAside(t, where)
	r.store = r.open(t, r.at.Endpoint)
	a, stop := r.archive(t, setting{direct: true, recheck: true})
	r.settle(t, a, true)
	stop()
	must(t, r.verify(t))
}
