package objstoretest

import (
	"net/http"
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

// EmbeddedOptions returns the options of a Store on the embedded S3 engine,
// for tests that open several on the same prefix.
func EmbeddedOptions(t testing.TB) objstore.Options {
	t.Helper()
	s3 := embeddedtest.S3(t)
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
