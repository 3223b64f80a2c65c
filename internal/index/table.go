package index

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// table is what an insert needs to know of a table: a block names its columns'
// types. A test holds them against the DDL.
type table struct {
	name    string
	columns []clickhouse.ColumnNameAndType
}

func newTable(name string, columns ...string) table {
	t := table{name: name}
	for _, column := range columns {
		name, kind, _ := strings.Cut(column, " ")
		t.columns = append(t.columns, clickhouse.ColumnNameAndType{Name: name, Type: kind})
	}
	return t
}

func (t table) insert() string {
	names := make([]string, len(t.columns))
	for i, column := range t.columns {
		names[i] = column.Name
	}
	return "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ")"
}

const (
	statusType = "Enum8('committed' = 1, 'aborted' = 2, 'control' = 3)"
	stageType  = "Enum8('unknown' = 0, 'ingestion' = 1, 'enrichment' = 2, 'transformation' = 3, 'delivery' = 4, 'dead-letter' = 5, 'replay' = 6)"
)

var (
	recordsTable = newTable("records",
		"topic LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32", "offset Int64",
		"status "+statusType, "extract_version UInt16", "timestamp Int64", "event_time Int64", "archived_at Int64",
		"trace_id String", "event_id String", "event_type LowCardinality(String)", "event_version LowCardinality(String)",
		"source_service LowCardinality(String)", "stage "+stageType, "bytes Int64", "null_value UInt8",
		"errors Array(LowCardinality(String))")
	tracesTable = newTable("records_by_trace",
		"trace_h UInt64", "trace_id String",
		"topic LowCardinality(String)", "topic_id FixedString(16)", "partition Int32", "branch Int32", "offset Int64",
		"status "+statusType, "extract_version UInt16", "timestamp Int64", "event_time Int64",
		"event_id String", "span_id String", "causes String", "event_type LowCardinality(String)",
		"event_version LowCardinality(String)", "source_service LowCardinality(String)", "stage "+stageType,
		"bytes Int64", "null_value UInt8")
	idsTable = newTable("id_index",
		"id_h UInt64", "kind UInt8", "trace_h UInt64",
		"topic_id FixedString(16)", "partition Int32", "branch Int32", "offset Int64",
		"extract_version UInt16", "timestamp Int64")
)

// send inserts one block. Columns are slices of one length, in the table's
// order. ClickHouse takes a block whole or not at all, and a block that is
// sent again replaces itself.
func (x *Index) send(ctx context.Context, t table, columns []any) error {
	verb := "insert into " + t.name
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	body := x.takeNative()
	defer x.giveBackNative(body)
	if err := body.begin(t, columns, x.squeezed); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if body.rows == 0 {
		return nil
	}
	if x.squeezed {
		ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"decompress": "1"}))
	}
	return fault(verb, x.writes.InsertFormat(ctx, "Native", t.insert(), body))
}

func (x *Index) takeNative() *native {
	select {
	case n := <-x.natives:
		return n
	default:
		return new(native)
	}
}

func (x *Index) giveBackNative(n *native) {
	if closed := n.end(); !closed {
		return
	}
	select {
	case x.natives <- n:
	default:
	}
}
