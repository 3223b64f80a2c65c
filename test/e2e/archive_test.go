package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// TestEveryRecordIsArchivedByteForByte holds each record of the year against
// its row in Parquet, read by a library that shares no code with the writer.
func TestEveryRecordIsArchivedByteForByte(t *testing.T) {
	i := year(t)
	compared := compareArchive(t, i, demoTopics(t, i)...)
	if compared["committed"] < 20_000 || compared["control"] == 0 || compared["aborted"] == 0 {
		t.Errorf("compared %v: one year has more, transactions, and aborted ones", compared)
	}
	t.Logf("compared byte for byte: %v", compared)
}

// compareArchive fails unless the archive's segments hold exactly what Kafka
// serves of the topics, each offset once; it counts records by status.
func compareArchive(t testing.TB, i *instance.Instance, topics ...string) map[string]int {
	t.Helper()
	compared := map[string]int{}
	stored := i.Stored(t, topics...)
	rows := map[instance.Place]map[int64]segment.Row{}
	for _, topic := range topics {
		readSegments(t, i, topic, rows)
	}
	for place, s := range stored {
		verdicts := s.Verdicts(t)
		if len(rows[place]) != len(s.Records) {
			t.Errorf("%v: %d rows archived, Kafka serves %d records", place, len(rows[place]), len(s.Records))
		}
		for _, r := range s.Records {
			row, ok := rows[place][r.Offset]
			if !ok {
				t.Fatalf("%v: offset %d is not archived", place, r.Offset)
			}
			if err := same(r, s.TopicID, verdicts[r.Offset], row); err != nil {
				t.Fatalf("%v: offset %d: %v", place, r.Offset, err)
			}
			compared[verdicts[r.Offset]]++
		}
	}
	return compared
}

// readSegments reads every current segment of a topic into rows, checking its
// hash; an offset in two segments is a failure.
func readSegments(t testing.TB, i *instance.Instance, topic string, rows map[instance.Place]map[int64]segment.Row) {
	t.Helper()
	var files api.SegmentList
	i.JSON(t, &files, "files", "--topic", topic)
	bucket := store(t, i)
	for _, file := range files.Segments {
		raw, _, err := bucket.Get(t.Context(), file.Key, 256<<20)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != file.Sha256 || int64(len(raw)) != file.Bytes {
			t.Fatalf("%s: the object is not the one listed", file.Key)
		}
		read := segmenttest.Read(t, raw)
		if int64(len(read)) != file.Rows {
			t.Errorf("%s: %d rows, listed with %d", file.Key, len(read), file.Rows)
		}
		place := instance.Place{Topic: topic, Partition: file.Partition}
		if rows[place] == nil {
			rows[place] = map[int64]segment.Row{}
		}
		for _, row := range read {
			if _, twice := rows[place][row.Offset]; twice || row.Offset < file.Base || row.Offset >= file.Next {
				t.Fatalf("%s: offset %d is archived twice, or outside the segment's range", file.Key, row.Offset)
			}
			rows[place][row.Offset] = row
		}
	}
}

// same compares a record with its row, field by field.
func same(r *kgo.Record, topicID [16]byte, verdict string, row segment.Row) error {
	if row.Topic != r.Topic || row.TopicID != schema.TopicID(topicID) || row.Partition != r.Partition || row.LeaderEpoch != r.LeaderEpoch {
		return fmt.Errorf("archived as %s %v/%d epoch %d", row.Topic, row.TopicID, row.Partition, row.LeaderEpoch)
	}
	if row.Timestamp != r.Timestamp.UnixMilli() || int8(row.TimestampType) != r.Attrs.TimestampType() {
		return fmt.Errorf("timestamp %d of type %v, was %d of type %d", row.Timestamp, row.TimestampType, r.Timestamp.UnixMilli(), r.Attrs.TimestampType())
	}
	if row.ProducerID != r.ProducerID || row.ProducerEpoch != r.ProducerEpoch {
		return fmt.Errorf("producer %d/%d, was %d/%d", row.ProducerID, row.ProducerEpoch, r.ProducerID, r.ProducerEpoch)
	}
	if row.Status.String() != verdict {
		return fmt.Errorf("status %v, was %s", row.Status, verdict)
	}
	for _, b := range []struct {
		name     string
		got, was []byte
	}{{"key", row.Key, r.Key}, {"value", row.Value, r.Value}} {
		if !bytes.Equal(b.got, b.was) || (b.got == nil) != (b.was == nil) {
			return fmt.Errorf("%s %q (null: %v), was %q (null: %v)", b.name, b.got, b.got == nil, b.was, b.was == nil)
		}
	}
	if len(row.Headers) != len(r.Headers) {
		return fmt.Errorf("%d headers, were %d", len(row.Headers), len(r.Headers))
	}
	for n, h := range r.Headers {
		got := row.Headers[n]
		if got.Name != h.Key || !bytes.Equal(got.Value, h.Value) || (got.Value == nil) != (h.Value == nil) {
			return fmt.Errorf("header %d is %q: %q, was %q: %q", n, got.Name, got.Value, h.Key, h.Value)
		}
	}
	return nil
}

// TestCoverageAddsUp asks that the offsets of every partition are accounted
// for, each in one class, up to the end.
func TestCoverageAddsUp(t *testing.T) {
	i := year(t)
	places := i.Coverage(t)
	for place, s := range i.Stored(t, demoTopics(t, i)...) {
		got := places[place]
		counted := map[string]int64{}
		for _, verdict := range s.Verdicts(t) {
			counted[verdict]++
		}
		want := map[string]int64{"committed": got.Counts.Committed, "aborted": got.Counts.Aborted, "control": got.Counts.Control}
		for word, n := range want {
			if counted[word] != n {
				t.Errorf("%v: coverage says %d %s, Kafka has %d", place, n, word, counted[word])
			}
		}
		sum := got.Counts.Committed + got.Counts.Aborted + got.Counts.Control + got.GapOffsets
		if got.Unaccounted != 0 || got.Offsets != s.End-s.Start {
			t.Errorf("%v: %d offsets, %d not accounted for", place, got.Offsets, got.Unaccounted)
		}
		if got.ArchivedFrom != s.Start || got.ArchivedTo != s.End || sum != s.End-s.Start || got.Lag != 0 || got.FreshTo < got.ArchivedTo {
			t.Errorf("%v: %+v does not add up to %d–%d", place, got, s.Start, s.End)
		}
		var gaps int64
		for _, g := range got.Gaps {
			gaps += g.To - g.From
			if g.Class == "unexplained" {
				t.Errorf("%v: offsets %d–%d are unexplained", place, g.From, g.To)
			}
		}
		if gaps != got.GapOffsets {
			t.Errorf("%v: gaps of %d offsets, said to be %d", place, gaps, got.GapOffsets)
		}
	}
}
