package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/broker"
	"github.com/fx-risk-ai/annals/test/verify"
)

// abandoned is after how long the coordinator aborts a transaction in these tests.
const abandoned = 1500 * time.Millisecond

// worker is what a process needs to work on a rig's replays. Its environment says that
// it is one.
type worker struct {
	Brokers []string
	Store   objstore.Options
}

const positionTopic = "__annals_replay_positions"

const workerRole = "ANNALS_TEST_REPLAY_WORKER"

func workOnReplays() error {
	var w worker
	if err := json.NewDecoder(os.Stdin).Decode(&w); err != nil {
		return err
	}
	store, err := objstore.Open(w.Store)
	if err != nil {
		return err
	}
	defer store.Close()
	brokers, err := replay.Connect(kafka.Options{Brokers: w.Brokers, ClientID: "annals-test", MetadataMaxAge: time.Second})
	if err != nil {
		return err
	}
	defer brokers.Close()
	log := slog.New(slog.DiscardHandler)
	s, err := replay.New(heldOptions("stopped", log), brokers, store, ledger.New(store, log), nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.Work(ctx)
}

func heldOptions(name string, log *slog.Logger) replay.Options {
	return replay.Options{
		PositionTopic: positionTopic, Worker: name, Lease: time.Second, Poll: 50 * time.Millisecond, Batch: 4 << 10,
		Transaction: abandoned, Logger: log,
	}
}

// started is a rig with an archived topic of two partitions and a replay of it that
// nobody works on yet.
type started struct {
	*rig
	brokers *replay.Connection
	asked   *replay.Service
	plan    *answer.ReplayPlan
	sources []*verify.Held
}

func start(t *testing.T, cluster *broker.Cluster, pace *answer.ReplayPace) *started {
	t.Helper()
	r := newRig(t, cluster)
	s := r.topic(t, "source", 2, map[string]string{"retention.ms": "-1"})
	for partition := range int32(2) {
		r.produce(t, at(s, partition), 400)
	}
	a, stop := r.archive(t, nil)
	sources := []*verify.Held{r.archived(t, a, s), r.archived(t, a, at(s, 1))}
	stop()
	brokers, err := replay.Connect(r.kafka())
	must(t, err)
	t.Cleanup(brokers.Close)
	asked := r.held(t, brokers, "asked")
	plan, err := asked.Plan(t.Context(), policy.Everything(), answer.ReplayRequest{Topics: []string{s.Topic}, TargetPrefix: "held."})
	must(t, err)
	_, err = asked.Run(t.Context(), policy.Everything(), plan.ID, pace)
	must(t, err)
	return &started{r, brokers, asked, plan, sources}
}

func (r *rig) held(t *testing.T, cluster replay.Brokers, name string) *replay.Service {
	t.Helper()
	s, err := replay.New(heldOptions(name, r.log), cluster, r.store, r.book, nil)
	must(t, err)
	return s
}

// work has a service work until the test ends.
func work(t *testing.T, s *replay.Service) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Work(ctx) }()
	t.Cleanup(func() { stop(); must(t, <-done) })
}

// until waits for what the job is to have come to.
func (s *started) until(t *testing.T, is func(*answer.ReplayJob) bool) *answer.ReplayJob {
	t.Helper()
	var job *answer.ReplayJob
	embeddedtest.Eventually(t, time.Minute, func() (err error) {
		if job, err = s.asked.Get(t.Context(), policy.Everything(), s.plan.ID); err != nil {
			return err
		}
		if job.State == answer.JobFailed {
			t.Fatalf("the replay failed: %s", job.Error)
		}
		if !is(job) {
			err = fmt.Errorf("the replay is %s, %d of %d: %s", job.State, job.Produced, job.Planned, job.Error)
		}
		return err
	})
	return job
}

// isExact waits for the receipt and holds the target against the source.
func (s *started) isExact(t *testing.T) {
	t.Helper()
	job := s.until(t, func(job *answer.ReplayJob) bool { return job.State == answer.JobDone })
	if !job.Receipt.Matches || !job.Receipt.Exclusive {
		t.Errorf("receipt %+v", job.Receipt)
	}
	s.isDelivered(t)
}

func (s *started) isDelivered(t *testing.T) {
	t.Helper()
	for partition, source := range s.sources {
		s.isReplayed(t, s.plan.Topics[0].Target, int32(partition), source.Rows)
	}
}

