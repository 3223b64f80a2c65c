package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// programs are built once for the whole run.
var programs *instance.Programs

// The instance that tests share which only ask: one year of the demo, sealed.
var shared struct {
	once sync.Once
	dir  string
	up   *instance.Instance
	err  error
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if programs, err = instance.Build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if shared.up != nil {
		err = shared.up.Shut()
	}
	for _, e := range []error{err, os.RemoveAll(shared.dir), programs.Remove()} {
		if e != nil {
			fmt.Fprintln(os.Stderr, e)
			code = 1
		}
	}
	return code
}

// demoYear are the flags for one year of rates and nothing live.
func demoYear() []string { return []string{"--demo", "--demo-years", "1", "--demo-no-live"} }

// needsClickHouse skips a test where the embedded ClickHouse is not installed.
func needsClickHouse(t testing.TB) {
	t.Helper()
	if _, err := embedded.FindClickHouseLibrary(); err != nil {
		t.Skip(err)
	}
}

// year gives the shared instance, with everything sealed and indexed.
func year(t *testing.T) *instance.Instance {
	t.Helper()
	needsClickHouse(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "annals-e2e-"); shared.err != nil {
			return
		}
		shared.up, shared.err = programs.Launch(instance.Options{
			DataDir: filepath.Join(shared.dir, "data"), Args: demoYear(),
		})
		if shared.err == nil {
			loaded(t, shared.up)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.up
}

// loaded waits until the demo's year is through and archived.
func loaded(t testing.TB, i *instance.Instance) {
	t.Helper()
	i.Says(t, "history loaded, indexed and sealed", 2*time.Minute)
	settled(t, i)
}

// settled waits until everything that Kafka holds is sealed and indexed.
func settled(t testing.TB, i *instance.Instance) {
	t.Helper()
	instance.Eventually(t, time.Minute, func() error {
		i.Seal(t)
		places := coverage(t, i)
		var records int64
		for place, end := range i.Ends(t) {
			got, ok := places[place]
			if !ok || got.ArchivedTo != end {
				return fmt.Errorf("%v is sealed to %d of %d", place, got.ArchivedTo, end)
			}
			records += got.Counts.Committed
		}
		return indexed(t, i, records)
	})
}

// indexed tells whether the index counts so many committed records, all sealed.
func indexed(t testing.TB, i *instance.Instance, records int64) error {
	t.Helper()
	var fresh, sealed int64
	var list api.TopicList
	i.Ask(t, "/topics", &list)
	for _, topic := range list.Topics {
		fresh += topic.FreshRecords
		sealed += topic.SealedRecords
	}
	if fresh != 0 || sealed != records {
		return fmt.Errorf("the index has %d sealed records and %d fresh ones, the ledger %d", sealed, fresh, records)
	}
	return nil
}

// coverage asks what is archived of every partition.
func coverage(t testing.TB, i *instance.Instance) map[instance.Place]api.PartitionCoverage {
	t.Helper()
	var answer api.Coverage
	i.JSON(t, &answer, "coverage")
	places := map[instance.Place]api.PartitionCoverage{}
	for _, p := range answer.Partitions {
		place := instance.Place{Topic: p.Topic, Partition: p.Partition}
		if _, twice := places[place]; twice {
			t.Fatalf("%v has two branches or incarnations, and nothing here made them", place)
		}
		places[place] = p
	}
	return places
}

// store opens the archive's bucket.
func store(t testing.TB, i *instance.Instance) *objstore.Store {
	t.Helper()
	s, err := objstore.Open(objstore.Options{
		Endpoint: i.Up.S3.Endpoint[len("http://"):], Region: i.Up.S3.Region, Bucket: i.Up.S3.Bucket, Prefix: i.Up.S3.Prefix,
		PathStyle: true, AccessKey: i.Up.S3.AccessKey, SecretKey: i.Up.S3.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// demoTopics are the topics of the demo: others come and go in the tests.
func demoTopics(t testing.TB, i *instance.Instance) []string {
	t.Helper()
	return slices.DeleteFunc(i.Topics(t), func(name string) bool { return !strings.HasPrefix(name, "fx.") })
}

// names gives the sorted keys of a map.
func names[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
