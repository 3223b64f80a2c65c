package objstoretest

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/objstore"
)

// Embedded opens a Store on the test binary's embedded S3 engine, under a
// prefix of the test's own. Each edit may change the options before.
func Embedded(t testing.TB, edits ...func(*objstore.Options)) *objstore.Store {
	t.Helper()
	return Open(t, EmbeddedOptions(t), edits...)
}

// EmbeddedIn is [Embedded] with the folder on disk that the objects stand in as
// plain files, by their keys.
func EmbeddedIn(t testing.TB, edits ...func(*objstore.Options)) (store *objstore.Store, folder string) {
	t.Helper()
	s3 := embeddedtest.S3(t)
	return Open(t, optionsOf(t, s3), edits...), filepath.Join(s3.Dir, s3.Prefix)
}

// EmbeddedOptions returns the options of a Store on the embedded S3 engine,
// for tests that open several on the same prefix.
func EmbeddedOptions(t testing.TB) objstore.Options {
	t.Helper()
	return optionsOf(t, embeddedtest.S3(t))
}

func optionsOf(t testing.TB, s3 embeddedtest.Store) objstore.Options {
	t.Helper()
	// One pool of connections for all the Stores of a test.
	transport := &http.Transport{MaxIdleConnsPerHost: 128}
	t.Cleanup(transport.CloseIdleConnections)
	return objstore.Options{
		Transport: transport,
		Endpoint:  s3.Endpoint, Region: s3.Region, Bucket: s3.Bucket, Prefix: s3.Prefix, PathStyle: true,
		AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
	}
}

// Open opens a Store and closes it when the test ends.
func Open(t testing.TB, options objstore.Options, edits ...func(*objstore.Options)) *objstore.Store {
	t.Helper()
	for _, edit := range edits {
		edit(&options)
	}
	store, err := objstore.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}
