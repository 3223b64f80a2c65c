package segment

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// TableKind is what a column of a table holds.
type TableKind uint8

// The kinds of column. A nil value is null.
const (
	TableText    TableKind = iota + 1 // string, UTF-8
	TableInteger                      // int64
	TableMillis                       // int64, an instant in milliseconds since the Unix epoch
	TableMicros                       // int64, in microseconds
)

// TableColumn is a column of a table.
type TableColumn struct {
	Name string
	Kind TableKind
}

// tableRows is how many rows a table's writer holds: one row group.
const tableRows = 10_000

// TableWriter writes a flat Parquet file that is no segment, such as what a
// search found. It holds at most one row group of tableRows rows. It belongs to
// one goroutine at a time and holds nothing that must be closed when it is given
// up.
type TableWriter struct {
	columns []TableColumn
	file    *file.Writer
	rows    [][]any
}

// NewTableWriter begins a table. Nothing is written before the first row group
// is full or Close is called. The caller closes w.
func NewTableWriter(w io.Writer, columns []TableColumn) (*TableWriter, error) {
	var b schemaBuilder
	optional := parquet.Repetitions.Optional
	for _, c := range columns {
		switch c.Kind {
		case TableText:
			b.add(c.Name, optional, pqschema.StringLogicalType{}, parquet.Types.ByteArray)
		case TableInteger:
			b.add(c.Name, optional, nil, parquet.Types.Int64)
		case TableMillis:
			b.add(c.Name, optional, pqschema.NewTimestampLogicalType(true, pqschema.TimeUnitMillis), parquet.Types.Int64)
		case TableMicros:
			b.add(c.Name, optional, pqschema.NewTimestampLogicalType(true, pqschema.TimeUnitMicros), parquet.Types.Int64)
		default:
			return nil, fmt.Errorf("begin table: column %s has no kind", c.Name)
		}
	}
	root, err := b.root()
	if err != nil {
		return nil, err
	}
	properties := parquet.NewWriterProperties(
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithCreatedBy(createdBy),
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(zstdLevel))
	return &TableWriter{columns: columns, file: file.NewParquetWriter(unclosed{w}, root, file.WithWriterProps(properties))}, nil
}

// unclosed hides Close: arrow would close the caller's file with its own.
type unclosed struct{ io.Writer }

// Append adds a row, whose values are those of the columns in their order.
func (t *TableWriter) Append(values ...any) error {
	if len(values) != len(t.columns) {
		return fmt.Errorf("append row: %d values for %d columns", len(values), len(t.columns))
	}
	if t.rows = append(t.rows, slices.Clone(values)); len(t.rows) < tableRows {
		return nil
	}
	return t.flush()
}

// flush writes what is held as one row group.
func (t *TableWriter) flush() error {
	group, err := t.file.AppendRowGroupChecked()
	if err != nil {
		return fmt.Errorf("begin row group: %w", err)
	}
	for i, c := range t.columns {
		column, err := group.NextColumn()
		if err != nil {
			return fmt.Errorf("begin column %s: %w", c.Name, err)
		}
		if err := writeTableColumn(column, t.rows, i); err != nil {
			return fmt.Errorf("write column %s: %w", c.Name, err)
		}
		if err := column.Close(); err != nil {
			return fmt.Errorf("end column %s: %w", c.Name, err)
		}
	}
	t.rows = t.rows[:0]
	if err := group.Close(); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	return nil
}

func writeTableColumn(column file.ColumnChunkWriter, rows [][]any, i int) (err error) {
	levels := make([]int16, len(rows))
	var texts []parquet.ByteArray
	var numbers []int64
	for r, row := range rows {
		switch v := row[i].(type) {
		case nil:
			continue
		case string:
			texts = append(texts, parquet.ByteArray(v))
		case int64:
			numbers = append(numbers, v)
		default:
			return fmt.Errorf("row %d holds a %T", r, v)
		}
		levels[r] = 1
	}
	switch w := column.(type) {
	case *file.ByteArrayColumnChunkWriter:
		if len(numbers) > 0 {
			return errors.New("a number in a column of texts")
		}
		_, err = w.WriteBatch(texts, levels, nil)
	case *file.Int64ColumnChunkWriter:
		if len(texts) > 0 {
			return errors.New("a text in a column of numbers")
		}
		_, err = w.WriteBatch(numbers, levels, nil)
	default:
		return fmt.Errorf("no writer of kind %T", w)
	}
	return err
}

// Close writes the rest and the footer, with texts about the table in its
// metadata.
func (t *TableWriter) Close(about map[string]string) error {
	if len(t.rows) > 0 {
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(about)) {
		if err := t.file.AppendKeyValueMetadata(name, about[name]); err != nil {
			return fmt.Errorf("end table: %w", err)
		}
	}
	if err := t.file.Close(); err != nil {
		return fmt.Errorf("end table: %w", err)
	}
	return nil
}
