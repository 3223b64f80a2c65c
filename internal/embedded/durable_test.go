package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// TestDurableGroupsCoverEveryWriter models a disk as two counters: a sync makes
// durable what was written when it began.
func TestDurableGroupsCoverEveryWriter(t *testing.T) {
	const writers, each = 32, 40
	var written, durable, syncs, running atomic.Int64
	g := &groupSync{sync: func() error {
		if running.Add(1) != 1 {
			t.Error("two syncs at once")
		}
		began := written.Load()
		time.Sleep(rand.N(500 * time.Microsecond))
		durable.Store(began)
		running.Add(-1)
		syncs.Add(1)
		return nil
	}}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				mine := written.Add(1)
				if err := g.wait(); err != nil {
					t.Error(err)
				}
				if durable.Load() < mine {
					t.Errorf("write %d was answered when %d were durable", mine, durable.Load())
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d writes took %d syncs", writers*each, syncs.Load())
	if syncs.Load() > writers*each/4 {
		t.Errorf("%d syncs for %d writes of %d writers: they are not grouped", syncs.Load(), writers*each, writers)
	}
}

func TestDurableGroupFailsForEver(t *testing.T) {
	broken := errors.New("input/output error")
	var syncs atomic.Int64
	g := &groupSync{sync: func() error {
		if syncs.Add(1) == 1 {
			return broken
		}
		return nil
	}}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				if err := g.wait(); !errors.Is(err, broken) {
					t.Errorf("after a failed sync: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n := syncs.Load(); n != 1 {
		t.Errorf("%d syncs, want no other after the failed one", n)
	}
}

// gatedStore is a real store whose syncs wait for the test.
type gatedStore struct {
	*durable
	began chan struct{}
	end   chan error
}

func newGatedStore(t *testing.T) *gatedStore {
	t.Helper()
	files, err := newRooted(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Shutdown)
	if err := files.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: ptr("annals"), CreateBucketConfiguration: &types.CreateBucketConfiguration{},
	}, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	g := &gatedStore{began: make(chan struct{}), end: make(chan error)}
	g.durable = newDurable(files, func() error {
		g.began <- struct{}{}
		return <-g.end
	}, slog.New(slog.DiscardHandler))
	return g
}

func (g *gatedStore) put(ctx context.Context, key, body string, ifNoneMatch *string) error {
	_, err := g.PutObject(ctx, s3response.PutObjectInput{
		Bucket: ptr("annals"), Key: &key, Body: strings.NewReader(body), ContentLength: ptr(int64(len(body))), IfNoneMatch: ifNoneMatch,
	})
	return err
}

func (g *gatedStore) get(ctx context.Context, key string) (string, error) {
	out, err := g.GetObject(ctx, &s3.GetObjectInput{Bucket: ptr("annals"), Key: &key, Range: ptr("")})
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(out.Body)
	return string(body), errors.Join(err, out.Body.Close())
}

func (g *gatedStore) head(ctx context.Context, key string) error {
	_, err := g.HeadObject(ctx, &s3.HeadObjectInput{Bucket: ptr("annals"), Key: &key})
	return err
}

func ptr[T any](v T) *T { return &v }

// later runs f and returns where its result will be.
func later[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

func stillWaits[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s was answered before the sync: %v", what, v)
	case <-time.After(30 * time.Millisecond):
	}
}

// TestDurableAnswersAfterTheSync: nobody hears of an object before it is
// durable, neither its writer, nor a reader, nor the loser of a race for it.
func TestDurableAnswersAfterTheSync(t *testing.T) {
	g, ctx := newGatedStore(t), t.Context()
	put := later(func() error { return g.put(ctx, "k", "body", ptr("*")) })
	<-g.began // the object is written, its sync runs
	get := later(func() error {
		body, err := g.get(ctx, "k")
		if body != "body" {
			return errors.Join(err, errors.New("read "+body))
		}
		return err
	})
	head := later(func() error { return g.head(ctx, "k") })
	lose := later(func() error { return g.put(ctx, "k", "other", ptr("*")) })
	other := later(func() error { return g.head(ctx, "absent") })
	if err := <-other; err == nil {
		t.Error("an absent object is there")
	}
	stillWaits(t, "PUT", put)
	stillWaits(t, "GET", get)
	stillWaits(t, "HEAD", head)
	stillWaits(t, "the losing PUT", lose)

	g.end <- nil // covers the writer; the others' turn comes with the next
	if err := <-put; err != nil {
		t.Error(err)
	}
	syncing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			select {
			case <-g.began:
				g.end <- nil
			case <-syncing.Done():
				return
			}
		}
	}()
	for what, c := range map[string]<-chan error{"GET": get, "HEAD": head} {
		if err := <-c; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := <-lose; !errors.Is(err, s3err.GetAPIError(s3err.ErrPreconditionFailed)) && !strings.Contains(err.Error(), "reconditio") {
		t.Errorf("the losing PUT: %v", err)
	}
	if body, err := g.get(ctx, "k"); err != nil || body != "body" { // nothing pending: no sync
		t.Errorf("read %q, %v", body, err)
	}
	if len(g.pending) != 0 || g.busy() {
		t.Errorf("left over: %v", g.pending)
	}
}

