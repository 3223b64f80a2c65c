package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// indexTable is a table of the index, and how many of what its rows are of go
// into one bare insert: what the archiver puts into one at most.
type indexTable struct {
	name string
	each int
	of   string // columns that tell what a row is of
}

var indexTables = []indexTable{
	{"id_index", 10_000, "topic_id, partition, offset"},
	{"records_by_trace", 10_000, "topic_id, partition, offset"},
	{"records", 10_000, "topic_id, partition, offset"},
	{"rollups", 256, "topic_id, partition, seq"},
	{"topology", 256, "topic_id, partition, seq"},
	{"segments", 256, "topic_id, partition, seq"},
}

// index puts the rows that the run has put into the index once more, into
// tables of the same definition that nobody else writes: with the same client,
// in as many blocks, from columns that are in memory.
func (p *apart) index(ctx context.Context, clickhousePID int, idle float64) error {
	conn, err := bareIndex(p.up.ClickHouse, p.database)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what it had to say was said by the inserts
	var blocks []block
	for _, table := range indexTables {
		if err := conn.Exec(ctx, "CREATE TABLE bare_"+table.name+" AS "+table.name); err != nil {
			return fmt.Errorf("make a table like %s: %w", table.name, err)
		}
	}
	for _, table := range indexTables {
		columns, err := describe(ctx, p.up.ClickHouse, p.database, table.name)
		if err != nil {
			return err
		}
		more, err := p.blocks(ctx, table, columns)
		if err != nil {
			return err
		}
		blocks = append(blocks, more...)
	}
	before, err := measure.Usage(clickhousePID)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, b := range blocks {
		p.Rows += int64(b.rows)
		if err := timed(&p.Insert, func() error { return b.insert(ctx, conn) }); err != nil {
			return err
		}
	}
	if err := settled(ctx, p.up.ClickHouse); err != nil {
		return err
	}
	after, err := measure.Usage(clickhousePID)
	p.ClickHouse = max(0, after.CPU-before.CPU-time.Duration(idle*float64(time.Since(began))))
	return err
}

// settled waits until ClickHouse has nothing to merge, so that who inserted is
// charged with all that it caused.
func settled(ctx context.Context, c *embedded.UpClickHouse) error {
	quiet := 0
	return measure.Await(ctx, time.Minute, 100*time.Millisecond, func() (bool, error) {
		n, err := measure.Count(ctx, c, "SELECT count() FROM system.merges")
		if quiet++; n > 0 {
			quiet = 0
		}
		return quiet >= 5, err
	})
}

func bareIndex(c *embedded.UpClickHouse, database string) (driver.Conn, error) {
	address, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("read ClickHouse's address: %w", err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{address.Host},
		Auth: clickhouse.Auth{Database: database, Username: c.User, Password: c.Password},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to ClickHouse: %w", err)
	}
	return conn, nil
}

func describe(ctx context.Context, c *embedded.UpClickHouse, database, table string) ([]clickhouse.ColumnNameAndType, error) {
	rows, err := measure.SQL(ctx, c, fmt.Sprintf(
		"SELECT name, type FROM system.columns WHERE database = '%s' AND table = '%s' AND default_kind = '' ORDER BY position", database, table))
	if err != nil {
		return nil, err
	}
	var columns []clickhouse.ColumnNameAndType
	for _, row := range rows {
		columns = append(columns, clickhouse.ColumnNameAndType{Name: row[0], Type: strings.ReplaceAll(row[1], `\'`, `'`)})
	}
	return columns, nil
}

// block is one insert.
type block struct {
	table   string
	columns []clickhouse.ColumnNameAndType
	values  []any // a slice for each column
	rows    int
}

func (b *block) insert(ctx context.Context, conn driver.Conn) error {
	names := make([]string, len(b.columns))
	for i, c := range b.columns {
		names[i] = c.Name
	}
	batch, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithColumnNamesAndTypes(b.columns)),
		"INSERT INTO bare_"+b.table+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return fmt.Errorf("insert into %s: %w", b.table, err)
	}
	for i, values := range b.values {
		if err := batch.Column(i).Append(values); err != nil {
			return errors.Join(fmt.Errorf("insert into %s: column %s: %w", b.table, b.columns[i].Name, err), batch.Close())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s: %w", b.table, err)
	}
	return nil
}

// blocks reads a table in the order in which its rows come, cut into inserts.
// Each partition is asked for by itself: sorting them all at once takes more
// memory than ClickHouse gives a question.
func (p *apart) blocks(ctx context.Context, t indexTable, columns []clickhouse.ColumnNameAndType) ([]block, error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	partitions, err := measure.SQL(ctx, p.up.ClickHouse, fmt.Sprintf(
		"SELECT hex(topic_id), partition FROM %s.%s GROUP BY topic_id, partition ORDER BY topic_id, partition", p.database, t.name))
	if err != nil {
		return nil, err
	}
	cut := cutter{table: t, columns: columns}
	for _, of := range partitions {
		query := fmt.Sprintf("SELECT cityHash64(%[1]s), %[2]s FROM %[3]s.%[4]s WHERE hex(topic_id) = '%[5]s' AND partition = %[6]s ORDER BY %[1]s FORMAT RowBinary",
			t.of, strings.Join(names, ", "), p.database, t.name, of[0], of[1])
		rows, err := measure.Query(ctx, p.up.ClickHouse, query)
		if err == nil {
			err = cut.read(bufio.NewReader(bytes.NewReader(rows)))
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", t.name, err)
		}
	}
	cut.end()
	return cut.blocks, nil
}

