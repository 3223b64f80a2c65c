package archiver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/verify"
)

// spooling has an archiver keep half a megabyte in memory, and cut nothing by itself.
func spooling(dir string, registry *prometheus.Registry) func(o *archiver.Options) {
	return func(o *archiver.Options) {
		o.Memory, o.Spool = 512<<10, archiver.Spool{Dir: dir, Bytes: 256 << 20}
		o.Cut = archiver.Cut{Bytes: 64 << 20, Age: time.Hour, MaxAge: time.Hour}
		o.Feed = archiver.Feed{Rows: 1000, Every: 10 * time.Millisecond}
		o.Registerer = registry
	}
}

// measured reads a metric that has one series, or adds them up.
func measured(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// many produces n records of about 500 bytes to a partition, through a client of
// its own or the rig's.
func many(t *testing.T, client *kgo.Client, topic string, partition int32, n int) (sent []*kgo.Record) {
	t.Helper()
	for i := range n {
		sent = append(sent, &kgo.Record{
			Topic: topic, Partition: partition, Key: fmt.Append(nil, i),
			Value: fmt.Appendf(nil, `{"eventId":"s-%d-%d","traceId":"%032x","pad":"%s"}`, partition, i, i+1, strings.Repeat(fmt.Sprintf("%x", i*7919), 80)),
		})
	}
	must(t, client.ProduceSync(t.Context(), sent...).FirstErr())
	return sent
}

// verified holds what is archived of a stream against what was produced.
func (r *rig) verified(t *testing.T, s schema.Stream, sent []*kgo.Record) {
	t.Helper()
	held, err := verify.Read(t.Context(), t, r.store, s)
	must(t, err)
	same(t, held.Rows, sent)
}

// Buffers that memory does not hold wait in the spool, searchable. What was
// damaged there meanwhile is found, counted, and read from Kafka again; and the
// archive is as if nothing had been.
func TestSpoolKeepsWhatMemoryDoesNot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "spooled", 3)
	var sent [3][]*kgo.Record
	for partition := range sent {
		sent[partition] = many(t, r.client, "spooled", int32(partition), 1500)
	}
	dir, registry := t.TempDir(), prometheus.NewRegistry()
	a, stop := r.archive(t, spooling(dir, registry))
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		found := r.sql(t, "SELECT uniqExact(partition, offset) FROM DB.records WHERE topic_id != ''")
		if found != "4500" {
			return fmt.Errorf("the index has %s records, health %v", found, a.Health())
		}
		return nil
	})
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		if held := measured(t, registry, "annals_archiver_buffered_bytes"); held > 300<<10 {
			return fmt.Errorf("%.0f bytes are in memory", held)
		}
		return nil
	})
	if commits := measured(t, registry, "annals_archiver_commits_total"); commits > 0 || measured(t, registry, "annals_archiver_spool_bytes") == 0 {
		t.Errorf("%.0f commits, %.0f bytes in the spool: nothing was due", commits, measured(t, registry, "annals_archiver_spool_bytes"))
	}
	files, err := filepath.Glob(filepath.Join(dir, "annals-spool", "*.frames"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	body, err := os.ReadFile(files[0])
	must(t, err)
	body[len(body)/2] ^= 1
	must(t, os.WriteFile(files[0], body, 0o600))
	for partition := range sent {
		s := r.stream("spooled", id, int32(partition))
		r.sealed(t, a, s, 1500)
		r.verified(t, s, sent[partition])
	}
	if damaged := measured(t, registry, "annals_archiver_spool_damaged_total"); damaged != 1 {
		t.Errorf("%.0f buffers were read again, one was damaged", damaged)
	}
	must(t, a.Indexed(t.Context()))
	damagedDiskIsLeftAlone(t, r, a, registry, r.stream("spooled", id, 0))
	stop()
	if left, err := filepath.Glob(filepath.Join(dir, "annals-spool", "*.frames")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v %v", left, err)
	}
}

// damagedDiskIsLeftAlone: Health says what happened, and more than memory holds is
// cut, not spooled to be lost again.
func damagedDiskIsLeftAlone(t *testing.T, r *rig, a *archiver.Archiver, registry *prometheus.Registry, s schema.Stream) {
	t.Helper()
	if said := a.Health()["spool"]; !strings.Contains(said, "1 buffers could not be read back") {
		t.Errorf("Health says of the spool: %q", said)
	}
	written := measured(t, registry, "annals_archiver_spool_written_bytes_total")
	many(t, r.client, s.Topic, s.Partition, 1500)
	r.sealed(t, a, s, 3000)
	if more := measured(t, registry, "annals_archiver_spool_written_bytes_total"); more != written {
		t.Errorf("%.0f bytes were spooled on a disk that had not given back others", more-written)
	}
}

// A transaction that memory does not hold waits for its marker in the spool; its
// records are searchable when that has come, before anything is sealed.
func TestSpooledTransactionIsSearchableWhenItEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.topic(t, "undecided", 1)
	dir, registry := t.TempDir(), prometheus.NewRegistry()
	a, _ := r.archive(t, spooling(dir, registry))
	tx := embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID("large"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, tx.BeginTransaction())
	sent := many(t, tx, "undecided", 0, 2500)
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		if unsealed := measured(t, registry, "annals_archiver_unsealed_records"); unsealed < 2500 || measured(t, registry, "annals_archiver_spool_bytes") == 0 {
			return fmt.Errorf("%.0f records were taken in, health %v", unsealed, a.Health())
		}
		return nil
	})
	if found := r.sql(t, "SELECT count() FROM DB.records"); found != "0" {
		t.Errorf("%s records are in the index, of an open transaction", found)
	}
	must(t, tx.EndTransaction(t.Context(), kgo.TryCommit))
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		if found := r.sql(t, "SELECT uniqExact(offset) FROM DB.records WHERE status = 'committed'"); found != "2500" {
			return fmt.Errorf("%s records are in the index", found)
		}
		return nil
	})
	if commits := measured(t, registry, "annals_archiver_commits_total"); commits > 0 || measured(t, registry, "annals_archiver_waiting_partitions") > 0 {
		t.Errorf("%.0f commits: nothing was due", commits)
	}
	s := r.stream("undecided", id, 0)
	r.sealed(t, a, s, 2501)
	held, err := verify.Read(t.Context(), t, r.store, s)
	must(t, err)
	same(t, held.Rows[:2500], sent)
	if reads := measured(t, registry, "annals_archiver_spool_read_bytes_total"); reads == 0 {
		t.Error("nothing was read back")
	}
}

// Two archivers do not share a folder: the second one says so and does not start.
func TestSpoolIsOneArchivers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	r.topic(t, "read", 1)
	r.produce(t, "read", 0, 1)
	first, _ := r.archive(t, spooling(dir, prometheus.NewRegistry()))
	must(t, first.CatchUp(t.Context())) // something was taken in, so the spool is open
	options := archiver.Options{
		Kafka: r.kafka(), Writer: "second", Build: "test", Logger: r.log, Spool: archiver.Spool{Dir: dir, Bytes: 1 << 20},
	}
	options.Tail.Group = "second"
	second, err := archiver.New(options, r.store, r.book, r.index, r.rules)
	must(t, err)
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := second.Run(bounded); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("a second archiver with the same spool: %v", err)
	}
}
