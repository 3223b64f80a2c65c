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
	Stream        schema.Stream
	Branch        int32
	Kind          schema.CommitKind
	Seq           int64
	Base, Next    int64 // offsets; Next is exclusive
	Key           string
	SHA256        schema.Digest
	Bytes         int64
	Version       Version // of the rows
	Again         bool    // the commit was in the index before, with other rows, or an attempt to put it there ended: its summaries are replaced
	Records       schema.Counts
	MinTimestamp  int64 // record times, milliseconds since the Unix epoch
	MaxTimestamp  int64
	Gaps          map[schema.GapClass]int64 // offsets not served
	HighWatermark int64                     // as seen at the commit; -1: not known
	SealedAt      time.Time
	BranchEnd     int64    // of a divergence: up to where the branch before it was sealed, exclusive
	Summary       *Summary // nil: no rollups, topology and violations, as of a commit without rows
}

// SegmentOf takes from a commit what the index keeps of it. Invalid clocks are
// the commit's own business: SealedAt is then the epoch.
func SegmentOf(c *schema.Commit) SegmentRow {
	row := SegmentRow{
		Stream: c.Stream(), Branch: c.Branch, Kind: c.Kind, Seq: c.Seq, Base: c.Base, Next: c.Next,
		Version: VersionOf(c.Versions.Extract), Records: c.Records, HighWatermark: -1,
	}
	if c.Segment != nil {
		row.Key, row.SHA256, row.Bytes = c.Segment.Key, c.Segment.SHA256, c.Segment.Bytes
		row.MinTimestamp, row.MaxTimestamp = c.Segment.MinTimestamp, c.Segment.MaxTimestamp
	}
	if c.Divergence != nil {
		row.BranchEnd = c.Divergence.ArchivedNext
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
	if at := c.Written(); !at.IsZero() {
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

// InsertSegments records commits, of any streams, in few inserts: of small
// segments, an insert costs more than all its rows. Their rows, inserted
// before, count as sealed from then on; so call it only when the ledger has the
// commits and all their records are in the index. The summaries' rows go first.
// Rows of records that the commits leave no room for, which were indexed and never
// sealed, are deleted.
// Idempotent; an error may leave some of them inserted. Conflict, before anything
// is sent, for a topic ID of which the index has commits of another cluster: the
// identity of a record does not name the cluster.
func (x *Index) InsertSegments(ctx context.Context, rows []SegmentRow) error {
	for i := range rows {
		row := &rows[i]
		if s := row.Stream; s.TopicID.IsZero() || !row.Kind.Known() || row.Next < row.Base {
			return schema.Errorf(schema.Invalid, "insert segment %d of %s: topic ID, kind or range is wrong", row.Seq, s)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := x.ofOneCluster(ctx, rows); err != nil {
		return err
	}
	if err := x.forgetSummaries(ctx, rows); err != nil {
		return err
	}
	if err := x.forgetNeverSealed(ctx, rows); err != nil {
		return err
	}
	if err := x.insertRollups(ctx, rows); err != nil {
		return err
	}
	if err := x.insertTopology(ctx, rows); err != nil {
		return err
	}
	if err := x.insertViolations(ctx, rows); err != nil {
		return err
	}
	var b segmentBlock
	for i := range rows {
		b.add(&rows[i])
	}
	return x.send(ctx, segmentsTable, b.columns())
}

// segmentBlock are segments rows, column by column.
type segmentBlock struct {
	cluster, topic, topicID, kind, key, sha256          []string
	partition, branch                                   []int32
	base, next, seq, bytes, committed, aborted, control []int64
	timestamp, minTimestamp, highWatermark, sealedAt    []int64
	version                                             []uint16
	gapClasses                                          [][]string
	gapOffsets                                          [][]int64
}

func (b *segmentBlock) add(row *SegmentRow) {
	s := row.Stream
	b.cluster, b.topic, b.topicID = append(b.cluster, s.Cluster), append(b.topic, s.Topic), append(b.topicID, string(s.TopicID[:]))
	b.partition, b.branch = append(b.partition, s.Partition), append(b.branch, row.Branch)
	b.base, b.next, b.seq = append(b.base, row.Base), append(b.next, row.Next), append(b.seq, row.Seq)
	b.kind, b.key, b.sha256 = append(b.kind, string(row.Kind)), append(b.key, row.Key), append(b.sha256, string(row.SHA256[:]))
	b.bytes, b.version = append(b.bytes, row.Bytes), append(b.version, uint16(row.Version))
	b.committed, b.aborted = append(b.committed, row.Records.Committed), append(b.aborted, row.Records.Aborted)
	b.control = append(b.control, row.Records.Control)
	b.timestamp, b.minTimestamp = append(b.timestamp, row.MaxTimestamp), append(b.minTimestamp, row.MinTimestamp)
	b.highWatermark, b.sealedAt = append(b.highWatermark, row.HighWatermark), append(b.sealedAt, row.SealedAt.UnixMilli())
	var classes []string
	for class := range row.Gaps {
		classes = append(classes, string(class))
	}
	slices.Sort(classes)
	offsets := make([]int64, len(classes))
	for i, class := range classes {
		offsets[i] = row.Gaps[schema.GapClass(class)]
	}
	b.gapClasses, b.gapOffsets = append(b.gapClasses, classes), append(b.gapOffsets, offsets)
}

func (b *segmentBlock) columns() []any {
	return []any{
		b.cluster, b.topic, b.topicID, b.partition, b.branch, b.base, b.next, b.seq, b.kind, b.key, b.sha256, b.bytes, b.version,
		b.committed, b.aborted, b.control, b.timestamp, b.minTimestamp, b.gapClasses, b.gapOffsets, b.highWatermark, b.sealedAt,
	}
}
