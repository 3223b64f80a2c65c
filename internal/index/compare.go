package index

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// RecordTables are the tables that have a row, or several, of each record.
var RecordTables = []string{"records", "records_by_trace", "id_index"}

// Span is a range of a branch's offsets, Next exclusive. The topic's name spares a
// look through those of others.
type Span struct {
	Topic      string
	TopicID    schema.TopicID
	Partition  int32
	Branch     int32
	Base, Next int64
}

// Entry is that a table has a record, under a version. Status is zero of
// id_index, which does not keep it.
type Entry struct {
	schema.Position
	Timestamp int64
	Version   Version
	Status    schema.Status
}

// spansOf is the source of spans as a table s, and its arguments.
const spansOf = `(
	SELECT toFixedString(unhex(w.1), 16) AS w_id, w.2 AS w_partition, w.3 AS w_branch, w.4 AS w_base, w.5 AS w_next, w.6 AS w_number
	FROM (SELECT arrayJoin(arrayZip({ids:Array(String)}, {partitions:Array(Int32)}, {branches:Array(Int32)},
		{bases:Array(Int64)}, {nexts:Array(Int64)}, range(length({ids:Array(String)})))) AS w)
) AS s ON r.topic_id = w_id AND r.partition = w_partition AND r.branch = w_branch`

func spanArguments(spans []Span) []any {
	var (
		ids                  []schema.TopicID
		partitions, branches []int32
		bases, nexts         []int64
		topics               []string
	)
	for _, s := range spans {
		if !slices.Contains(topics, s.Topic) {
			topics = append(topics, s.Topic)
		}
		ids, partitions, branches = append(ids, s.TopicID), append(partitions, s.Partition), append(branches, s.Branch)
		bases, nexts = append(bases, s.Base), append(nexts, s.Next)
	}
	return []any{
		clickhouse.Named("ids", topicIDList(ids)), clickhouse.Named("partitions", partitions), clickhouse.Named("branches", branches),
		clickhouse.Named("bases", bases), clickhouse.Named("nexts", nexts), clickhouse.Named("topics", topics),
	}
}

// inSpans is the condition that a row of r is in one of the spans. What comes first
// spares the join of what belongs to other topics.
func inSpans(table string) string {
	first := "r.topic IN {topics:Array(String)}"
	if table == "id_index" { // of whose rows each record has one of its own
		first = fmt.Sprintf("kind = %d", schema.IDRecord)
	}
	return first + " AND r.topic_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16)) AND r.offset >= w_base AND r.offset < w_next"
}

// Entries gives what one of RecordTables has in some spans, in any order, each
// record once for each version. Everything is looked through that the table has of
// the spans' topics: better one call with many spans.
func (x *Index) Entries(ctx context.Context, table string, spans []Span, take func(Entry)) error {
	if len(spans) == 0 {
		return nil
	}
	status := "r.status"
	if table == "id_index" {
		status = "CAST(0, 'Int8')"
	}
	return x.query(ctx, "compare "+table, `
		SELECT DISTINCT r.topic_id, r.partition, r.branch, r.offset, r.timestamp, r.extract_version, `+status+`
		FROM `+table+` AS r INNER JOIN `+spansOf+` WHERE `+inSpans(table), spanArguments(spans), func(rows scanner) error {
		var e Entry
		var id string
		var version uint16
		var status int8
		err := rows.Scan(&id, &e.Partition, &e.Branch, &e.Offset, &e.Timestamp, &version, &status)
		copy(e.TopicID[:], id)
		e.Version, e.Status = Version(version), schema.Status(status)
		take(e)
		return err
	})
}

// CountIn counts the records that one of RecordTables has in each of some spans,
// whatever the version.
func (x *Index) CountIn(ctx context.Context, table string, spans []Span) ([]int64, error) {
	counts := make([]int64, len(spans))
	if len(spans) == 0 {
		return counts, nil
	}
	err := x.query(ctx, "count rows of "+table, `
		SELECT w_number, uniqExact(r.offset) FROM `+table+` AS r INNER JOIN `+spansOf+` WHERE `+inSpans(table)+`
		GROUP BY w_number`, spanArguments(spans), func(rows scanner) error {
		var number, n uint64
		err := rows.Scan(&number, &n)
		if err == nil && number < uint64(len(counts)) {
			counts[number] = int64(n)
		}
		return err
	})
	return counts, err
}

