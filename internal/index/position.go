package index

import (
	"context"

	"github.com/fx-risk-ai/annals/schema"
)

var positionsTable = newTable("positions",
	"topic LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32",
	"next Int64", "timestamp Int64", "archived_at Int64")

type branchKey struct {
	topicID   schema.TopicID
	partition int32
	branch    int32
}

type reached struct {
	topic     string
	next      int64
	timestamp int64
}

// insertPositions says how far each stream of rows is indexed: one row a
// stream, so that "fresh to" costs no look through the records. The table has
// one row for each branch and no partitions.
func (x *Index) insertPositions(ctx context.Context, rows []Row, at int64) error {
	streams := map[branchKey]reached{}
	for _, row := range rows {
		r := row.Record
		key := branchKey{r.TopicID, r.Partition, r.Branch}
		have, ok := streams[key]
		if !ok {
			have = reached{topic: r.Topic, timestamp: r.Timestamp}
		}
		have.next, have.timestamp = max(have.next, r.Offset+1), max(have.timestamp, r.Timestamp)
		streams[key] = have
	}
	if len(streams) == 0 {
		return nil
	}
	var (
		topics, ids           []string
		partitions, branches  []int32
		nexts, timestamps, as []int64
	)
	for key, have := range streams {
		topics, ids = append(topics, have.topic), append(ids, string(key.topicID[:]))
		partitions, branches = append(partitions, key.partition), append(branches, key.branch)
		nexts, timestamps, as = append(nexts, have.next), append(timestamps, have.timestamp), append(as, at)
	}
	return x.send(ctx, positionsTable, []any{topics, ids, partitions, branches, nexts, timestamps, as})
}
