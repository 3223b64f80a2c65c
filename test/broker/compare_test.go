package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
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
	eventually(t, 30*time.Second, func() error {
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

// history is a stream as the archive has it: one row or one gap an offset, on
// each branch.
type history struct {
	base, next int64
	commits    []*schema.Commit
	rows       []segment.Row // in the order of the chain
	gaps       []schema.Gap
}

// history verifies a stream's chain and every byte that it names, reads the
// segments back with the independent reader, and accounts for every offset.
func (r *rig) history(t *testing.T, s schema.Stream) history {
	t.Helper()
	report, err := r.book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings != 0 {
		t.Fatalf("%s does not verify: %+v", s, report.Listed)
	}
	h := history{base: -1}
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		r.read(t, &h, entry.Commit)
	}
	if rows := report.Rows.Rows(); rows != int64(len(h.rows)) {
		t.Fatalf("%s: the ledger counts %d rows, the segments hold %d", s, rows, len(h.rows))
	}
	return h
}

// read adds what one commit covers.
func (r *rig) read(t *testing.T, h *history, c *schema.Commit) {
	t.Helper()
	h.commits = append(h.commits, c)
	if c.Kind == schema.KindDivergence {
		h.next = c.Next
		return
	}
	if h.base < 0 {
		h.base, h.next = c.Base, c.Base
	}
	if c.Base != h.next {
		t.Fatalf("commit %d begins at %d, expected %d", c.Seq, c.Base, h.next)
	}
	gaps, err := r.book.Gaps(t.Context(), c)
	must(t, err)
	h.gaps = append(h.gaps, gaps...)
	if c.Segment != nil {
		body, _, err := r.store.Get(t.Context(), c.Segment.Key, 1<<30)
		must(t, err)
		rows := segmenttest.Read(t, body)
		for _, row := range rows {
			for len(gaps) > 0 && gaps[0].From == h.next {
				h.next, gaps = gaps[0].To, gaps[1:]
			}
			if row.Offset != h.next || row.Branch != c.Branch {
				t.Fatalf("commit %d: row %d on branch %d where %d on branch %d should be", c.Seq, row.Offset, row.Branch, h.next, c.Branch)
			}
			h.next++
		}
		h.rows = append(h.rows, rows...)
	}
	for _, gap := range gaps {
		if gap.From != h.next {
			t.Fatalf("commit %d: gap %+v where %d should be", c.Seq, gap, h.next)
		}
		h.next = gap.To
	}
	if h.next != c.Next {
		t.Fatalf("commit %d accounts for offsets below %d, and says %d", c.Seq, h.next, c.Next)
	}
}

// equals is the verification that every case ends with. The archive of the
// stream is consistent in itself and reaches the end of the log; what the broker
// serves is archived, byte for byte and with the verdict that a read-committed
// consumer follows; what is archived and no longer served is in rows of before;
// everything else is in gaps. It returns what the archive has.
func (r *rig) equals(t *testing.T, s schema.Stream, before ...*kgo.Record) history {
	t.Helper()
	h := r.history(t, s)
	records := r.served(t, s, kgo.ReadUncommitted())
	committed := map[int64]bool{}
	for _, record := range r.served(t, s, kgo.ReadCommitted()) {
		committed[record.Offset] = true
	}
	if _, end := r.bounds(t, s, kgo.ReadCommitted()); h.next != end {
		t.Errorf("%s is archived to %d, decided are the offsets below %d", s, h.next, end)
	}
	rows := map[int64]segment.Row{}
	for _, row := range h.rows {
		rows[row.Offset] = row
	}
	for _, record := range records {
		if record.Offset < h.base || record.Offset >= h.next {
			continue
		}
		row, ok := rows[record.Offset]
		if !ok {
			t.Fatalf("%s: offset %d is served, and not archived: gaps %+v", s, record.Offset, h.gaps)
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
	if row.TopicID != s.TopicID || row.Topic != s.Topic || row.Partition != want.Partition || row.Offset != want.Offset ||
		row.LeaderEpoch != want.LeaderEpoch || row.Timestamp != want.Timestamp.UnixMilli() ||
		row.TimestampType != schema.TimestampType(want.Attrs.TimestampType()) ||
		row.ProducerID != want.ProducerID || row.ProducerEpoch != want.ProducerEpoch ||
		!identical(row.Key, want.Key) || !identical(row.Value, want.Value) || len(row.Headers) != len(want.Headers) {
		t.Fatalf("%s: offset %d differs:\n%+v\n%+v", s, want.Offset, row.Record, want)
	}
	for i, h := range row.Headers {
		if h.Name != want.Headers[i].Key || !identical(h.Value, want.Headers[i].Value) {
			t.Fatalf("%s: offset %d, header %d: %+v, want %+v", s, want.Offset, i, h, want.Headers[i])
		}
	}
}

// identical tells null from empty.
func identical(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// classes sums the gaps of a history by class.
func (h history) classes() map[schema.GapClass]int64 {
	sums := map[schema.GapClass]int64{}
	for _, gap := range h.gaps {
		sums[gap.Class] += gap.To - gap.From
	}
	return sums
}

// indexed waits until the index has every row of the histories and no other.
func (r *rig) indexed(t *testing.T, histories ...history) {
	t.Helper()
	want := 0
	for _, h := range histories {
		want += len(h.rows)
	}
	eventually(t, 20*time.Second, func() error {
		if got := r.sql("SELECT uniqExact(topic_id, partition, branch, offset) FROM DB.records"); got != fmt.Sprint(want) {
			return fmt.Errorf("the index finds %s records, %d are archived", got, want)
		}
		return nil
	})
}
