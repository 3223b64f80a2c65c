package broker_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/test/verify"
)

// uncleanly makes a partition's log lose what was acknowledged last: the
// follower is killed, records are written that the leader alone has, wanted says
// when to go on, the leader is killed, and the follower comes back and leads.
// The old leader then truncates its log to the new one's.
func (r *rig) uncleanly(t *testing.T, s schema.Stream, lost int, wanted func()) {
	t.Helper()
	r.insync(t, s, 2)
	leader, follower := r.leader(t, s), int32(-1)
	listed, err := r.admin.ListTopics(t.Context(), s.Topic)
	must(t, err)
	for _, replica := range listed[s.Topic].Partitions[s.Partition].Replicas {
		if replica != leader {
			follower = replica
		}
	}
	r.cluster.Node(follower).Kill(t)
	for i := range lost {
		must(t, r.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic, Partition: s.Partition, Value: fmt.Append(nil, "lost ", i)}).FirstErr())
	}
	wanted()
	r.cluster.Node(leader).Kill(t)
	r.cluster.Node(follower).Restart(t)
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		if now := r.leader(t, s); now != follower {
			return fmt.Errorf("%d leads, not %d", now, follower)
		}
		return nil
	})
	r.cluster.Node(leader).Restart(t)
}

// unclean is a topic whose replicas may lead without being in sync.
func (r *rig) unclean(t *testing.T, suffix string) schema.Stream {
	t.Helper()
	name := r.name + "." + suffix
	yes, one := "true", "1"
	created, err := r.admin.CreateTopic(t.Context(), 1, 2, map[string]*string{
		"unclean.leader.election.enable": &yes, "min.insync.replicas": &one,
	}, name)
	must(t, err)
	return schema.Stream{Cluster: r.id, Topic: name, TopicID: schema.TopicID(created.ID)}
}

// TestTruncatedLog: an unclean election takes archived records away and their
// offsets are used again, by more records than were lost, while the archiver
// runs, and while none does. The archive keeps the old bytes on branch 0, and
// on branch 1 it is the log as it is now (design.md, section 3).
func TestTruncatedLog(t *testing.T) {
	for _, c := range []struct {
		name    string
		running bool
		after   int // records written after the election; five were lost
	}{
		{"shorter", true, 2},
		{"longer", true, 12},
		{"longer while nobody archives", false, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "longer" {
				instance.Long(t)
			}
			r := newRig(t, three.of(t))
			s := r.unclean(t, "log")
			a, stop := r.archive(t, nil)
			r.produce(t, s, 10)
			r.archived(t, a, s)
			r.uncleanly(t, s, 5, func() {
				r.sealed(t, a, s, 15)
				if !c.running {
					stop()
				}
			})
			before := r.history(t, s)
			for i := range c.after {
				must(t, r.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic, Value: fmt.Append(nil, "new ", i)}).FirstErr())
			}
			if !c.running {
				a, _ = r.archive(t, nil)
			}
			r.sealedOnBranch(t, func() error { _, err := a.Seal(t.Context(), true); return err }, s, 1, int64(10+c.after))
			r.branched(t, s, before)
			well(t, a)
		})
	}
}

func (r *rig) sealedOnBranch(t *testing.T, seal func() error, s schema.Stream, branch int32, next int64) {
	t.Helper()
	embeddedtest.Eventually(t, 60*time.Second, func() error {
		if err := seal(); err != nil {
			return err
		}
		head, err := r.book.Head(t.Context(), s)
		if err == nil && (head.Commit.Branch != branch || head.Next < next) {
			err = fmt.Errorf("%s is sealed to %d on branch %d, want %d on %d", s, head.Next, head.Commit.Branch, next, branch)
		}
		return err
	})
}

// branched holds the end state: one divergence commit at the point where the
// histories part, the old rows as they were, and the new branch as the log is.
func (r *rig) branched(t *testing.T, s schema.Stream, before *verify.Held) {
	t.Helper()
	h := r.history(t, s)
	var parted []*schema.Commit
	for _, c := range h.Commits {
		if c.Kind == schema.KindDivergence {
			parted = append(parted, c)
		}
	}
	if len(parted) != 1 {
		t.Fatalf("%d divergence commits, want 1", len(parted))
	}
	d := parted[0]
	if d.Branch != 1 || d.Next != 10 || d.Divergence.BranchPoint != 10 || d.Divergence.ArchivedNext != 15 {
		t.Errorf("the divergence is %+v: %+v", d, d.Divergence)
	}
	for i, row := range before.Rows {
		if now := h.Rows[i]; now.Branch != 0 || now.Offset != row.Offset || !bytes.Equal(now.Value, row.Value) {
			t.Errorf("row %d was %+v, is %+v", i, row, now)
		}
	}
	log := map[int64]*kgo.Record{}
	for _, record := range r.served(t, s, kgo.ReadUncommitted()) {
		log[record.Offset] = record
	}
	for _, row := range h.Rows {
		if row.Branch == 0 && row.Offset >= d.Next {
			continue // history that Kafka has no longer
		}
		want, ok := log[row.Offset]
		if !ok {
			t.Fatalf("offset %d on branch %d is archived and not served", row.Offset, row.Branch)
		}
		same(t, s, row, want)
		delete(log, row.Offset)
	}
	if len(log) > 0 {
		t.Errorf("%d records are served and not archived: %v", len(log), log)
	}
	r.indexed(t, h)
}
