package segment

import (
	"bytes"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/fx-risk-ai/annals/schema"
)

// chunkPage is what is left to read of a vetted page.
type chunkPage struct{ rows, levels int64 }

// cursor walks one column of a row group, row by row. It knows the pages and
// how many rows and levels each has, so that it never asks arrow for the next
// page while a row still refers to this one's memory, and so that a page that
// holds other rows than its index says is found. Errors go to the shared
// place, after which it yields zero values.
type cursor[T any] struct {
	column *column
	read   func(n int64, values []T, defs, reps []int16) (int64, int, error)
	pages  []chunkPage
	err    *error

	now        chunkPage
	values     []T
	defs, reps []int16
	at, levels int // in defs and reps
	value      int // in values
	none       T
}

// textCursor is a cursor over bytes that remembers the last text made: most
// neighbours are equal.
type textCursor struct {
	cursor[parquet.ByteArray]
	from bytePages
	last string
}

// batchReader is what this package uses of arrow's typed column readers.
type batchReader[T any] interface {
	file.ColumnChunkReader
	ReadBatchInPage(n int64, values []T, defs, reps []int16) (int64, int, error)
}

// set puts the cursor on the first of pages, keeping its buffers.
func (c *cursor[T]) set(read func(int64, []T, []int16, []int16) (int64, int, error), column *column, pages []chunkPage, err *error) {
	*c = cursor[T]{
		column: column, read: read, pages: pages, err: err,
		values: c.values, defs: c.defs, reps: c.reps,
	}
	if c.values == nil {
		c.values = make([]T, readBatch)
	}
	if column.maxDef > 0 && c.defs == nil {
		c.defs = make([]int16, readBatch)
	}
	if column.maxRep > 0 && c.reps == nil {
		c.reps = make([]int16, readBatch)
	}
}

func (c *cursor[T]) fail(what string) {
	if *c.err == nil {
		*c.err = schema.Errorf(schema.Corrupt, "column %s: %s", c.column.path, what)
	}
}

// beginRow must come before the first level of each row.
func (c *cursor[T]) beginRow() {
	if c.now.rows == 0 {
		if c.at < c.levels || c.now.levels > 0 {
			c.fail("a page holds more rows than its index says")
			return
		}
		if len(c.pages) == 0 {
			c.fail("it ends before its rows do")
			return
		}
		c.now, c.pages = c.pages[0], c.pages[1:]
	}
	c.now.rows--
	if c.fill(); c.reps != nil && *c.err == nil && c.reps[c.at] != 0 {
		c.fail("a row begins within another")
	}
}

// fill decodes the next levels of this page when none are left.
func (c *cursor[T]) fill() {
	if c.at < c.levels || *c.err != nil {
		return
	}
	want := min(c.now.levels, readBatch)
	levels, values, err := c.read(want, c.values[:want], c.defs, c.reps)
	switch {
	case err != nil:
		*c.err = schema.Errorf(schema.Corrupt, "column %s: %w", c.column.path, err)
	case levels < 1 || levels > want || values < 0 || int64(values) > levels:
		c.fail("a page ends before its values do")
	default:
		c.now.levels -= levels
		c.at, c.levels, c.value = 0, int(levels), 0
	}
}

// level yields the next level of the row: its definition level and, where
// that is the highest, its value.
func (c *cursor[T]) level() (int16, T) {
	if *c.err != nil {
		return 0, c.none
	}
	def := c.column.maxDef
	if c.defs != nil {
		def = c.defs[c.at]
	}
	c.at++
	if def != c.column.maxDef {
		return def, c.none
	}
	c.value++
	return def, c.values[c.value-1]
}

// continues tells whether the row has another level. A row never goes on in
// the next page.
func (c *cursor[T]) continues() bool {
	if *c.err != nil || c.at == c.levels && c.now.levels == 0 {
		return false
	}
	c.fill()
	return *c.err == nil && c.reps[c.at] != 0
}

// scalar yields the row's value of a column outside lists; false is null.
func (c *cursor[T]) scalar() (T, bool) {
	c.beginRow()
	def, v := c.level()
	return v, *c.err == nil && def == c.column.maxDef
}

// skip passes rows, a batch at a time.
func (c *cursor[T]) skip(rows int64) {
	for rows > 0 && *c.err == nil {
		c.beginRow()
		rows--
		if c.reps != nil {
			c.level()
			for c.continues() {
				c.level()
			}
			continue
		}
		// The row just begun, and as many as this batch and page still hold.
		more := min(rows, int64(c.levels-c.at)-1, c.now.rows)
		if *c.err != nil || more < 0 {
			return
		}
		c.pass(int(more) + 1)
		c.now.rows -= more
		rows -= more
	}
}

// pass moves over levels of a column outside lists without looking at values.
func (c *cursor[T]) pass(levels int) {
	present := levels
	if c.defs != nil {
		present = 0
		for _, def := range c.defs[c.at : c.at+levels] {
			if def == c.column.maxDef {
				present++
			}
		}
	}
	c.at += levels
	c.value += present
}

// text yields the row's text; null is empty.
func (c *textCursor) text() string {
	v, ok := c.scalar()
	if !ok {
		return ""
	}
	return c.remember(v)
}

func (c *textCursor) remember(v []byte) string {
	if string(v) != c.last {
		c.last = string(v)
	}
	return c.last
}

// bytes yields the row's bytes; nil is null, which is not empty.
func (c *textCursor) bytes() []byte {
	v, ok := c.scalar()
	if !ok {
		return nil
	}
	return notNull(v)
}

func notNull(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

// same fails unless the row's text is the given one.
func (c *textCursor) same(want []byte) {
	if v, ok := c.scalar(); *c.err == nil && (!ok || !bytes.Equal(v, want)) {
		c.fail("it differs from the footer")
	}
}
