package index

import (
	"context"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

var topologyTable = newTable("topology",
	"parent_topic LowCardinality(String)", "parent_type LowCardinality(String)", "child_topic LowCardinality(String)",
	"child_type LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32", "seq Int64",
	"samples Int64", "timestamp Int64")

// Feed says that events of one topic and type were declared to be caused by
// events of another. Samples is how many declared causes were looked at, not
// how many there are; Newest the greatest record time of a segment in which one
// was, in milliseconds since the Unix epoch.
type Feed struct {
	ParentTopic, ParentType string
	ChildTopic, ChildType   string
	Samples, Newest         int64
}

// maxFeeds bounds what Topology gives.
const maxFeeds = 10_000

// Topology gives what feeds what, as declared causes have shown, the best
// attested first. Callers hide topics that their principal may not see.
func (x *Index) Topology(ctx context.Context) ([]Feed, error) {
	var feeds []Feed
	err := x.query(ctx, "read topology", `
		SELECT parent_topic, parent_type, child_topic, child_type, sum(samples) AS n, max(timestamp)
		FROM (SELECT * FROM topology ORDER BY parent_topic, parent_type, child_topic, child_type, topic_id, partition, branch, seq
			LIMIT 1 BY parent_topic, parent_type, child_topic, child_type, topic_id, partition, branch, seq)
		GROUP BY parent_topic, parent_type, child_topic, child_type ORDER BY n DESC LIMIT {limit:UInt64}`,
		[]any{clickhouse.Named("limit", uint64(maxFeeds))}, func(rows scanner) error {
			var f Feed
			err := rows.Scan(&f.ParentTopic, &f.ParentType, &f.ChildTopic, &f.ChildType, &f.Samples, &f.Newest)
			feeds = append(feeds, f)
			return err
		})
	return feeds, err
}

// maxLookedUp is how many sampled causes are looked up at once; those of one
// segment are, however many.
const maxLookedUp = 2000

// insertTopology looks up the sampled causes of some segments and keeps which
// topics and types they were of. A cause that is not indexed, or not yet, or
// far older than the segment, teaches nothing.
func (x *Index) insertTopology(ctx context.Context, rows []SegmentRow) error {
	var ids []ID
	from := 0
	for i := range rows {
		own := rows[i].Summary.causeIDs()
		if len(ids) > 0 && len(ids)+len(own) > maxLookedUp {
			if err := x.learn(ctx, rows[from:i], ids); err != nil {
				return err
			}
			ids, from = nil, i
		}
		ids = append(ids, own...)
	}
	return x.learn(ctx, rows[from:], ids)
}

// causeIDs are the sampled causes' ids; a commit without a summary has none.
func (s *Summary) causeIDs() (ids []ID) {
	if s == nil {
		return nil
	}
	for _, causes := range s.samples {
		for _, cause := range causes {
			if id, ok := causeID(cause); ok {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// learnBefore and learnBehind are how much earlier or later than the records
// of its segment a sampled cause may be. Without them each look-up would open
// every partition there is.
const (
	learnBefore = 32 * 24 * hourMillis
	learnBehind = 24 * hourMillis // clocks differ
)

// learnWithin is where the causes of some segments' records are looked for.
func learnWithin(rows []SegmentRow) Window {
	w := Window{From: math.MaxInt64, To: math.MinInt64}
	for i := range rows {
		if rows[i].Summary != nil { // others have no times
			w.From, w.To = min(w.From, rows[i].MinTimestamp), max(w.To, rows[i].MaxTimestamp)
		}
	}
	// Record times are what producers make them: the ends do not overflow.
	w.From = max(w.From, math.MinInt64+learnBefore) - learnBefore
	w.To = min(w.To, math.MaxInt64-learnBehind) + learnBehind
	return w
}

// learn inserts what the causes of some segments, which have these ids, were of.
func (x *Index) learn(ctx context.Context, rows []SegmentRow, ids []ID) error {
	within := learnWithin(rows)
	found, _, err := x.Lookup(ctx, ids, &within, everything)
	if err != nil || len(found) == 0 {
		return err
	}
	parents := make(map[ID]*Hit, len(found))
	for i := range found {
		parents[found[i].ID] = &found[i].Hit
	}
	byPartition := map[uint32]*feedBlock{}
	period := *x.period.Load()
	for i := range rows {
		row := &rows[i]
		feeds := row.feeds(parents)
		if len(feeds) == 0 {
			continue
		}
		// One time for the whole segment, so that all of it is in one partition.
		p := period.of(row.MaxTimestamp)
		if byPartition[p] == nil {
			byPartition[p] = new(feedBlock)
		}
		byPartition[p].add(row, feeds)
	}
	for _, b := range byPartition {
		if err := x.send(ctx, topologyTable, b.columns()); err != nil {
			return err
		}
	}
	return nil
}

// feeds counts what the segment's sampled causes are of.
func (row *SegmentRow) feeds(parents map[ID]*Hit) map[Feed]int64 {
	if row.Summary == nil {
		return nil
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
	return samples
}

// feedBlock are topology rows, column by column.
type feedBlock struct {
	parentTopic, parentType, childTopic, childType, topicID []string
	partition, branch                                       []int32
	seq, samples, timestamp                                 []int64
}

func (b *feedBlock) add(row *SegmentRow, feeds map[Feed]int64) {
	for f, n := range feeds {
		b.parentTopic, b.parentType = append(b.parentTopic, f.ParentTopic), append(b.parentType, f.ParentType)
		b.childTopic, b.childType = append(b.childTopic, f.ChildTopic), append(b.childType, f.ChildType)
		b.topicID = append(b.topicID, string(row.Stream.TopicID[:]))
		b.partition, b.branch, b.seq = append(b.partition, row.Stream.Partition), append(b.branch, row.Branch), append(b.seq, row.Seq)
		b.samples = append(b.samples, n)
		b.timestamp = append(b.timestamp, row.MaxTimestamp)
	}
}

func (b *feedBlock) columns() []any {
	return []any{
		b.parentTopic, b.parentType, b.childTopic, b.childType, b.topicID, b.partition, b.branch, b.seq, b.samples, b.timestamp,
	}
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
