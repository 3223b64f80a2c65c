package index_test

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// What was indexed and can never be sealed goes when a commit says so: behind the end
// of a branch, behind the end of a topic, and in a gap. What lies beside stays.
func TestWhatIsNeverSealedGoes(t *testing.T) {
	x := open(t, nil)
	at := func(partition, branch int32, offset int64) index.Row {
		r := row("a", partition, offset)
		r.Record.Branch = branch
		return r
	}
	insert(t, x, at(0, 0, 4), at(0, 0, 5), at(0, 1, 5), at(1, 0, 5), at(2, 0, 4), at(2, 0, 5), at(3, 0, 4), at(3, 0, 5), at(3, 0, 6))
	said := func(partition, branch int32, kind schema.CommitKind, base, next, end int64) index.SegmentRow {
		return index.SegmentRow{
			Stream: schema.Stream{Cluster: "c1", Topic: "a", TopicID: row("a", 0, 0).Record.TopicID, Partition: partition},
			Branch: branch, Kind: kind, Seq: 3, Base: base, Next: next, BranchEnd: end, HighWatermark: -1, SealedAt: day,
		}
	}
	err := x.InsertSegments(t.Context(), []index.SegmentRow{
		said(0, 1, schema.KindDivergence, 3, 3, 5), said(2, 0, schema.KindEnd, 5, 5, 0), said(3, 0, schema.KindGap, 5, 6, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "[(0,0,4),(0,1,5),(1,0,5),(2,0,4),(3,0,4),(3,0,6)]"
	for _, table := range index.RecordTables {
		got := ""
		embeddedtest.Eventually(t, time.Minute, func() error {
			if got = x.ask("SELECT arraySort(groupUniqArray((partition, branch, offset))) FROM db." + table); got != want {
				return schema.Errorf(schema.Internal, "%s has %s, want %s", table, got, want)
			}
			return nil
		})
	}
}
