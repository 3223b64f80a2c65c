package objstore_test

import (
	"flag"
	"log"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for pauses and deadlines more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil {
		log.Fatal(err)
	}
	embeddedtest.VerifyNoLeaks(m)
}

func TestEmbeddedStoreIsAccepted(t *testing.T) {
	objstoretest.Accept(t, func(t *testing.T, pageKeys int) *objstore.Store {
		return objstoretest.Embedded(t, func(o *objstore.Options) { o.PageKeys = pageKeys })
	})
}
