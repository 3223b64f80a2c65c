package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// copies is how many times the archived records are in the index, themselves
// included: each copy with ids of its own, behind the one before in offsets and
// in time.
const copies = 20

// copied are the tables of which ClickHouse makes copies.
var copied = []string{"records", "records_by_trace", "segments", "rollups", "topology", "positions"}

// keepOriginals puts the rows of the archived records aside, to make copies of.
func (b *bench) keepOriginals(ctx context.Context) error {
	for _, table := range copied {
		where := ""
		if table == "segments" {
			where = " WHERE kind = 'segment'"
		}
		err := b.sql(ctx, "CREATE TABLE original_"+table+" ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM "+table+" FINAL"+where)
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) dropOriginals(ctx context.Context) error {
	for _, table := range copied {
		if err := b.sql(ctx, "DROP TABLE original_"+table+" SYNC"); err != nil {
			return err
		}
	}
	return nil
}

// keepFew gives the index of the first records what is there now. Its parts are
// links to the same files, until ClickHouse merges either.
func (b *bench) keepFew(ctx context.Context) error {
	for _, table := range append([]string{"id_index"}, copied...) {
		err := b.sql(ctx, fmt.Sprintf("ALTER TABLE %s.%s ATTACH PARTITION ALL FROM %s", fewDatabase, table, table))
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sql(ctx context.Context, statement string) error {
	_, err := measure.Query(ctx, b.up.ClickHouse, statement)
	return err
}

// copy makes the copies from one to another, exclusive, and waits until
// ClickHouse has merged what it wants to.
func (b *bench) copy(ctx context.Context, from, to int64) error {
	for n := from; n < to; n++ {
		for _, statement := range b.statements(n) {
			if err := b.sql(ctx, statement); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "%.1f million records in the index\n", float64(b.loaded.Archived*(n+1))/1e6)
	}
	return settled(ctx, b.up.ClickHouse)
}

// statements insert one copy. What is hex stays hex of the same length, as
// random as before, and the same id is the same everywhere in a copy.
func (b *bench) statements(n int64) []string {
	hash := func(id string) string { return fmt.Sprintf("lower(hex(sipHash128(%s, %d)))", id, n) }
	offset := func(column string) string { return fmt.Sprintf("o.%s + %d AS %s", column, n*b.loaded.Stride, column) }
	later := func(column string, unit time.Duration) string {
		return fmt.Sprintf("o.%s + %d AS %s", column, n*int64(span/copies/unit), column)
	}
	trace, event, spanID := hash("o.trace_id"), hash("o.event_id"), fmt.Sprintf("substring(%s, 1, 16)", hash("o.span_id"))
	causes := "arrayMap(c -> " + hash("substring(c, 7)") + ", if(o.causes = '', [], splitByChar('\\n', o.causes)))" // each is event:id
	sequence := fmt.Sprintf("o.seq + %d AS seq", n*1_000_000)
	times := []string{later("timestamp", time.Millisecond), later("min_timestamp", time.Millisecond)}
	eventTime := later("event_time", time.Microsecond)
	put := func(table string, columns ...string) string {
		return fmt.Sprintf("INSERT INTO %s SELECT * REPLACE (%s) FROM original_%s AS o", table, strings.Join(columns, ", "), table)
	}
	return []string{
		put("records_by_trace", "sipHash64("+trace+") AS trace_h", trace+" AS trace_id", event+" AS event_id", spanID+" AS span_id",
			"arrayStringConcat(arrayMap(id -> concat('event:', id), "+causes+"), '\\n') AS causes", offset("offset"), times[0], eventTime),
		fmt.Sprintf(`INSERT INTO id_index (id_h, kind, trace_h, topic_id, partition, branch, offset, extract_version, timestamp)
			SELECT id.1, id.2, sipHash64(%s), o.topic_id, o.partition, o.branch, %s, o.extract_version, %s
			FROM original_records_by_trace AS o ARRAY JOIN arrayConcat([
				(sipHash64(concat(o.topic, '/', toString(o.partition), '/', toString(o.offset + %d))), toUInt8(1)),
				(sipHash64(%s), toUInt8(2)), (sipHash64(%s), toUInt8(3)), (sipHash64(reverse(%s)), toUInt8(4))],
				arrayMap(c -> (sipHash64(c), toUInt8(16)), %s)) AS id`,
			trace, offset("offset"), times[0], n*b.loaded.Stride, event, spanID, trace, causes),
		put("records", trace+" AS trace_id", event+" AS event_id", offset("offset"), times[0], eventTime),
		put("rollups", "o.hour + "+fmt.Sprint(n*int64(span/copies/time.Second))+" AS hour", sequence, times[0], times[1]),
		put("topology", sequence, times[0]),
		put("segments", offset("base"), offset("next"), sequence, times[0], times[1]),
		put("positions", offset("next"), times[0]),
	}
}

// mostMerging bounds the wait for merges, of many records on a busy machine.
const mostMerging = 2 * time.Hour

// settled waits until ClickHouse has nothing to merge.
func settled(ctx context.Context, up *embedded.UpClickHouse) error {
	quiet := 0
	return measure.Await(ctx, mostMerging, 200*time.Millisecond, func() (bool, error) {
		n, err := measure.Count(ctx, up, "SELECT count() FROM system.merges")
		if quiet++; n > 0 {
			quiet = 0
		}
		return quiet >= 5, err
	})
}
