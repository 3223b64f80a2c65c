package index

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

var topologyTable = newTable("topology",
	"parent_topic LowCardinality(String)", "parent_type LowCardinality(String)", "child_topic LowCardinality(String)",
	"child_type LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32", "seq Int64",
	"samples Int64", "timestamp Int64")

// Feed says that events of one topic and type were declared to be caused by
// events of another. Samples is how many declared causes were looked at, not
// how many there are.
type Feed struct {
	ParentTopic, ParentType string
	ChildTopic, ChildType   string
	Samples                 int64
}

// maxFeeds bounds what Topology gives.
const maxFeeds = 10_000

// Topology gives what feeds what, as declared causes have shown, the best
// attested first. Callers hide topics that their principal may not see.
func (x *Index) Topology(ctx context.Context) ([]Feed, error) {
	var feeds []Feed
	err := x.query(ctx, "read topology", `
		SELECT parent_topic, parent_type, child_topic, child_type, sum(samples) AS n
		FROM (SELECT * FROM topology ORDER BY parent_topic, parent_type, child_topic, child_type, topic_id, partition, branch, seq
			LIMIT 1 BY parent_topic, parent_type, child_topic, child_type, topic_id, partition, branch, seq)
		GROUP BY parent_topic, parent_type, child_topic, child_type ORDER BY n DESC LIMIT {limit:UInt64}`,
		[]any{clickhouse.Named("limit", uint64(maxFeeds))}, func(rows scanner) error {
			var f Feed
			err := rows.Scan(&f.ParentTopic, &f.ParentType, &f.ChildTopic, &f.ChildType, &f.Samples)
			feeds = append(feeds, f)
			return err
		})
	return feeds, err
}

// insertTopology looks up the sampled causes of one segment and keeps which
// topics and types they were of. A cause that is not indexed, or not yet,
// teaches nothing.
func (x *Index) insertTopology(ctx context.Context, row SegmentRow) error {
	var ids []ID
	for _, causes := range row.Summary.samples {
		for _, cause := range causes {
			if id, ok := causeID(cause); ok {
				ids = append(ids, id)
			}
		}
	}
	found, _, err := x.Lookup(ctx, ids, nil, everything)
	if err != nil || len(found) == 0 {
		return err
	}
	parents := make(map[ID]*Hit, len(found))
	for i := range found {
		parents[found[i].ID] = &found[i].Hit
	}
	samples := map[Feed]int64{}
	for kind, causes := range row.Summary.samples {
		for _, cause := range causes {
			id, _ := causeID(cause)
			parent, ok := parents[id]
			if !ok {
				continue
			}
			f := Feed{ParentTopic: parent.Topic, ParentType: parent.EventType, ChildTopic: row.Stream.Topic, ChildType: kind}
			samples[f]++
		}
	}
	return x.sendFeeds(ctx, row, samples)
}

func (x *Index) sendFeeds(ctx context.Context, row SegmentRow, feeds map[Feed]int64) error {
	if len(feeds) == 0 {
		return nil
	}
	var (
		parentTopic, parentType, childTopic, childType, topicID []string
		partition, branch                                       []int32
		seq, samples, timestamp                                 []int64
	)
	for f, n := range feeds {
		parentTopic, parentType = append(parentTopic, f.ParentTopic), append(parentType, f.ParentType)
		childTopic, childType = append(childTopic, f.ChildTopic), append(childType, f.ChildType)
		topicID = append(topicID, string(row.Stream.TopicID[:]))
		partition, branch, seq = append(partition, row.Stream.Partition), append(branch, row.Branch), append(seq, row.Seq)
		samples = append(samples, n)
		// One time for the whole segment, so that all of it is in one partition.
		timestamp = append(timestamp, row.MaxTimestamp)
	}
	return x.send(ctx, topologyTable, []any{
		parentTopic, parentType, childTopic, childType, topicID, partition, branch, seq, samples, timestamp,
	})
}

// causeID is under which id a declared cause is found. A span is one only
// within its trace, and teaches nothing by itself.
func causeID(c schema.Cause) (ID, bool) {
	switch c.Kind {
	case schema.CauseEvent:
		return ID{schema.IDEvent, c.ID}, true
	case schema.CauseRecord, schema.CauseCopy:
		return ID{schema.IDRecord, c.ID}, true
	default:
		return ID{}, false
	}
}
