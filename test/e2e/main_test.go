package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/test/instance"
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

// year gives the shared instance, with everything sealed and indexed.
func year(t *testing.T) *instance.Instance {
	t.Helper()
	instance.NeedsClickHouse(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "annals-e2e-"); shared.err != nil {
			return
		}
		shared.up, shared.err = programs.Launch(instance.Options{
			DataDir: filepath.Join(shared.dir, "data"), Args: instance.DemoYear(),
		})
		if shared.err == nil {
			shared.up.Loaded(t)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.up
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
