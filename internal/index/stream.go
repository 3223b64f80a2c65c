package index

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// Branch is what the index knows of one branch of one stream: how far it is
// sealed and indexed, and what its commits count.
type Branch struct {
	Stream schema.Stream // Cluster is empty before the first commit
	Branch int32

	Start     int64 // first offset in scope: where the genesis began, or the divergence
	Next      int64 // sealed up to here, exclusive; 0 before the first commit
	Ended     bool  // the chain ended on this branch; if the topic is there again, it goes on on the next
	Went      int64 // offsets behind Next that Kafka had when it was last seen; 0 unless Ended, -1: not known
	FreshNext int64 // indexed up to here, exclusive; never below Next

	Records       schema.Counts
	Gaps          map[schema.GapClass]int64
	Segments      int64
	Commits       int64
	Bytes         int64 // of the segments' objects
	HighWatermark int64 // the last one a commit saw; -1: none
	MinTimestamp  int64 // over sealed rows; both 0 if none
	MaxTimestamp  int64
	Genesis       time.Time  // clock of the branch's first commit; zero if none
	SealedAt      time.Time  // clock of the last commit; zero if none
	IndexedAt     time.Time  // when the archiver last read records of it; zero if not known
	Versions      [2]Version // least and greatest of its segments
}

// Branches gives every branch of every stream, by topic name, topic ID,
// partition and branch.
func (x *Index) Branches(ctx context.Context) ([]Branch, error) {
	byKey := map[branchKey]*Branch{}
	if err := x.sealed(ctx, byKey); err != nil {
		return nil, err
	}
	if err := x.indexed(ctx, byKey); err != nil {
		return nil, err
	}
	list := make([]Branch, 0, len(byKey))
	for _, b := range byKey {
		if b.FreshNext = max(b.FreshNext, b.Next); b.Ended {
			b.FreshNext = b.Next // what was indexed behind an end is never sealed
		}
		list = append(list, *b)
	}
	slices.SortFunc(list, func(a, b Branch) int { return a.compare(b) })
	return list, nil
}

func (b Branch) compare(o Branch) int {
	switch {
	case b.Stream.Topic != o.Stream.Topic:
		return strings.Compare(b.Stream.Topic, o.Stream.Topic)
	case b.Stream.TopicID != o.Stream.TopicID:
		return strings.Compare(string(b.Stream.TopicID[:]), string(o.Stream.TopicID[:]))
	case b.Stream.Partition != o.Stream.Partition:
		return cmp.Compare(b.Stream.Partition, o.Stream.Partition)
	default:
		return cmp.Compare(b.Branch, o.Branch)
	}
}

func (x *Index) sealed(ctx context.Context, into map[branchKey]*Branch) error {
	// A genesis or divergence says where its branch starts. What a compaction or
	// redaction rewrote was counted when it was sealed.
	const sql = `
		SELECT groupUniqArray(2)(cluster), any(topic), topic_id, partition, branch,
			argMin(next, seq), maxIf(next, kind IN ('genesis', 'segment', 'gap', 'divergence')),
			sumIf(committed, kind = 'segment'), sumIf(aborted, kind = 'segment'), sumIf(control, kind = 'segment'),
			(sumMap(gap_classes, gap_offsets) AS gaps).1, gaps.2,
			toInt64(countIf(kind = 'segment')), toInt64(count()), sumIf(bytes, kind = 'segment'), max(high_watermark),
			countIf(kind = 'end') > 0, maxIf(high_watermark, kind = 'end'),
			minIf(min_timestamp, kind = 'segment'), maxIf(timestamp, kind = 'segment'),
			min(sealed_at), max(sealed_at),
			minIf(extract_version, kind = 'segment'), maxIf(extract_version, kind = 'segment')
		FROM (SELECT * FROM segments ORDER BY topic_id, partition, branch, base, seq, extract_version DESC
			LIMIT 1 BY topic_id, partition, branch, base, seq)
		GROUP BY topic_id, partition, branch`
	return x.query(ctx, "read what is sealed", sql, nil, func(rows scanner) error {
		var (
			b             Branch
			topicID       string
			classes       []string
			offsets       []int64
			first, sealed int64
			end           int64
			low, high     uint16
			clusters      []string
		)
		err := rows.Scan(&clusters, &b.Stream.Topic, &topicID, &b.Stream.Partition, &b.Branch,
			&b.Start, &b.Next, &b.Records.Committed, &b.Records.Aborted, &b.Records.Control,
			&classes, &offsets,
			&b.Segments, &b.Commits, &b.Bytes, &b.HighWatermark, &b.Ended, &end, &b.MinTimestamp, &b.MaxTimestamp,
			&first, &sealed, &low, &high)
		if err != nil {
			return err
		}
		copy(b.Stream.TopicID[:], topicID)
		if len(clusters) != 1 {
			return several(b.Stream.TopicID, clusters)
		}
		b.Stream.Cluster = clusters[0]
		b.Versions = [2]Version{Version(low), Version(high)}
		b.Gaps = make(map[schema.GapClass]int64, len(classes))
		for i, class := range classes {
			b.Gaps[schema.GapClass(class)] = offsets[i]
		}
		switch {
		case !b.Ended:
		case end < 0:
			b.Went = -1
		default:
			b.Went = max(0, end-b.Next)
		}
		b.Genesis, b.SealedAt = time.UnixMilli(first), time.UnixMilli(sealed)
		into[branchKey{b.Stream.TopicID, b.Stream.Partition, b.Branch}] = &b
		return nil
	})
}

