package archiver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// restored begins a chain of the same topic ID in another cluster, as an archiver
// does on a cluster that was restored from a copy.
func (r *rig) restored(t *testing.T, s schema.Stream, began time.Time) schema.Stream {
	t.Helper()
	s.Cluster = "restored"
	_, err := r.book.Append(t.Context(), ledger.Head{}, &schema.Commit{
		Format: schema.CommitFormat, Kind: schema.KindGenesis, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
		Attempt: uuid.NewString(), Writer: "test", Start: &schema.Start{Policy: "earliest"},
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "test"}, Clock: began.UTC().Format(time.RFC3339Nano),
	})
	must(t, err)
	return s
}

// A topic ID that another cluster's chains have belongs to the one that was
// archived first: the other one's archiver refuses the topic, with what to do,
// and archives all others; a reindex indexes the one and names the other.
func TestTopicIDOfAnotherCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shared := r.stream("shared", r.topic(t, "shared", 1), 0)
	r.produce(t, "shared", 0, 5)
	a, stop := r.archive(t, nil)
	r.sealed(t, a, shared, 5)
	stop()
	later := r.restored(t, shared, time.Now())
	taken := r.stream("taken", r.topic(t, "taken", 1), 0)
	r.restored(t, taken, time.Now())
	r.produce(t, "taken", 0, 5)
	r.produce(t, "shared", 0, 2)
	a, stop = r.archive(t, nil)
	r.sealed(t, a, shared, 7)
	says(t, a, map[string]string{"shared": "", "taken": "which this archive holds of cluster restored; one cluster was restored from a copy of the other: archive it below an s3.prefix"})
	if _, err := r.book.Head(t.Context(), taken); schema.KindOf(err) != schema.NotFound {
		t.Errorf("the refused topic has a chain: %v", err)
	}
	must(t, a.Indexed(t.Context()))
	stop()

	done, damaged, err := archiver.Reindex(t.Context(), r.store, r.book, r.index, r.rules, r.log, archiver.ReindexOptions{})
	must(t, err)
	if done.Records != 7 || done.Chains != 2 || len(damaged) != 1 || damaged[0].Stream != later || schema.KindOf(damaged[0].Err) != schema.Conflict ||
		!strings.Contains(damaged[0].Err.Error(), "of cluster restored has the topic ID "+shared.TopicID.String()+", which this archive holds of cluster "+shared.Cluster) {
		t.Errorf("reindexed %+v, left %+v", done, damaged)
	}
	branches, err := r.index.Branches(t.Context())
	must(t, err)
	for _, b := range branches {
		want := shared.Cluster
		if b.Stream.TopicID == taken.TopicID {
			want = "restored"
		}
		if b.Stream.Cluster != want {
			t.Errorf("%s is of cluster %s, want %s", b.Stream, b.Stream.Cluster, want)
		}
	}
}
