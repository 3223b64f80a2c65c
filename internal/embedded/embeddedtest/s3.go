package embeddedtest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// Store says where a test finds its S3.
type Store struct {
	// Endpoint is host:port, plain HTTP, path-style buckets.
	Endpoint string
	// Region is what requests are signed for.
	Region string
	// AccessKey and SecretKey sign the requests.
	AccessKey, SecretKey string
	// Bucket is shared by the tests of the binary.
	Bucket string
	// Prefix is the test's own, without slashes at its ends: write below it.
	Prefix string
	// Dir is the bucket's directory on disk: an object is a plain file in it.
	Dir string
}

// sharedS3 is the one gateway of the test binary: versitygw allows no second
// one in a process.
var sharedS3 struct {
	sync.Mutex
	server *embedded.S3
	dir    string
	users  int
}

// S3 returns the embedded S3 gateway of the test binary, started by the first
// test that asks and stopped when the last one that holds it ends. Each test
// gets a prefix of its own in the bucket.
func S3(t testing.TB) Store {
	t.Helper()
	server, dir, err := acquireS3(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := releaseS3(); err != nil {
			t.Error(err)
		}
	})
	return Store{
		Endpoint:  server.Endpoint(),
		Region:    server.Region(),
		AccessKey: server.AccessKey(),
		SecretKey: server.SecretKey(),
		Bucket:    server.Bucket(),
		Prefix:    "test-" + randomName(),
		Dir:       dir + "/" + server.Bucket(),
	}
}

func acquireS3(t testing.TB) (_ *embedded.S3, dir string, err error) {
	sharedS3.Lock()
	defer sharedS3.Unlock()
	if sharedS3.users > 0 {
		sharedS3.users++
		return sharedS3.server, sharedS3.dir, nil
	}
	// Not t.TempDir: the directory outlives the test that makes it.
	dir, err = os.MkdirTemp("", "annals-test-s3-")
	if err != nil {
		return nil, "", err
	}
	server, err := embedded.StartS3(t.Context(), embedded.S3Options{
		Listen:    "127.0.0.1:0",
		DataDir:   dir,
		AccessKey: "annals",
		SecretKey: "test-" + randomName(),
		Bucket:    "annals",
		Sync:      watchedSync,
	})
	if err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	sharedS3.server, sharedS3.dir, sharedS3.users = server, dir, 1
	return server, dir, nil
}

// SyncWatch is told of every syncfs(2) of the test binary's store: Begin before
// it, End when it was done. One runs at a time, and no write is answered
// between Begin and End.
type SyncWatch struct {
	Begin, End func()
}

var syncWatches struct {
	sync.Mutex
	all map[*SyncWatch]bool
}

// WatchSyncs tells w of the store's syncs until the test ends.
func WatchSyncs(t testing.TB, w *SyncWatch) {
	t.Helper()
	syncWatches.Lock()
	defer syncWatches.Unlock()
	if syncWatches.all == nil {
		syncWatches.all = map[*SyncWatch]bool{}
	}
	syncWatches.all[w] = true
	t.Cleanup(func() {
		syncWatches.Lock()
		defer syncWatches.Unlock()
		delete(syncWatches.all, w)
	})
}

func watchedSync(syncfs func() error) error {
	syncWatches.Lock()
	watching := slices.Collect(maps.Keys(syncWatches.all))
	syncWatches.Unlock()
	for _, w := range watching {
		w.Begin()
	}
	err := syncfs()
	for _, w := range watching {
		if err == nil {
			w.End()
		}
	}
	return err
}

func releaseS3() error {
	sharedS3.Lock()
	defer sharedS3.Unlock()
	sharedS3.users--
	if sharedS3.users > 0 {
		return nil
	}
	err := errors.Join(sharedS3.server.Close(), os.RemoveAll(sharedS3.dir))
	sharedS3.server = nil
	return err
}

func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}
