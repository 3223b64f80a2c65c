package query_test

import (
	"reflect"
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

	all, err := a.Coverage(t.Context(), everybody(), "")
	if err != nil || len(all.Partitions) != 2 || all.Partitions[0].Topic != "a" {
		t.Fatalf("%+v, %v", all, err)
	}
	b := all.Partitions[1]
	want := answer.PartitionCoverage{
		Cluster: "c1",
		Topic:   "b", TopicID: topicID("b"), Partition: marker.Partition, ArchivedTo: 10, FreshTo: 11, HighWatermark: -1,
		StartPolicy: "earliest", Segments: 2, Commits: 3, LastSealed: b.LastSealed,
		Account: answer.Account{
			Committed: 4, Marker: 1, GapRanges: 1, GapOffsets: 5,
			Classes: []answer.ClassCount{{Class: schema.GapCleaned, Ranges: 1, Offsets: 5}},
		},
		Gaps: []answer.FoundGap{{
			Topic: "b", TopicID: topicID("b"), Partition: marker.Partition,
			Gap: schema.Gap{Class: schema.GapCleaned, From: 4, To: 9}, Seq: 1, Found: b.Gaps[0].Found,
		}},
	}
	if b.LastSealed.IsZero() || b.Gaps[0].Found.IsZero() || !reflect.DeepEqual(b, want) {
		t.Errorf("got\n%+v, want\n%+v", b, want)
	}
	if all, err := a.Coverage(t.Context(), only(t, "a"), ""); err != nil || len(all.Partitions) != 1 {
		t.Errorf("a viewer of a sees %+v, %v", all, err)
	}
	for _, topic := range []string{"b", "nobody's"} {
		if _, err := a.Coverage(t.Context(), only(t, "a"), topic); schema.KindOf(err) != schema.NotFound {
			t.Errorf("coverage of %s: %v", topic, err)
		}
		if _, err := a.Segments(t.Context(), only(t, "a"), answer.SegmentRequest{Topic: topic}); schema.KindOf(err) != schema.NotFound {
			t.Errorf("segments of %s: %v", topic, err)
		}
	}
	segments, err := a.Segments(t.Context(), everybody(), answer.SegmentRequest{Topic: "b"})
	if err != nil || len(segments.Segments) != 2 || segments.Segments[0].Rows != 4 || segments.Segments[1].Base != 9 ||
		!strings.HasPrefix(segments.Segments[0].Key, "test-") {
		t.Errorf("%+v, %v", segments, err)
	}
	listed, err := a.Topics(t.Context(), only(t, "b"))
	if err != nil {
		t.Fatal(err)
	}
	topics := listed.Topics
	if len(topics) != 1 || topics[0].SealedRecords != 4 || topics[0].FreshRecords != 1 || topics[0].Segments != 2 ||
		topics[0].Partitions != int(marker.Partition)+1 || topics[0].Last.UnixMilli() != at.UnixMilli() {
		t.Errorf("%+v, %v", topics, err)
	}
}