// cutter makes blocks of rows that come with a hash of what they are of.
type cutter struct {
	table   indexTable
	columns []clickhouse.ColumnNameAndType
	blocks  []block

	readers []columnReader // of the block under way
	of      int            // how many are in it, of what its rows are of
	last    uint64         // hash of the last one
}

// read takes rows until there are no more.
func (c *cutter) read(r *bufio.Reader) error {
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		var number [8]byte
		if _, err := io.ReadFull(r, number[:]); err != nil {
			return err
		}
		if of := binary.LittleEndian.Uint64(number[:]); of != c.last || c.of == 0 {
			if c.of == 0 || c.of == c.table.each {
				if err := c.begin(); err != nil {
					return err
				}
			}
			c.last = of
			c.of++
		}
		for _, column := range c.readers {
			if err := column.read(r); err != nil {
				return err
			}
		}
	}
}

// begin ends the block under way and begins another.
func (c *cutter) begin() error {
	c.end()
	for _, column := range c.columns {
		reader, err := readerOf(column.Type)
		if err != nil {
			return fmt.Errorf("column %s: %w", column.Name, err)
		}
		c.readers = append(c.readers, reader)
	}
	return nil
}

// end adds the block under way to the others.
func (c *cutter) end() {
	if c.of > 0 {
		b := block{table: c.table.name, columns: c.columns, rows: c.readers[0].len()}
		for _, column := range c.readers {
			b.values = append(b.values, column.values())
		}
		c.blocks = append(c.blocks, b)
	}
	c.readers, c.of = nil, 0
}

// columnReader collects one column of a RowBinary answer.
type columnReader interface {
	read(*bufio.Reader) error
	values() any
	len() int
}

func readerOf(kind string) (columnReader, error) {
	if inner, ok := strings.CutPrefix(kind, "LowCardinality("); ok {
		kind = strings.TrimSuffix(inner, ")")
	}
	var width int
	switch {
	case strings.HasPrefix(kind, "Enum8"), kind == "Int8":
		return &fixed[int8]{}, nil
	case kind == "UInt8":
		return &fixed[uint8]{}, nil
	case kind == "UInt16":
		return &fixed[uint16]{}, nil
	case kind == "Int32":
		return &fixed[int32]{}, nil
	case kind == "Int64":
		return &fixed[int64]{}, nil
	case kind == "UInt64":
		return &fixed[uint64]{}, nil
	case strings.HasPrefix(kind, "DateTime("):
		return &times{}, nil
	case kind == "Array(Int64)":
		return &numberLists{}, nil
	case kind == "String":
		return &texts{}, nil
	case strings.HasPrefix(kind, "Array(LowCardinality(String"):
		return &lists{}, nil
	default:
	}
	if _, err := fmt.Sscanf(kind, "FixedString(%d", &width); err == nil {
		return &texts{width: width}, nil
	}
	return nil, fmt.Errorf("type %s is not known here", kind)
}

type fixed[T any] struct{ list []T }

func (c *fixed[T]) read(r *bufio.Reader) error {
	var v T
	if err := binary.Read(r, binary.LittleEndian, &v); err != nil {
		return err
	}
	c.list = append(c.list, v)
	return nil
}
func (c *fixed[T]) values() any { return c.list }
func (c *fixed[T]) len() int    { return len(c.list) }

type texts struct {
	width int // 0: a length stands before each
	list  []string
}

func (c *texts) read(r *bufio.Reader) error {
	text, err := readText(r, c.width)
	c.list = append(c.list, text)
	return err
}
func (c *texts) values() any { return c.list }
func (c *texts) len() int    { return len(c.list) }

func readText(r *bufio.Reader, width int) (string, error) {
	if width == 0 {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return "", err
		}
		width = int(n)
	}
	text := make([]byte, width)
	_, err := io.ReadFull(r, text)
	return string(text), err
}

type times struct{ list []time.Time }

func (c *times) read(r *bufio.Reader) error {
	var seconds uint32
	if err := binary.Read(r, binary.LittleEndian, &seconds); err != nil {
		return err
	}
	c.list = append(c.list, time.Unix(int64(seconds), 0).UTC())
	return nil
}
func (c *times) values() any { return c.list }
func (c *times) len() int    { return len(c.list) }

type numberLists struct{ list [][]int64 }

func (c *numberLists) read(r *bufio.Reader) error {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	list := make([]int64, n)
	if err := binary.Read(r, binary.LittleEndian, list); err != nil {
		return err
	}
	c.list = append(c.list, list)
	return nil
}
func (c *numberLists) values() any { return c.list }
func (c *numberLists) len() int    { return len(c.list) }

type lists struct{ list [][]string }

func (c *lists) read(r *bufio.Reader) error {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	var list []string
	for range n {
		text, err := readText(r, 0)
		if err != nil {
			return err
		}
		list = append(list, text)
	}
	c.list = append(c.list, list)
	return nil
}
func (c *lists) values() any { return c.list }
func (c *lists) len() int    { return len(c.list) }