// aborted counts the transactions that were taken back in the target.
func (s *started) aborted(t *testing.T) (n int) {
	t.Helper()
	for partition := range s.sources {
		for _, record := range s.served(t, schema.Stream{Topic: s.plan.Topics[0].Target, Partition: int32(partition)}, kgo.ReadUncommitted()) {
			if record.Attrs.IsControl() && bytes.Equal(record.Key, []byte{0, 0, 0, 0}) {
				n++
			}
		}
	}
	return n
}

// open tells whether a transaction is open in the target.
func (s *started) open(t *testing.T) bool {
	t.Helper()
	target := s.plan.Topics[0].Target
	bounds, err := s.brokers.Offsets(t.Context(), target)
	must(t, err)
	for _, b := range bounds[target] {
		if b.Err == nil && b.LastStable < b.HighWatermark {
			return true
		}
	}
	return false
}

// TestTransactionTimesOut: a worker is held up in the midst of a transaction for longer
// than the coordinator waits, and goes on as if nothing was.
func TestTransactionTimesOut(t *testing.T) {
	t.Parallel()
	s := start(t, single.of(t), nil)
	var commits atomic.Int64
	work(t, s.held(t, counted{s.brokers, func() {
		if commits.Add(1) == 4 {
			time.Sleep(abandoned + 1500*time.Millisecond) // the coordinator looks twice a second
		}
	}}, "held"))
	s.isExact(t)
	if n := s.aborted(t); n == 0 {
		t.Error("the coordinator aborted nothing")
	}
}

// TestStoppedWorker: a worker's process is stopped (SIGSTOP) with a transaction open, for
// longer than its lease and its transaction last. Another one takes the job over, and
// what the first one had in hand when it goes on has no effect.
func TestStoppedWorker(t *testing.T) {
	t.Parallel()
	s := start(t, single.of(t), &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 400})
	input, err := json.Marshal(worker{s.cluster.Addrs(), s.s3})
	must(t, err)
	process := exec.Command(os.Args[0])
	process.Env, process.Stdin, process.Stderr = append(os.Environ(), workerRole+"=1"), bytes.NewReader(input), os.Stderr
	must(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may have ended
		_ = process.Wait()
	})
	signal := func(signal syscall.Signal) {
		t.Helper()
		must(t, process.Process.Signal(signal))
	}
	s.until(t, func(job *answer.ReplayJob) bool { return job.Produced > 50 })
	for stops := 0; ; stops++ {
		signal(syscall.SIGSTOP)
		time.Sleep(20 * time.Millisecond) // what was on its way arrives
		if s.open(t) {
			break
		}
		if stops == 50 {
			t.Fatal("no transaction was open, however often the worker was stopped")
		}
		signal(syscall.SIGCONT)
		time.Sleep(100 * time.Millisecond)
	}
	before := s.until(t, func(*answer.ReplayJob) bool { return true })
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if s.open(t) {
			return fmt.Errorf("the coordinator has not aborted the stopped worker's transaction")
		}
		return nil
	})
	if n := s.aborted(t); n == 0 {
		t.Error("the coordinator aborted nothing")
	}
	work(t, s.asked)
	s.until(t, func(job *answer.ReplayJob) bool { return job.Produced > before.Produced })
	signal(syscall.SIGCONT) // while the other one works
	_, err = s.asked.SetPace(t.Context(), policy.Everything(), s.plan.ID, answer.ReplayPace{Mode: answer.PaceFast})
	must(t, err)
	s.isExact(t)
	time.Sleep(500 * time.Millisecond)
	s.isDelivered(t) // still
}

// TestBrokerIsKilledInATransaction: kill -9 with records of an open transaction, and the
// same broker again.
func TestBrokerIsKilledInATransaction(t *testing.T) {
	t.Parallel()
	s := start(t, broker.Start(t, broker.Options{}), nil)
	var commits atomic.Int64
	reached, let := make(chan struct{}), make(chan struct{})
	work(t, s.held(t, counted{s.brokers, func() {
		if n := commits.Add(1); n == 3 || n == 8 {
			reached <- struct{}{}
			<-let
		}
	}}, "bereft"))
	for range 2 {
		select {
		case <-reached:
		case <-time.After(time.Minute):
			t.Fatal("no transaction was under way")
		}
		s.cluster.Node(1).Kill(t)
		s.cluster.Node(1).Restart(t)
		let <- struct{}{}
	}
	s.isExact(t)
}
