package query_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

func TestCoverageSegmentsAndTopics(t *testing.T) {
	a := newArchive(t, nil)
	at := time.Now()
	for range 3 {
		a.produce("b", "k", "v", at)
	}
	marker := a.produce("b", "k", "", at)
	marker.Status, marker.Value = schema.Control, nil
	s := a.stream("b", marker.Partition)
	s.next += 5 // never served
	a.produce("a", "k", "v", at)
	a.sealAll()
	a.produce("b", "k", "v", at)
	a.seal(s)
	a.produce("b", "k", "fresh", at)
	a.indexAll()

	list, err := a.Coverage(t.Context(), everybody(), "")
	if err != nil || len(list) != 2 || list[0].Topic != "a" {
		t.Fatalf("%+v, %v", list, err)
	}
	b := list[1]
	want := answer.PartitionCoverage{
		Topic: "b", TopicID: topicID("b"), Partition: marker.Partition, ArchivedTo: 10, FreshTo: 11, HighWatermark: -1,
		Committed: 4, Marker: 1, GapOffsets: 5, Segments: 2, Commits: 3, LastSealed: b.LastSealed,
	}
	gaps := b.Gaps
	b.Gaps = nil
	if !slices.Equal(gaps, []schema.Gap{{Class: schema.GapCleaned, From: 4, To: 9}}) || b.LastSealed.IsZero() || !equal(b, want) {
		t.Errorf("got %+v with gaps %+v, want %+v", b, gaps, want)
	}
	if list, err := a.Coverage(t.Context(), only(t, "a"), ""); err != nil || len(list) != 1 {
		t.Errorf("a viewer of a sees %+v, %v", list, err)
	}
	for _, topic := range []string{"b", "nobody's"} {
		if _, err := a.Coverage(t.Context(), only(t, "a"), topic); schema.KindOf(err) != schema.NotFound {
			t.Errorf("coverage of %s: %v", topic, err)
		}
		if _, err := a.Segments(t.Context(), only(t, "a"), topic); schema.KindOf(err) != schema.NotFound {
			t.Errorf("segments of %s: %v", topic, err)
		}
	}
	segments, err := a.Segments(t.Context(), everybody(), "b")
	if err != nil || len(segments.Segments) != 2 || segments.Segments[0].Rows != 4 || segments.Segments[1].Base != 9 ||
		!strings.HasPrefix(segments.Segments[0].Key, "test-") {
		t.Errorf("%+v, %v", segments, err)
	}
	topics, err := a.Topics(t.Context(), only(t, "b"))
	if err != nil || len(topics) != 1 || topics[0].SealedRecords != 4 || topics[0].FreshRecords != 1 || topics[0].Segments != 2 ||
		topics[0].Partitions != int(marker.Partition)+1 || topics[0].Last.UnixMilli() != at.UnixMilli() {
		t.Errorf("%+v, %v", topics, err)
	}
}

func equal(a, b answer.PartitionCoverage) bool {
	return a.Topic == b.Topic && a.TopicID == b.TopicID && a.Partition == b.Partition && a.Branch == b.Branch &&
		a.ArchivedFrom == b.ArchivedFrom && a.ArchivedTo == b.ArchivedTo && a.FreshTo == b.FreshTo &&
		a.HighWatermark == b.HighWatermark && a.Lag == b.Lag && a.Committed == b.Committed && a.Aborted == b.Aborted &&
		a.Marker == b.Marker && a.GapOffsets == b.GapOffsets && a.Segments == b.Segments && a.Commits == b.Commits &&
		a.LastSealed.Equal(b.LastSealed)
}
