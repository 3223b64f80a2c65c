package broker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/verify"
)

// served reads what the broker serves of a partition now, from log start to the
// end that the isolation level has, with a plain consumer that knows nothing of
// Annals: control records too, by offset.
func (r *rig) served(t *testing.T, s schema.Stream, level kgo.IsolationLevel) []*kgo.Record {
	t.Helper()
	start, end := r.bounds(t, s, level)
	if start == end {
		return nil
	}
	client := r.cluster.Client(t,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Topic: {s.Partition: kgo.NewOffset().At(start)}}),
		kgo.FetchIsolationLevel(level), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var records []*kgo.Record
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("a plain consumer gets %d records of %s/%d, and not the last one before %d", len(records), s.Topic, s.Partition, end)
		}
		must(t, fetches.Err())
		for record := range fetches.RecordsAll() {
			if record.Offset < end {
				records = append(records, record)
			}
			if record.Offset >= end-1 {
				return records
			}
		}
	}
}

// bounds asks for log start and the end at an isolation level.
func (r *rig) bounds(t *testing.T, s schema.Stream, level kgo.IsolationLevel) (start, end int64) {
	t.Helper()
	list := r.admin.ListEndOffsets
	if level == kgo.ReadCommitted() {
		list = r.admin.ListCommittedOffsets
	}
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		starts, err := r.admin.ListStartOffsets(t.Context(), s.Topic)
		if err != nil {
			return err
		}
		ends, err := list(t.Context(), s.Topic)
		if err != nil {
			return err
		}
		first, _ := starts.Lookup(s.Topic, s.Partition)
		last, ok := ends.Lookup(s.Topic, s.Partition)
		if !ok || first.Err != nil || last.Err != nil {
			return fmt.Errorf("no bounds of %s: %v, %v", s, first.Err, last.Err)
		}
		start, end = first.Offset, last.Offset
		return nil
	})
	return start, end
}

// high is the high watermark.
func (r *rig) high(t *testing.T, s schema.Stream) int64 {
	t.Helper()
	_, end := r.bounds(t, s, kgo.ReadUncommitted())
	return end
}

// history verifies a stream's chain and every byte that it names, and accounts
// for every offset.
func (r *rig) history(t *testing.T, s schema.Stream) *verify.Held {
	t.Helper()
	h, err := verify.Read(t.Context(), t, r.store, s)
	must(t, err)
	return h
}

// equals is the verification that every case ends with. The archive of the
// stream is consistent in itself and reaches the end of the log; what the broker
// serves is archived, byte for byte and with the verdict that a read-committed
// consumer follows; what is archived and no longer served is in rows of before;
// everything else is in gaps. It returns what the archive has.
func (r *rig) equals(t *testing.T, s schema.Stream, before ...*kgo.Record) *verify.Held {
	t.Helper()
	h := r.history(t, s)
	records := r.served(t, s, kgo.ReadUncommitted())
	committed := map[int64]bool{}
	for _, record := range r.served(t, s, kgo.ReadCommitted()) {
		committed[record.Offset] = true
	}
	if _, end := r.bounds(t, s, kgo.ReadCommitted()); h.Next != end {
		t.Errorf("%s is archived to %d, decided are the offsets below %d", s, h.Next, end)
	}
	rows := map[int64]segment.Row{}
	for _, row := range h.Rows {
		rows[row.Offset] = row
	}
	for _, record := range records {
		if record.Offset < h.Base || record.Offset >= h.Next {
			continue
		}
		row, ok := rows[record.Offset]
		if !ok {
			t.Fatalf("%s: offset %d is served, and not archived: gaps %+v", s, record.Offset, h.Gaps)
		}
		same(t, s, row, record)
		if want := verdict(record, committed[record.Offset]); row.Status != want {
			t.Errorf("%s: offset %d is %s, consumers say %s", s, row.Offset, row.Status, want)
		}
		delete(rows, record.Offset)
	}
	for _, record := range before {
		if row, ok := rows[record.Offset]; ok {
			same(t, s, row, record)
			delete(rows, record.Offset)
		}
	}
	for offset, row := range rows {
		t.Errorf("%s: offset %d is archived and was never served: %+v", s, offset, row)
	}
	return h
}

func verdict(record *kgo.Record, committed bool) schema.Status {
	switch {
	case record.Attrs.IsControl():
		return schema.Control
	case committed:
		return schema.Committed
	default:
		return schema.Aborted
	}
}

// same compares everything that a broker gives, null told from empty.
func same(t *testing.T, s schema.Stream, row segment.Row, want *kgo.Record) {
	t.Helper()
	record := schema.Record{
		Topic: s.Topic, TopicID: s.TopicID, Partition: want.Partition, Offset: want.Offset, Status: row.Status,
		Timestamp: want.Timestamp.UnixMilli(), TimestampType: schema.TimestampType(want.Attrs.TimestampType()),
		Key: want.Key, Value: want.Value,
	}
	for _, h := range want.Headers {
		record.Headers = append(record.Headers, schema.Header{Name: h.Key, Value: h.Value})
	}
	how := verify.Differ(&row.Record, &record)
	if how == "" && (row.LeaderEpoch != want.LeaderEpoch || row.ProducerID != want.ProducerID || row.ProducerEpoch != want.ProducerEpoch) {
		how = "has another leader epoch or producer"
	}
	if how != "" {
		t.Fatalf("%s: offset %d %s:\n%+v\n%+v", s, want.Offset, how, row.Record, want)
	}
}

// indexed waits until the index has every row of the histories and no other.
func (r *rig) indexed(t *testing.T, histories ...*verify.Held) {
	t.Helper()
	want := 0
	for _, h := range histories {
		want += len(h.Rows)
	}
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if got := r.sql("SELECT uniqExact(topic_id, partition, branch, offset) FROM DB.records"); got != fmt.Sprint(want) {
			return fmt.Errorf("the index finds %s records, %d are archived", got, want)
		}
		return nil
	})
}
