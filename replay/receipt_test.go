package replay_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// The offset map names, both ways, exactly the pairs that an independent walk
// over source and target gives, and nothing else.
func TestOffsetMap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 300, 100)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: start.Add(9 * time.Second)})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	at := func(topic string, partition int32, source, target *int64) (*answer.OffsetPair, error) {
		return s.MapOffset(t.Context(), everybody, plan.ID[:8], answer.OffsetQuery{Topic: topic, Partition: partition, Source: source, Target: target})
	}
	one := int64(1)
	if _, err := at("orders", 0, &one, nil); schema.KindOf(err) != schema.Conflict {
		t.Errorf("before its receipt: %v", err)
	}
	work(t, s)
	job := until(t, s, plan.ID, answer.JobDone)
	if job.Receipt.Read != plan.Records || job.Receipt.Partitions[1].Read == 0 {
		t.Errorf("receipt %+v", job.Receipt)
	}
	target := plan.Topics[0].Target
	for partition, records := range archived {
		got := r.target(t, target, partition)
		taken := map[int64]bool{}
		for i, want := range committed(records, start.Add(9*time.Second).UnixMilli(), 1<<62) {
			taken[want.Offset] = true
			pair, err := at("orders", partition, &want.Offset, nil)
			if err != nil || pair.TargetOffset != got[i].Offset || pair.SourceOffset != want.Offset || pair.Target != target {
				t.Fatalf("source %d of %d: %+v, %v; want %d", want.Offset, partition, pair, err, got[i].Offset)
			}
			back, err := at(target, partition, nil, &got[i].Offset)
			if err != nil || *back != *pair {
				t.Fatalf("target %d of %d: %+v, %v; want %+v", got[i].Offset, partition, back, err, pair)
			}
		}
		for offset := range int64(310) {
			if _, err := at("orders", partition, &offset, nil); !taken[offset] && schema.KindOf(err) != schema.NotFound {
				t.Fatalf("source %d of %d was not replayed: %v", offset, partition, err)
			}
		}
	}
	some, err := policy.Topics("rates")
	must(t, err)
	if _, err := s.MapOffset(t.Context(), policy.Principal{Name: "stranger", Topics: some}, plan.ID, answer.OffsetQuery{Topic: "orders", Source: &one}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := at("orders", 0, &one, &one); schema.KindOf(err) != schema.Invalid {
		t.Errorf("both sides: %v", err)
	}
	pieces, err := filepath.Glob(filepath.Join(r.folder, "jobs", "replay", plan.ID, "offsets", "*.json"))
	must(t, err)
	for _, piece := range pieces {
		raw, err := os.ReadFile(piece)
		must(t, err)
		must(t, os.WriteFile(piece, []byte(strings.Replace(string(raw), "[", " [", 1)), 0o600))
	}
	if _, err := at("orders", 0, &committed(archived[0], 0, 1<<62)[40].Offset, nil); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("a damaged piece: %v", err)
	}
}

// A dry run reads what the receipt will have, produces nothing, and says what
// speaks against the plan.
func TestDryRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 2, 200, 50)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "x."})
	must(t, err)
	dry, err := s.DryRun(t.Context(), everybody, plan.ID)
	must(t, err)
	if !dry.Matches || dry.Records != plan.Records || dry.Bytes != plan.Bytes || dry.Planned != plan.Records || len(dry.Problems) != 0 {
		t.Errorf("%+v", dry)
	}
	live, err := r.cluster.Cluster(t.Context())
	must(t, err)
	if len(live.Topics) != 0 {
		t.Errorf("a dry run made %+v", live.Topics)
	}
	if _, err := s.Get(t.Context(), everybody, plan.ID); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a dry run made a job: %v", err)
	}
	stop := work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	for i, line := range until(t, s, plan.ID, answer.JobDone).Receipt.Partitions {
		if line.PlannedHash != dry.Partitions[i].Hash || line.Read != dry.Partitions[i].Records {
			t.Errorf("the receipt says %+v, the dry run %+v", line, dry.Partitions[i])
		}
	}
	stop()
	plan, err = s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: "y."})
	must(t, err)
	_, err = r.cluster.CreateTopic(t.Context(), "y.orders", 2, nil)
	must(t, err)
	files, err := filepath.Glob(filepath.Join(r.folder, "data", "orders", "*", "00001", "*.parquet"))
	must(t, err)
	body, err := os.ReadFile(files[1])
	must(t, err)
	body[len(body)/3] ^= 1
	must(t, os.WriteFile(files[1], body, 0o600))
	must(t, os.Remove(files[2]))
	dry, err = s.DryRun(t.Context(), everybody, plan.ID)
	must(t, err)
	said := strings.Join(dry.Problems, "\n")
	if dry.Matches || dry.Records >= dry.Planned || !strings.Contains(said, "y.orders exists") || !strings.Contains(said, "is not there") || !strings.Contains(said, filepath.Base(files[1])) {
		t.Errorf("problems %q of %+v", dry.Problems, dry)
	}
	some, err := policy.Topics("rates")
	must(t, err)
	if _, err := s.DryRun(t.Context(), policy.Principal{Name: "stranger", Topics: some}, plan.ID); schema.KindOf(err) != schema.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}

// A worker that is gone for longer than its lease has lost the job: the next
// one fences it, and what it still sends is not delivered. A clock that is
// ahead on the lost worker's machine does not keep others waiting.
func TestLostWorkerIsFenced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 2, 300, 100)
	var commits atomic.Int64
	stuck, release := make(chan struct{}), make(chan struct{})
	lost, err := replay.New(replay.Options{PositionTopic: positions, Worker: "lost", Lease: time.Second, Poll: 50 * time.Millisecond, Batch: 2 << 10, Logger: r.log},
		watched{Brokers: r.cluster, commit: func(context.Context) {
			if commits.Add(1) == 4 {
				close(stuck)
				<-release
			}
		}}, severed{r.store, stuck, time.Hour}, r.book, nil)
	must(t, err)
	plan := planned(t, lost, "orders")
	work(t, lost)
	<-stuck
	next := r.service(t, nil, nil, nil)
	began := time.Now()
	work(t, next)
	job := until(t, next, plan.ID, answer.JobDone)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the job was taken over and done after %s, its lease is one second", took)
	}
	close(release)
	time.Sleep(200 * time.Millisecond)
	r.isExact(t, plan, archived)
	if !job.Receipt.Matches || !job.Receipt.Exclusive {
		t.Errorf("%+v", job.Receipt)
	}
}
