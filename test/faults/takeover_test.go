package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// workOnReplays works on whatever jobs there are, as annals serve does, until it is
// killed.
func workOnReplays() error {
	var e engines
	if err := json.NewDecoder(os.Stdin).Decode(&e); err != nil {
		return err
	}
	s, done, err := e.replays(e.Point)
	if err != nil {
		return err
	}
	defer done()
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	return s.Work(ctx)
}

// replays makes a service with the times that hold where nothing is set.
func (e engines) replays(worker string) (s *replay.Service, done func(), err error) {
	store, err := e.openStore()
	if err != nil {
		return nil, nil, err
	}
	brokers, err := replay.Connect(e.kafka())
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	log := slog.New(slog.DiscardHandler)
	s, err = replay.New(replay.Options{PositionTopic: replayPositions, Worker: worker, Logger: log}, brokers, store, ledger.New(store, log), nil)
	return s, func() { brokers.Close(); store.Close() }, err
}

// startWorker starts a process that works on replays.
func startWorker(t *testing.T, e engines, name string) (kill func()) {
	t.Helper()
	e.Point = name
	input, err := json.Marshal(e)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=worker")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	must(t, cmd.Start())
	ended := false
	kill = func() {
		if ended {
			return
		}
		ended = true
		must(t, cmd.Process.Kill()) // SIGKILL
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
	}
	t.Cleanup(kill)
	return kill
}

// TestTakeover: a worker's process is killed in the midst of a transaction, and
// another one, with the times that hold where nothing is set, goes on within 30
// seconds; the target holds each planned record once.
func TestTakeover(t *testing.T) {
	t.Parallel()
	broker, store := embeddedtest.MemoryKafka(t), embeddedtest.S3(t)
	e := engines{
		Kafka: broker.Addr(), KafkaUser: broker.User(), KafkaPassword: broker.Password(),
		S3: store.Endpoint, Region: store.Region, Bucket: store.Bucket, Prefix: store.Prefix, Access: store.AccessKey, Secret: store.SecretKey,
	}
	objects, err := e.openStore()
	must(t, err)
	t.Cleanup(objects.Close)
	archived := archiveOrders(t, objects)
	s, done, err := e.replays("nobody")
	must(t, err)
	defer done()
	everybody := policy.Everything()
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "taken."})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 5})
	must(t, err)
	progress := func(beyond int64, within time.Duration) time.Duration {
		t.Helper()
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			job, err := s.Get(t.Context(), everybody, plan.ID)
			must(t, err)
			if job.Produced > beyond {
				return time.Since(began)
			}
			if time.Since(began) > within {
				t.Fatalf("after %s the replay is %s, %d of %d: %s", within, job.State, job.Produced, job.Planned, job.Error)
			}
		}
	}
	kill := startWorker(t, e, "first")
	progress(0, time.Minute)
	startWorker(t, e, "second")
	time.Sleep(time.Second) // it has seen that somebody works
	kill()
	job, err := s.Get(t.Context(), everybody, plan.ID)
	must(t, err)
	took := progress(job.Produced, 45*time.Second) // nobody else can write that
	t.Logf("the other worker went on %s after the kill", took.Round(10*time.Millisecond))
	if took > 30*time.Second {
		t.Errorf("a dead worker's job waited for %s", took)
	}
	_, err = s.SetPace(t.Context(), everybody, plan.ID, answer.ReplayPace{Mode: answer.PaceFast})
	must(t, err)
	for deadline := time.Now().Add(30 * time.Second); job.State != answer.JobDone; time.Sleep(50 * time.Millisecond) {
		job, err = s.Get(t.Context(), everybody, plan.ID)
		must(t, err)
		if job.State == answer.JobFailed || time.Now().After(deadline) {
			t.Fatalf("the replay is %s: %s", job.State, job.Error)
		}
	}
	for partition, want := range archived {
		checkTarget(t, brokersOf(t, e), "taken.orders", partition, want)
	}
}

func brokersOf(t *testing.T, e engines) *replay.Connection {
	t.Helper()
	brokers, err := replay.Connect(e.kafka())
	must(t, err)
	t.Cleanup(brokers.Close)
	return brokers
}
