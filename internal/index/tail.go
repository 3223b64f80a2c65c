package index

import (
	"context"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// Tail is where a reader of a partition's chain found its end: on which branch,
// and at which offset, exclusive.
type Tail struct {
	Stream schema.Stream
	Branch int32
	Next   int64
}

// CountBehind counts the committed records that are indexed behind the tails of
// some partitions, on their branches, with record times in milliseconds from from
// to before to; nil is no bound. Where nothing is indexed behind a tail, as most of
// the time, that costs no look through the records. Exhausted where it takes too
// long.
func (x *Index) CountBehind(ctx context.Context, tails []Tail, from, to *int64) (int64, error) {
	tails, err := x.open(ctx, tails)
	if err != nil || len(tails) == 0 {
		return 0, err
	}
	var (
		topics               []string
		ids                  []schema.TopicID
		partitions, branches []int32
		nexts                []int64
	)
	for _, tail := range tails {
		topics, ids = append(topics, tail.Stream.Topic), append(ids, tail.Stream.TopicID)
		partitions, branches, nexts = append(partitions, tail.Stream.Partition), append(branches, tail.Branch), append(nexts, tail.Next)
	}
	first, last := int64(math.MinInt64), int64(math.MaxInt64) // last inclusive
	if from != nil {
		first = *from
	}
	if to != nil && *to > math.MinInt64 {
		last = *to - 1
	}
	var n uint64
	err = x.query(ctx, "count what is not sealed", `
		SELECT uniqExact(topic_id, partition, branch, offset) FROM records AS r
		INNER JOIN (
			SELECT toFixedString(unhex(w.1), 16) AS w_id, w.2 AS w_partition, w.3 AS w_branch, w.4 AS w_next
			FROM (SELECT arrayJoin(arrayZip({ids:Array(String)}, {partitions:Array(Int32)}, {branches:Array(Int32)}, {nexts:Array(Int64)})) AS w)
		) AS behind ON r.topic_id = w_id AND r.partition = w_partition AND r.branch = w_branch
		WHERE topic IN {topics:Array(String)} AND timestamp BETWEEN {first:Int64} AND {last:Int64} AND status = 'committed' AND offset >= w_next`,
		[]any{
			clickhouse.Named("ids", topicIDList(ids)), clickhouse.Named("partitions", partitions), clickhouse.Named("branches", branches),
			clickhouse.Named("nexts", nexts), clickhouse.Named("topics", topics), clickhouse.Named("first", first), clickhouse.Named("last", last),
		}, func(rows scanner) error { return rows.Scan(&n) })
	return int64(n), err
}

// open are the tails behind which anything is indexed.
func (x *Index) open(ctx context.Context, tails []Tail) ([]Tail, error) {
	if len(tails) == 0 {
		return nil, nil
	}
	ids := make([]schema.TopicID, len(tails))
	for i := range tails {
		ids[i] = tails[i].Stream.TopicID
	}
	nexts := map[branchKey]int64{}
	err := x.query(ctx, "ask how far partitions are indexed", `
		SELECT topic_id, partition, branch, max(next) FROM positions
		WHERE topic_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
		GROUP BY topic_id, partition, branch`,
		[]any{clickhouse.Named("ids", topicIDList(ids))}, func(rows scanner) error {
			var raw string
			var key branchKey
			var next int64
			err := rows.Scan(&raw, &key.partition, &key.branch, &next)
			copy(key.topicID[:], raw)
			nexts[key] = next
			return err
		})
	var open []Tail
	for _, tail := range tails {
		if nexts[branchKey{tail.Stream.TopicID, tail.Stream.Partition, tail.Branch}] > tail.Next {
			open = append(open, tail)
		}
	}
	return open, err
}
