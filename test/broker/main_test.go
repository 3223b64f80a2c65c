package broker_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/broker"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerRole) != "" {
		if err := workOnReplays(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	embeddedtest.VerifyNoLeaks(run{m}, embeddedtest.IgnoreClickHouse()...)
}

// run ends the shared clusters before goroutines are counted.
type run struct{ *testing.M }

func (r run) Run() int {
	code := r.M.Run()
	for _, s := range []*shared{&single, &three} {
		if err := s.close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// The clusters that tests share, each with topics of its own: starting one costs
// seconds. Tests of the single node run at the same time, so they leave it
// alone; those of the three stop and kill them, and run one after the other.
var (
	single shared
	three  = shared{options: broker.Options{Nodes: 3}}
)

type shared struct {
	options broker.Options
	once    sync.Once
	dir     string
	cluster *broker.Cluster
	err     error
}

// of gives the running cluster; the test is skipped where Kafka cannot be run.
func (s *shared) of(t *testing.T) *broker.Cluster {
	t.Helper()
	s.once.Do(func() {
		started := time.Now()
		if s.dir, s.err = os.MkdirTemp("", "annals-broker-"); s.err == nil {
			s.cluster, s.err = broker.Launch(s.dir, s.options)
		}
		if s.err != nil {
			return
		}
		t.Logf("%d nodes started in %s", max(1, s.options.Nodes), time.Since(started).Round(time.Millisecond))
	})
	broker.Need(t, s.err)
	s.cluster.Watch(t)
	return s.cluster
}

func (s *shared) close() error {
	var err error
	if s.cluster != nil {
		err = s.cluster.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