// Held is a branch of which a table has rows: the span of their offsets, and of
// about how many records they are.
type Held struct {
	Span
	Records int64
}

// Held gives the branches of which one of RecordTables has rows, without the names of
// their topics.
func (x *Index) Held(ctx context.Context, table string) (list []Held, err error) {
	err = x.query(ctx, "ask what is in "+table, `
		SELECT topic_id, partition, branch, min(offset), max(offset), uniq(offset) FROM `+table+` GROUP BY topic_id, partition, branch`, nil, func(rows scanner) error {
		var h Held
		var id string
		var last int64
		var n uint64
		err := rows.Scan(&id, &h.Partition, &h.Branch, &h.Base, &last, &n)
		copy(h.TopicID[:], id)
		h.Next, h.Records = last+1, int64(n)
		list = append(list, h)
		return err
	})
	return list, err
}

// Summed gives how many records the rollups of a stream's commits count, by seq.
func (x *Index) Summed(ctx context.Context, s schema.Stream) (map[int64]int64, error) {
	sums := map[int64]int64{}
	err := x.query(ctx, "add rollups up", `
		SELECT seq, sum(records) FROM rollups FINAL
		WHERE topic = {topic:String} AND topic_id = {id:String} AND partition = {partition:Int32} GROUP BY seq`,
		[]any{
			clickhouse.Named("topic", s.Topic), clickhouse.Named("id", string(s.TopicID[:])), clickhouse.Named("partition", s.Partition),
		}, func(rows scanner) error {
			var seq, n int64
			err := rows.Scan(&seq, &n)
			sums[seq] = n
			return err
		})
	return sums, err
}

// Kept tells from which record time on rows are in the index at a moment, in
// milliseconds since the Unix epoch: those before may have expired. Rows whose time
// is not believed stay for ever.
func (x *Index) Kept(ctx context.Context, now time.Time) (since int64, err error) {
	retention, err := x.keep(ctx)
	if err != nil || retention == 0 {
		return math.MinInt64, err
	}
	return now.Add(-retention).UnixMilli(), nil
}

// Expires tells whether a record of that time is one that Kept leaves out.
func Expires(timestamp, since int64) bool {
	return timestamp >= firstMilli && timestamp < min(since, endMilli)
}

// forgetNeverSealed deletes what is in the index of records that no commit can have
// any more: behind the end of a branch that another one follows, or of a topic that
// was deleted, and where a commit says that there is nothing but gaps. They were
// indexed when they were read, and whoever read them did not come to seal them.
func (x *Index) forgetNeverSealed(ctx context.Context, rows []SegmentRow) error {
	var spans []Span
	for i := range rows {
		row := &rows[i]
		s := Span{
			Topic: row.Stream.Topic, TopicID: row.Stream.TopicID, Partition: row.Stream.Partition, Branch: row.Branch,
			Base: row.Base, Next: row.Next,
		}
		switch row.Kind {
		case schema.KindDivergence:
			s.Branch, s.Base, s.Next = row.Branch-1, row.BranchEnd, math.MaxInt64
		case schema.KindEnd:
			s.Base, s.Next = row.Next, math.MaxInt64
		case schema.KindGap:
		default:
			continue
		}
		spans = append(spans, s)
	}
	for some := range slices.Chunk(spans, maxRanges) {
		// Seldom is there anything, and to ask is far less than to delete. Records are
		// the last that an insert puts.
		counts, err := x.CountIn(ctx, "records", some)
		if err != nil {
			return err
		}
		var terms []string
		for i, s := range some {
			if counts[i] > 0 {
				terms = append(terms, fmt.Sprintf("(topic_id = unhex('%s') AND partition = %d AND branch = %d AND offset >= %d AND offset < %d)",
					hex.EncodeToString(s.TopicID[:]), s.Partition, s.Branch, s.Base, s.Next))
			}
		}
		if len(terms) == 0 {
			continue
		}
		for _, table := range RecordTables {
			if err := x.delete(ctx, table, strings.Join(terms, " OR ")); err != nil {
				return err
			}
		}
	}
	return nil
}
