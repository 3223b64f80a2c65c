// Package replaytest puts records into an archive, without a broker and an
// archiver, for tests of what reads archives, and takes the power from workers of
// replays.
package replaytest

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Archive appends records, by rising offset, to a stream's chain: a genesis if
// there is none, then segments of at most perSegment rows, and gaps where
// offsets are missing. It returns the segments' references.
func Archive(t testing.TB, store ledger.Store, stream schema.Stream, records []schema.Record, perSegment int) []schema.SegmentRef {
	t.Helper()
	return ArchiveExtracted(t, store, stream, records, make([]schema.Extraction, len(records)), perSegment)
}

// ArchiveExtracted is Archive with what was extracted from each record.
func ArchiveExtracted(t testing.TB, store ledger.Store, stream schema.Stream, records []schema.Record, extractions []schema.Extraction, perSegment int) []schema.SegmentRef {
	t.Helper()
	book := ledger.New(store, nil)
	head, err := book.Head(t.Context(), stream)
	if schema.KindOf(err) == schema.NotFound {
		genesis := next(head, stream, schema.KindGenesis)
		genesis.Start = &schema.Start{Policy: "earliest"}
		head, err = book.Append(t.Context(), head, genesis)
	}
	if err != nil {
		t.Fatal(err)
	}
	var refs []schema.SegmentRef
	for len(records) > 0 {
		n := min(perSegment, len(records))
		c := next(head, stream, schema.KindSegment)
		body := fill(t, c, stream, records[:n], extractions[:n])
		if _, err := store.Put(t.Context(), c.Segment.Key, body); err != nil {
			t.Fatal(err)
		}
		if head, err = book.Append(t.Context(), head, c); err != nil {
			t.Fatal(err)
		}
		refs, records, extractions = append(refs, *c.Segment), records[n:], extractions[n:]
	}
	return refs
}

// Diverge begins a stream's next branch at an offset, as after an unclean
// leader election. Archive goes on there; its records name the branch.
func Diverge(t testing.TB, store ledger.Store, stream schema.Stream, point int64) {
	t.Helper()
	book := ledger.New(store, nil)
	head, err := book.Head(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	c := next(head, stream, schema.KindDivergence)
	c.Branch++
	c.Base, c.Next = point, point
	c.Divergence = &schema.Divergence{ArchivedNext: head.Next, BranchPoint: point, Evidence: "test"}
	if _, err := book.Append(t.Context(), head, c); err != nil {
		t.Fatal(err)
	}
}

func next(head ledger.Head, stream schema.Stream, kind schema.CommitKind) *schema.Commit {
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind, Cluster: stream.Cluster, Topic: stream.Topic, TopicID: stream.TopicID,
		Partition: stream.Partition, Attempt: uuid.NewString(), Writer: "replaytest",
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "test"},
		Clock:    time.Now().UTC().Format(time.RFC3339Nano),
	}
	if head.Commit != nil {
		digest := head.Digest
		c.Branch, c.Seq, c.Previous, c.Base, c.Next = head.Commit.Branch, head.Commit.Seq+1, &digest, head.Next, head.Next
	}
	return c
}

// fill completes a segment's commit and returns the segment's bytes.
func fill(t testing.TB, c *schema.Commit, stream schema.Stream, records []schema.Record, extractions []schema.Extraction) []byte {
	t.Helper()
	var body bytes.Buffer
	w, err := segment.NewWriter(&body, segment.Options{Stream: stream, Branch: c.Branch, Rows: len(records)})
	if err != nil {
		t.Fatal(err)
	}
	at := c.Base
	for i := range records {
		r := &records[i]
		if r.Offset > at {
			c.Gaps = append(c.Gaps, schema.Gap{Class: schema.GapCleaned, From: at, To: r.Offset})
			c.GapOffsets += r.Offset - at
		}
		at = r.Offset + 1
		if err := w.Append(r, &extractions[i]); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.Next, c.Records, c.LeaderEpochs = at, s.Counts, s.LeaderEpochs
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(stream, c.Base, c.Next, s.SHA256), SHA256: s.SHA256, Bytes: s.Bytes},
		RecordRoot: s.RecordRoot, MinTimestamp: s.MinTimestamp, MaxTimestamp: s.MaxTimestamp,
	}
	return body.Bytes()
}

// Purge takes a segment of a stream away, whose offsets are from ≤ o < next.
// The object stays until somebody deletes it.
func Purge(t testing.TB, store ledger.Store, stream schema.Stream, ref schema.SegmentRef, from, to int64) {
	t.Helper()
	book := ledger.New(store, nil)
	head, err := book.Head(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	c := next(head, stream, schema.KindPurge)
	c.Base, c.Next = from, to
	c.Replaced = []schema.ObjectRef{ref.ObjectRef}
	c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test"}
	if _, err := book.Append(t.Context(), head, c); err != nil {
		t.Fatal(err)
	}
}

// Join replaces all current segments of a stream, which must be of one branch, by
// one with the same rows, as compaction does, and deletes their objects.
func Join(t testing.TB, store *objstore.Store, stream schema.Stream) {
	t.Helper()
	book := ledger.New(store, nil)
	view, err := book.View(t.Context(), stream, nil)
	if err != nil {
		t.Fatal(err)
	}
	current := view.Current()
	var body bytes.Buffer
	w, err := segment.NewWriter(&body, segment.Options{Stream: stream, Branch: current[0].Branch, Rewrite: "test"})
	if err != nil {
		t.Fatal(err)
	}
	c := next(view.Head, stream, schema.KindCompaction)
	for _, old := range current {
		reader, err := segment.Open(t.Context(), store.ReaderAt(t.Context(), old.Ref.Key, old.Ref.Bytes), old.Ref.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range reader.Footer().Parts {
			if err := w.BeginPart(part.Seed); err != nil {
				t.Fatal(err)
			}
			for row, err := range reader.Rows(t.Context(), part.FirstOffset, part.LastOffset+1) {
				if err == nil {
					err = w.Append(&row.Record, &row.X)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Replaced = append(c.Replaced, old.Ref.ObjectRef)
	}
	s, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	c.Versions.Segment = segment.FormatJoined
	c.Base, c.Next, c.Records, c.LeaderEpochs = current[0].Base, current[len(current)-1].Next, s.Counts, s.LeaderEpochs
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(stream, c.Base, c.Next, s.SHA256), SHA256: s.SHA256, Bytes: s.Bytes},
		RecordRoot: s.RecordRoot, MinTimestamp: s.MinTimestamp, MaxTimestamp: s.MaxTimestamp,
	}
	if _, err := store.Put(t.Context(), c.Segment.Key, body.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := book.Append(t.Context(), view.Head, c); err != nil {
		t.Fatal(err)
	}
	for _, old := range current {
		if err := store.Delete(t.Context(), old.Ref.Key); err != nil {
			t.Fatal(err)
		}
	}
}
