package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// decoded is a segment's columns in memory, and how it was written.
type decoded struct {
	root       *pqschema.GroupNode
	properties *parquet.WriterProperties
	groups     [][]chunk
}

// chunk is one column of a row group.
type chunk struct {
	values     any // a slice of the column's type
	defs, reps []int16
	pages      []int // levels of each page
}

// The writer's compression, which no footer tells (internal/segment).
const zstdLevel = 1

// decode reads a segment's columns with arrow alone.
func decode(body []byte) (d decoded, err error) {
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		return d, fmt.Errorf("open as Parquet: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	d.root = r.MetaData().Schema.Root()
	distinct := make([]map[string]struct{}, r.MetaData().Schema.NumColumns())
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		chunks := make([]chunk, group.NumColumns())
		for c := range chunks {
			pages, err := levelsOfPages(group, c)
			if err != nil {
				return d, err
			}
			column, err := group.Column(c)
			if err != nil {
				return d, fmt.Errorf("column %d: %w", c, err)
			}
			if chunks[c], err = read(column); err != nil {
				return d, fmt.Errorf("column %d: %w", c, err)
			}
			chunks[c].pages = pages
			if texts, ok := chunks[c].values.([]parquet.ByteArray); ok && g == 0 {
				distinct[c] = map[string]struct{}{}
				for _, v := range texts {
					distinct[c][string(v)] = struct{}{}
				}
			}
		}
		d.groups = append(d.groups, chunks)
	}
	d.properties, err = propertiesOf(r, distinct)
	return d, err
}

func levelsOfPages(group *file.RowGroupReader, column int) (levels []int, err error) {
	pages, err := group.GetColumnPageReader(column)
	if err != nil {
		return nil, fmt.Errorf("pages of column %d: %w", column, err)
	}
	for pages.Next() {
		if page, ok := pages.Page().(file.DataPage); ok {
			levels = append(levels, int(page.NumValues()))
		}
	}
	return levels, pages.Err()
}

func read(column file.ColumnChunkReader) (chunk, error) {
	switch c := column.(type) {
	case *file.ByteArrayColumnChunkReader:
		return readValues(c.ReadBatch, column, func(v []parquet.ByteArray) {
			for i := range v {
				v[i] = bytes.Clone(v[i])
			}
		})
	case *file.Int32ColumnChunkReader:
		return readValues(c.ReadBatch, column, func([]int32) {})
	case *file.Int64ColumnChunkReader:
		return readValues(c.ReadBatch, column, func([]int64) {})
	default:
		return chunk{}, fmt.Errorf("a column of type %T", column)
	}
}

func readValues[T any](batch func(int64, []T, []int16, []int16) (int64, int, error), column file.ColumnChunkReader, own func([]T)) (chunk, error) {
	var (
		c      chunk
		values []T
	)
	const step = 1024
	for column.HasNext() {
		v, defs, reps := make([]T, step), make([]int16, step), make([]int16, step)
		levels, n, err := batch(step, v, defs, reps)
		if err != nil {
			return c, err
		}
		own(v[:n])
		values = append(values, v[:n]...)
		if column.Descriptor().MaxDefinitionLevel() > 0 {
			c.defs = append(c.defs, defs[:levels]...)
		}
		if column.Descriptor().MaxRepetitionLevel() > 0 {
			c.reps = append(c.reps, reps[:levels]...)
		}
	}
	c.values = values
	return c, column.Err()
}

// propertiesOf are the properties that a segment was written with, read from
// the segment itself.
func propertiesOf(r *file.Reader, distinct []map[string]struct{}) (*parquet.WriterProperties, error) {
	const outOfReach = 1 << 30
	options := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(zstdLevel),
		parquet.WithDictionaryDefault(false), parquet.WithDictionaryPageSizeLimit(64 << 10),
		parquet.WithBatchSize(outOfReach), parquet.WithDataPageSize(outOfReach),
		parquet.WithStats(false), parquet.WithMaxStatsSize(128), parquet.WithPageIndexEnabled(true),
	}
	group := r.MetaData().RowGroup(0)
	for i := range group.NumColumns() {
		c, err := group.ColumnChunk(i)
		if err != nil {
			return nil, fmt.Errorf("metadata of column %d: %w", i, err)
		}
		path := c.PathInSchema().String()
		stats, err := c.StatsSet()
		if err != nil {
			return nil, fmt.Errorf("statistics of column %d: %w", i, err)
		}
		encoding := parquet.Encodings.Plain
		for _, e := range c.Encodings() {
			if e == parquet.Encodings.DeltaBinaryPacked {
				encoding = e
			}
		}
		options = append(options, parquet.WithDictionaryFor(path, c.HasDictionaryPage()), parquet.WithEncodingFor(path, encoding),
			parquet.WithStatsFor(path, stats))
		if c.BloomFilterOffset() > 0 {
			options = append(options, parquet.WithBloomFilterEnabledFor(path, true), parquet.WithBloomFilterFPPFor(path, 0.01),
				parquet.WithBloomFilterNDVFor(path, int64(max(1, len(distinct[i])))))
		}
	}
	return parquet.NewWriterProperties(options...), nil
}

// encoder is the bare writer. It keeps its memory between segments.
type encoder struct{ out bytes.Buffer }

// noClose hides that a buffer could be closed: arrow would.
type noClose struct{ *bytes.Buffer }

// encode writes columns and returns how many bytes they make.
func (e *encoder) encode(d decoded) (int64, error) {
	e.out.Reset()
	w, err := file.NewParquetWriterWithError(noClose{&e.out}, d.root, file.WithWriterProps(d.properties))
	if err != nil {
		return 0, fmt.Errorf("begin Parquet: %w", err)
	}
	for _, chunks := range d.groups {
		group, err := w.AppendRowGroupChecked()
		if err != nil {
			return 0, fmt.Errorf("begin a row group: %w", err)
		}
		for i := range chunks {
			column, err := group.NextColumn()
			if err == nil {
				err = write(column, &chunks[i])
			}
			if err != nil {
				return 0, fmt.Errorf("write column %d: %w", i, err)
			}
		}
		if err := group.Close(); err != nil {
			return 0, fmt.Errorf("end a row group: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return 0, fmt.Errorf("end Parquet: %w", err)
	}
	return int64(e.out.Len()), nil
}

func write(column file.ColumnChunkWriter, c *chunk) error {
	switch w := column.(type) {
	case *file.ByteArrayColumnChunkWriter:
		return writePages(w, c, c.values.([]parquet.ByteArray))
	case *file.Int32ColumnChunkWriter:
		return writePages(w, c, c.values.([]int32))
	case *file.Int64ColumnChunkWriter:
		return writePages(w, c, c.values.([]int64))
	default:
		return fmt.Errorf("a column of type %T", column)
	}
}

type pageWriter[T any] interface {
	file.ColumnChunkWriter
	WriteBatch(values []T, defs, reps []int16) (int64, error)
	FlushCurrentPage() error
}

func writePages[T any](w pageWriter[T], c *chunk, values []T) error {
	level, most := 0, w.Descr().MaxDefinitionLevel()
	for _, n := range c.pages {
		var defs, reps []int16
		present := n
		if c.defs != nil {
			defs, present = c.defs[level:level+n], 0
			for _, def := range defs {
				if def == most {
					present++
				}
			}
		}
		if c.reps != nil {
			reps = c.reps[level : level+n]
		}
		if _, err := w.WriteBatch(values[:present], defs, reps); err != nil {
			return err
		}
		if err := w.FlushCurrentPage(); err != nil {
			return err
		}
		values, level = values[present:], level+n
	}
	return nil
}
