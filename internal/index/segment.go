package index

import (
	"context"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// GapSidecar stands for the classes of gaps that a commit lists in an object
// beside it, being too many to list in line.
const GapSidecar schema.GapClass = "sidecar"

// SegmentRow is what the index keeps of a commit: which offsets it speaks of
// and where their records are. Insert one for every commit: those without an
// object (genesis, gap, divergence, end) are what coverage is made of.
type SegmentRow struct {
	Stream         schema.Stream
	Branch         int32
	Kind           schema.CommitKind
	Seq            int64
	Base, Next     int64 // offsets; Next is exclusive
	Key            string
	SHA256         schema.Digest
	Bytes          int64
	ExtractVersion int32
	Records        schema.Counts
	MinTimestamp   int64 // record times, milliseconds since the Unix epoch
	MaxTimestamp   int64
	Gaps           map[schema.GapClass]int64 // offsets not served
	HighWatermark  int64                     // as seen at the commit; -1: not known
	SealedAt       time.Time
	Summary        *Summary // nil: no rollups and topology, as of a commit without rows
}

// SegmentOf takes from a commit what the index keeps of it. Invalid clocks are
// the commit's own business: SealedAt is then the epoch.
func SegmentOf(c *schema.Commit) SegmentRow {
	row := SegmentRow{
		Stream: c.Stream(), Branch: c.Branch, Kind: c.Kind, Seq: c.Seq, Base: c.Base, Next: c.Next,
		ExtractVersion: c.Versions.Extract, Records: c.Records, HighWatermark: -1,
	}
	if c.Segment != nil {
		row.Key, row.SHA256, row.Bytes = c.Segment.Key, c.Segment.SHA256, c.Segment.Bytes
		row.MinTimestamp, row.MaxTimestamp = c.Segment.MinTimestamp, c.Segment.MaxTimestamp
	}
	if c.HighWatermark != nil {
		row.HighWatermark = *c.HighWatermark
	}
	if c.GapOffsets > 0 {
		row.Gaps = map[schema.GapClass]int64{}
		for _, gap := range c.Gaps {
			row.Gaps[gap.Class] += gap.To - gap.From
		}
		if c.GapsObject != nil {
			row.Gaps[GapSidecar] = c.GapOffsets
		}
	}
	row.SealedAt = time.UnixMilli(0)
	if at, err := time.Parse(time.RFC3339Nano, c.Clock); err == nil {
		row.SealedAt = at
	}
	return row
}

var segmentsTable = newTable("segments",
	"cluster LowCardinality(String)", "topic LowCardinality(String)", "topic_id FixedString(16)",
	"partition Int32", "branch Int32", "base Int64", "next Int64", "seq Int64", "kind LowCardinality(String)",
	"object_key String", "sha256 FixedString(32)", "bytes Int64", "extract_version UInt16",
	"committed Int64", "aborted Int64", "control Int64", "timestamp Int64", "min_timestamp Int64",
	"gap_classes Array(LowCardinality(String))", "gap_offsets Array(Int64)", "high_watermark Int64", "sealed_at Int64")

// InsertSegment records a commit. Its rows, inserted before, count as sealed
// from then on; so call it only when the ledger has the commit and all its
// records are in the index. The summary's rows go first. Idempotent.
func (x *Index) InsertSegment(ctx context.Context, row SegmentRow) error {
	s := row.Stream
	if s.TopicID.IsZero() || !row.Kind.Known() || row.Next < row.Base {
		return schema.Errorf(schema.Invalid, "insert segment %d of %s: topic ID, kind or range is wrong", row.Seq, s)
	}
	if row.Summary != nil {
		if err := x.insertSummary(ctx, row); err != nil {
			return err
		}
	}
	var classes []string
	for class := range row.Gaps {
		classes = append(classes, string(class))
	}
	slices.Sort(classes)
	offsets := make([]int64, len(classes))
	for i, class := range classes {
		offsets[i] = row.Gaps[schema.GapClass(class)]
	}
	return x.send(ctx, segmentsTable, []any{
		[]string{s.Cluster},
		[]string{s.Topic},
		[]string{string(s.TopicID[:])},
		[]int32{s.Partition},
		[]int32{row.Branch},
		[]int64{row.Base},
		[]int64{row.Next},
		[]int64{row.Seq},
		[]string{string(row.Kind)},
		[]string{row.Key},
		[]string{string(row.SHA256[:])},
		[]int64{row.Bytes},
		[]uint16{uint16(row.ExtractVersion)},
		[]int64{row.Records.Committed},
		[]int64{row.Records.Aborted},
		[]int64{row.Records.Control},
		[]int64{row.MaxTimestamp},
		[]int64{row.MinTimestamp},
		[][]string{classes},
		[][]int64{offsets},
		[]int64{row.HighWatermark},
		[]int64{row.SealedAt.UnixMilli()},
	})
}