// TestDurableRefusesAfterAFailedSync: what may be lost is neither acknowledged
// nor shown, and nothing new is taken in; the rest can still be read.
func TestDurableRefusesAfterAFailedSync(t *testing.T) {
	g, ctx := newGatedStore(t), t.Context()
	old := later(func() error { return g.put(ctx, "old", "old", nil) })
	<-g.began
	g.end <- nil
	if err := <-old; err != nil {
		t.Fatal(err)
	}
	put := later(func() error { return g.put(ctx, "k", "body", nil) })
	<-g.began
	g.end <- errors.New("input/output error")
	if err := <-put; !errors.Is(err, s3err.GetAPIError(s3err.ErrInternalError)) {
		t.Errorf("PUT with a failed sync: %v", err)
	}
	if _, err := g.get(ctx, "k"); err == nil {
		t.Error("an object that may be lost can be read")
	}
	if err := g.put(ctx, "new", "body", nil); err == nil {
		t.Error("a PUT after the failed sync was taken")
	}
	if err := g.head(ctx, "new"); err == nil {
		t.Error("a refused PUT was written")
	}
	if body, err := g.get(ctx, "old"); err != nil || body != "old" {
		t.Errorf("an old object: %q, %v", body, err)
	}
}

// TestDurableKnowsEveryChange fails when a new version of versitygw brings a
// method that nobody decided about.
func TestDurableKnowsEveryChange(t *testing.T) {
	unsynced := []string{
		// Reads, and reads that may run ahead of the disk (see durable).
		"HeadBucket", "ListBuckets", "ListBucketsAndOwners", "ListMultipartUploads", "ListObjectVersions",
		"ListObjects", "ListObjectsV2", "ListParts", "GetBucketAcl", "GetBucketCors", "GetBucketOwnershipControls",
		"GetBucketPolicy", "GetBucketTagging", "GetBucketVersioning", "GetBucketWebsite", "GetObjectAcl",
		"GetObjectLegalHold", "GetObjectLockConfiguration", "GetObjectRetention", "GetObjectTagging",
		"SelectObjectContent", "NormalizeObjectKey", "String", "Shutdown",
		// Unfinished uploads: the completion is synced.
		"CreateMultipartUpload", "UploadPart", "UploadPartCopy", "AbortMultipartUpload",
	}
	durableType := reflect.TypeFor[*durable]()
	for m := range reflect.TypeFor[backend.Backend]().Methods() {
		own, _ := durableType.MethodByName(m.Name)
		file, _ := runtime.FuncForPC(own.Func.Pointer()).FileLine(own.Func.Pointer())
		promoted := file == "<autogenerated>"
		if promoted != slices.Contains(unsynced, m.Name) {
			t.Errorf("%s: passed through unsynced is %v; decide in durable_backend.go and here", m.Name, promoted)
		}
	}
}
