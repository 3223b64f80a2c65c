package index

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// Version is under which a row is in the index: in the upper byte the version
// of the rules that read the record, in the lower how often its range was read
// again since under rules of that version, as after a change of a topic's
// rules. A row counts only if its version is the one that the newest segments
// row over it names, or, unsealed, Fresh.
type Version uint16

// Fresh is the version of records that are read for the first time.
const Fresh = Version(schema.ExtractVersion) << 8

// VersionOf is the first version under some rules.
func VersionOf(rules int32) Version { return Version(rules) << 8 }

// Rules is the version of the rules.
func (v Version) Rules() int32 { return int32(v >> 8) }

// Again is the version for reading a range once more. Exhausted after 255
// times.
func (v Version) Again() (Version, error) {
	if v&0xff == 0xff {
		return v, schema.WithHint(schema.Errorf(schema.Exhausted, "a range was read again 255 times under rules of version %d", v.Rules()),
			"name another clickhouse.database and run annals reindex")
	}
	return v + 1, nil
}

// Range is a range of a branch's offsets, Next exclusive, and the one version
// whose rows count in it.
type Range struct {
	TopicID    schema.TopicID
	Partition  int32
	Branch     int32
	Base, Next int64
	Version    Version
}

// Named gives what the index has of a stream's commits, by seq, from a seq on:
// their ranges, and under which version their rows are there.
func (x *Index) Named(ctx context.Context, s schema.Stream, from int64) (map[int64]Range, error) {
	named := map[int64]Range{}
	err := x.query(ctx, "ask which rules read what is indexed", `
		SELECT seq, any(branch), any(base), any(next), max(extract_version) FROM segments
		WHERE topic_id = {id:String} AND partition = {partition:Int32} AND cluster = {cluster:String} AND seq >= {from:Int64} AND kind = 'segment'
		GROUP BY seq`,
		[]any{
			clickhouse.Named("id", string(s.TopicID[:])), clickhouse.Named("partition", s.Partition),
			clickhouse.Named("cluster", s.Cluster), clickhouse.Named("from", from),
		}, func(rows scanner) error {
			var seq int64
			var version uint16
			r := Range{TopicID: s.TopicID, Partition: s.Partition}
			err := rows.Scan(&seq, &r.Branch, &r.Base, &r.Next, &version)
			r.Version = Version(version)
			named[seq] = r
			return err
		})
	return named, err
}

// maxRanges bounds the ranges of one statement.
const maxRanges = 200

// Forget deletes the rows of records in the ranges that have an earlier version
// than the range names: what earlier rules read, or an attempt that was not
// finished. ClickHouse does so in the background; what is inserted after the
// call is not touched. Until then the rows do not count, so a failure leaves
// garbage and no wrong answer. Each statement looks through the tables: better
// one call with many ranges. Ranges of one version that touch become one.
//
// Rows of a later version stay, whoever calls, for they may count by now, or
// will soon:
//
//   - Of two reindexes that read a stream at once each has a version of its own
//     (Claim), and the later one is what counts. The earlier one's Forget comes
//     too late for nothing; the later one's takes what the earlier one has put
//     so far, which does not count any more. What the earlier one puts after
//     that is garbage until the next Forget of that range.
//   - A catch-up names the first version of its program's rules, a reindex beside
//     it that or a later one, of the same rules: the same holds.
//   - A program with earlier rules (a downgrade) leaves what is named under later
//     ones, and of what it names itself a row of later rules, indexed while it
//     was fresh, stays: it does not count, and the program that put it puts the
//     same again when it is back.
func (x *Index) Forget(ctx context.Context, ranges []Range) error {
	for some := range slices.Chunk(join(ranges), maxRanges) {
		terms := make([]string, len(some))
		for i, r := range some {
			terms[i] = fmt.Sprintf("(topic_id = unhex('%s') AND partition = %d AND branch = %d AND offset >= %d AND offset < %d AND extract_version < %d)",
				hex.EncodeToString(r.TopicID[:]), r.Partition, r.Branch, r.Base, r.Next, r.Version)
		}
		for _, table := range []string{"records", "records_by_trace", "id_index"} {
			if err := x.delete(ctx, table, strings.Join(terms, " OR ")); err != nil {
				return err
			}
		}
	}
	return nil
}

// join makes one of ranges that touch. What lies between others may be a commit
// of another version that is not in the list, whose rows count.
func join(ranges []Range) []Range {
	ranges = slices.SortedFunc(slices.Values(ranges), func(a, b Range) int {
		return cmp.Or(bytes.Compare(a.TopicID[:], b.TopicID[:]), cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.Branch, b.Branch), cmp.Compare(a.Base, b.Base))
	})
	var joined []Range
	for _, r := range ranges {
		if n := len(joined) - 1; n >= 0 {
			last := &joined[n]
			if last.TopicID == r.TopicID && last.Partition == r.Partition && last.Branch == r.Branch && last.Version == r.Version && r.Base <= last.Next {
				last.Next = max(last.Next, r.Next)
				continue
			}
		}
		joined = append(joined, r)
	}
	return joined
}

// delete deletes the rows that meet a condition, in the background.
func (x *Index) delete(ctx context.Context, table, condition string) error {
	err := x.writes.Exec(ctx, "DELETE FROM "+table+" WHERE "+condition+" SETTINGS lightweight_deletes_sync = 0")
	return fault("delete stale rows of "+table, err)
}

// forgetSummaries deletes the rollups, topology and violations of commits that were read
// again: their groups may be others now, and would count beside the old ones.
func (x *Index) forgetSummaries(ctx context.Context, rows []SegmentRow) error {
	var terms []string
	for i := range rows {
		if row := &rows[i]; row.Again {
			terms = append(terms, fmt.Sprintf("(unhex('%s'), %d, %d, %d)", hex.EncodeToString(row.Stream.TopicID[:]), row.Stream.Partition, row.Branch, row.Seq))
		}
	}
	for some := range slices.Chunk(terms, maxRanges) {
		for _, table := range []string{"rollups", "topology", "violations"} {
			if err := x.delete(ctx, table, "(topic_id, partition, branch, seq) IN ("+strings.Join(some, ", ")+")"); err != nil {
				return err
			}
		}
	}
	return nil
}

// Summarised gives the commits of a stream, by seq, from a seq on, that have
// summaries. Rollups, topology and violations have no version: what an attempt put
// that ended before it named its commit counts beside those of the next, unless
// that one has it forgotten (SegmentRow.Again). Rollups go first, so that where
// they are not, nothing is.
func (x *Index) Summarised(ctx context.Context, s schema.Stream, from int64) (map[int64]bool, error) {
	found := map[int64]bool{}
	err := x.query(ctx, "ask for summaries", `
		SELECT DISTINCT seq FROM rollups
		WHERE topic = {topic:String} AND topic_id = {id:String} AND partition = {partition:Int32} AND seq >= {from:Int64}`,
		[]any{
			clickhouse.Named("topic", s.Topic), clickhouse.Named("id", string(s.TopicID[:])),
			clickhouse.Named("partition", s.Partition), clickhouse.Named("from", from),
		}, func(rows scanner) error {
			var seq int64
			err := rows.Scan(&seq)
			found[seq] = true
			return err
		})
	return found, err
}

// Deleting tells how many of the deletions that were asked for are not done.
func (x *Index) Deleting(ctx context.Context) (uint64, error) {
	var left uint64
	err := x.query(ctx, "ask for deletions under way", "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done", nil,
		func(rows scanner) error { return rows.Scan(&left) })
	return left, err
}