func (x *Index) indexed(ctx context.Context, into map[branchKey]*Branch) error {
	const sql = `
		SELECT any(topic), topic_id, partition, branch, max(next), max(archived_at)
		FROM positions GROUP BY topic_id, partition, branch`
	return x.query(ctx, "read what is indexed", sql, nil, func(rows scanner) error {
		var (
			topic, topicID string
			key            branchKey
			next, at       int64
		)
		if err := rows.Scan(&topic, &topicID, &key.partition, &key.branch, &next, &at); err != nil {
			return err
		}
		copy(key.topicID[:], topicID)
		b, ok := into[key]
		if !ok {
			b = &Branch{
				Stream: schema.Stream{Topic: topic, TopicID: key.topicID, Partition: key.partition},
				Branch: key.branch, HighWatermark: -1,
			}
			into[key] = b
		}
		b.FreshNext, b.IndexedAt = next, time.UnixMilli(at)
		return nil
	})
}

// Which segments overlap a range of offsets: of one stream, as of one record, which
// takes half of what joining the ranges of several does; and of several.
const (
	ofStream = `
		WHERE topic_id = toFixedString(unhex({id:String}), 16) AND partition = {partition:Int32} AND branch = {branch:Int32}
		  AND base <= {high:Int64} AND next > {low:Int64}`
	ofStreams = `
		INNER JOIN (
			SELECT toFixedString(unhex(w.1), 16) AS w_id, w.2 AS w_partition, w.3 AS w_branch, w.4 AS w_low, w.5 AS w_high
			FROM (SELECT arrayJoin(arrayZip({ids:Array(String)}, {partitions:Array(Int32)}, {branches:Array(Int32)},
				{lows:Array(Int64)}, {highs:Array(Int64)})) AS w)
		) AS wanted ON s.topic_id = w_id AND s.partition = w_partition AND s.branch = w_branch
		WHERE s.topic_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
		  AND base <= w_high AND next > w_low`
)

// Covering gives, for each position that a segment on its branch covers, the
// newest such segment, with the version of its rows: a compaction moves them
// and reads none anew. Positions that none covers are not in the answer.
func (x *Index) Covering(ctx context.Context, positions []schema.Position) (map[schema.Position]SegmentRow, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	type bounds struct{ low, high int64 }
	streams := map[branchKey]bounds{}
	for _, p := range positions {
		key := branchKey{p.TopicID, p.Partition, p.Branch}
		b, ok := streams[key]
		if !ok {
			b = bounds{p.Offset, p.Offset}
		}
		streams[key] = bounds{min(b.low, p.Offset), max(b.high, p.Offset)}
	}
	var (
		ids                  []schema.TopicID
		partitions, branches []int32
		lows, highs          []int64
	)
	for key, b := range streams {
		ids, partitions, branches = append(ids, key.topicID), append(partitions, key.partition), append(branches, key.branch)
		lows, highs = append(lows, b.low), append(highs, b.high)
	}
	which, arguments := ofStreams, []any{
		clickhouse.Named("ids", topicIDList(ids)), clickhouse.Named("partitions", partitions),
		clickhouse.Named("branches", branches), clickhouse.Named("lows", lows), clickhouse.Named("highs", highs),
	}
	if len(ids) == 1 {
		which, arguments = ofStream, []any{
			clickhouse.Named("id", topicIDList(ids)[0]), clickhouse.Named("partition", partitions[0]),
			clickhouse.Named("branch", branches[0]), clickhouse.Named("low", lows[0]), clickhouse.Named("high", highs[0]),
		}
	}
	sql := "SELECT " + segmentColumns + " FROM segments AS s " + which + `
		AND object_key != ''
		ORDER BY seq, extract_version DESC LIMIT 1 BY topic_id, partition, branch, base, seq LIMIT 100000`
	found := map[branchKey][]SegmentRow{}
	err := x.query(ctx, "find segments", sql, arguments, func(rows scanner) error {
		row, err := scanSegment(rows)
		if err != nil {
			return err
		}
		key := branchKey{row.Stream.TopicID, row.Stream.Partition, row.Branch}
		if before := found[key]; len(before) > 0 && before[0].Stream.Cluster != row.Stream.Cluster {
			return several(row.Stream.TopicID, []string{before[0].Stream.Cluster, row.Stream.Cluster})
		}
		found[key] = append(found[key], row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	covering := make(map[schema.Position]SegmentRow, len(positions))
	for _, p := range positions {
		for _, row := range found[branchKey{p.TopicID, p.Partition, p.Branch}] { // by seq: the last one wins
			if row.Base <= p.Offset && p.Offset < row.Next {
				if before, ok := covering[p]; ok && row.Kind != schema.KindSegment {
					row.Version = before.Version
				}
				covering[p] = row
			}
		}
	}
	return covering, nil
}

const segmentColumns = `cluster, topic, topic_id, partition, branch, base, next, seq, kind, object_key, sha256, bytes,
	extract_version, committed, aborted, control, min_timestamp, timestamp, high_watermark, sealed_at`

func scanSegment(rows scanner) (SegmentRow, error) {
	var (
		row           SegmentRow
		topicID, kind string
		sha           string
		version       uint16
		sealedAt      int64
	)
	err := rows.Scan(&row.Stream.Cluster, &row.Stream.Topic, &topicID, &row.Stream.Partition, &row.Branch,
		&row.Base, &row.Next, &row.Seq, &kind, &row.Key, &sha, &row.Bytes, &version,
		&row.Records.Committed, &row.Records.Aborted, &row.Records.Control, &row.MinTimestamp, &row.MaxTimestamp,
		&row.HighWatermark, &sealedAt)
	copy(row.Stream.TopicID[:], topicID)
	copy(row.SHA256[:], sha)
	row.Kind, row.Version, row.SealedAt = schema.CommitKind(kind), Version(version), time.UnixMilli(sealedAt)
	return row, err
}
