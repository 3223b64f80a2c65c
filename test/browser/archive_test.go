package browser_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/deadletter"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/browser"
	"github.com/fx-risk-ai/annals/test/instance"
)

// A browser walks the explorer over a real archive: search, trace, graph,
// record, topics, catalog, anomalies, an export, a replay from plan to receipt;
// light and dark.
// BROWSER_OUT keeps the pictures.
func TestExplorerOverAnArchive(t *testing.T) {
	instance.NeedsClickHouse(t)
	needsBrowser(t)
	programs := instance.Built(t)
	up := programs.Start(t, instance.Options{Args: instance.DemoYear()})
	up.Loaded(t)
	keepDeadLetters(t, up)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	said, err := browser.Walk(ctx, up.Up.Web, pictures(t))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Log(said)
}

// keepDeadLetters puts dead letters into the archive as an archiver does: none
// of the demo's records makes one.
func keepDeadLetters(t *testing.T, up *instance.Instance) {
	t.Helper()
	s3 := up.Up.S3
	at, err := url.Parse(s3.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	store, err := objstore.Open(objstore.Options{
		Endpoint: at.Host, Region: s3.Region, Bucket: s3.Bucket, Prefix: s3.Prefix, PathStyle: true, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for s, err := range ledger.New(store, nil).Streams(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Topic != "fx.rates.received" && s.Topic != "fx.rates.enriched" {
			continue
		}
		now := time.Now().UTC().Format(time.RFC3339Nano)
		l := schema.DeadLetter{
			Format:    schema.DeadLetterFormat,
			Component: schema.LetterIndex, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, From: 3, To: 4,
			Error: "insert records: code 117: the row is refused", Attempts: 3, First: now, Last: now, Writer: "another/1", Build: "annals of another day",
		}
		if s.Topic == "fx.rates.enriched" {
			l.Component, l.Error = schema.LetterExtraction, "the rules failed: <script>alert(1)</script> out of range"
		}
		if err := deadletter.Put(t.Context(), store, l); err != nil {
			t.Fatal(err)
		}
	}
}

// needsBrowser skips a test where a browser or the built explorer is missing.
func needsBrowser(t *testing.T) {
	t.Helper()
	if missing := browser.Missing(); missing != "" {
		t.Skip(missing)
	}
	if _, err := os.Stat(built + "/index.html"); err != nil {
		t.Skip("the explorer is not built: make ui")
	}
}

// built is the folder of the built explorer.
const built = "../../web/ui/dist"

// pictures gives the folder for what the browser saw.
func pictures(t *testing.T) string {
	t.Helper()
	if out := os.Getenv("BROWSER_OUT"); out != "" {
		return out
	}
	return t.TempDir()
}
