package segment

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/fx-risk-ai/annals/schema"
)

// pageWriter is what this package uses of arrow's typed column writers. Pages
// are flushed by us: arrow checks a page's size only between batches, so that
// a batch of large values makes a page of any size.
type pageWriter[T any] interface {
	WriteBatch(values []T, defs, reps []int16) (int64, error)
	FlushCurrentPage() error
}

// rowGroup writes one staged row group, column by column in the file's order,
// and keeps the first error.
type rowGroup struct {
	out       file.SerialRowGroupWriter
	rows      int
	pageBytes int64
	scratch   []parquet.ByteArray
	valueCuts []int // rows of each value page; the pages of offset are cut alike
	err       error
}

func (g *rowGroup) write(s *staging, stream schema.Stream, branch int32) error {
	g.rows = s.rows
	g.valueCuts = g.cutRows(&s.value, g.pageBytes)

	g.sameText(stream.Topic)
	g.sameText(stream.TopicID.String())
	sameNumber(g, stream.Partition)
	sameNumber(g, branch)
	writeNumbers(g, &s.offset, g.valueCuts)
	writeNumbers(g, &s.leaderEpoch, nil)
	writeNumbers(g, &s.timestamp, nil)
	g.words(s.timestampType, timestampWords())
	writeNumbers(g, &s.producerID, nil)
	writeNumbers(g, &s.producerEpoch, nil)
	g.words(s.status, statusWords())
	g.bytes(&s.key, nil, 1, narrowPage)
	g.bytes(&s.value, nil, 1, g.pageBytes)
	g.bytes(&s.headerKey, s.headerKey.reps, 1, narrowPage)
	g.bytes(&s.headerValue, s.headerKey.reps, 2, narrowPage)
	for _, c := range []*bytesColumn{&s.eventID, &s.eventType, &s.eventVersion, &s.sourceService, &s.traceID, &s.spanID} {
		g.bytes(c, nil, 1, narrowPage)
	}
	g.bytes(&s.parentIDs, s.parentIDs.reps, 1, narrowPage)
	writeNumbers(g, &s.eventTime, nil)
	g.bytes(&s.stage, nil, 1, narrowPage)
	writeNumbers(g, &s.schemaID, nil)
	g.bytes(&s.contractErrors, s.contractErrors.reps, 1, narrowPage)
	for range []int{colProofKey, colProofValue, colProofHeaders, colProofSeed} {
		g.nulls()
	}
	if g.err == nil {
		g.err = g.out.Close()
	}
	return g.err
}

// next moves to the next column, which must be written with a W.
func next[W any](g *rowGroup) (w W, ok bool) {
	if g.err != nil {
		return w, false
	}
	column, err := g.out.NextColumn()
	if err != nil {
		g.err = fmt.Errorf("begin column %d: %w", g.out.CurrentColumn(), err)
		return w, false
	}
	if w, ok = column.(W); !ok {
		g.err = fmt.Errorf("column %d is written as another type than the schema's", g.out.CurrentColumn())
	}
	return w, ok
}

// page writes one page.
func page[T any](g *rowGroup, w pageWriter[T], values []T, defs, reps []int16) {
	if g.err != nil {
		return
	}
	n, err := w.WriteBatch(values, defs, reps)
	if err == nil && n != int64(len(values)) {
		err = fmt.Errorf("took %d of %d values", n, len(values))
	}
	if err == nil {
		err = w.FlushCurrentPage()
	}
	if err != nil {
		g.err = fmt.Errorf("write column %d: %w", g.out.CurrentColumn(), err)
	}
}

// bytes writes a staged text or bytes column in pages of at most limit bytes,
// or one row where that is larger.
func (g *rowGroup) bytes(c *bytesColumn, reps []int16, maxDef int16, limit int64) {
	w, ok := next[*file.ByteArrayColumnChunkWriter](g)
	if !ok {
		return
	}
	level, value := 0, 0
	for level < len(c.defs) && g.err == nil {
		end := c.cut(reps, maxDef, level, value, limit)
		g.scratch = g.scratch[:0]
		for range end.value - value {
			g.scratch = append(g.scratch, c.value(value))
			value++
		}
		var pageReps []int16
		if reps != nil {
			pageReps = reps[level:end.level]
		}
		page[parquet.ByteArray](g, w, g.scratch, c.defs[level:end.level], pageReps)
		level = end.level
	}
}

// mark is a place between two rows of a column.
type mark struct{ level, value, rows int }

// cut finds where the page that begins at a level and value ends. Each level
// counts four bytes, which is PLAIN's length prefix.
func (c *bytesColumn) cut(reps []int16, maxDef int16, level, value int, limit int64) mark {
	at := mark{level: level, value: value}
	var size int64
	for at.level < len(c.defs) && at.rows < pageRows {
		row := mark{level: at.level, value: at.value, rows: at.rows + 1}
		var rowSize int64
		for {
			rowSize += 4
			if c.defs[row.level] == maxDef {
				rowSize += int64(len(c.value(row.value)))
				row.value++
			}
			row.level++
			if reps == nil || row.level == len(c.defs) || reps[row.level] == 0 {
				break
			}
		}
		if at.rows > 0 && size+rowSize > limit {
			break
		}
		at, size = row, size+rowSize
	}
	return at
}

// cutRows gives the rows of each page that bytes will write.
func (g *rowGroup) cutRows(c *bytesColumn, limit int64) []int {
	cuts := g.valueCuts[:0]
	for at := (mark{}); at.level < len(c.defs); {
		at = c.cut(nil, 1, at.level, at.value, limit)
		cuts = append(cuts, at.rows)
	}
	return cuts
}

// writeNumbers writes a staged integer column in pages of the given numbers of
// rows; without any, of pageRows rows.
func writeNumbers[T int32 | int64](g *rowGroup, c *numbers[T], cuts []int) {
	w, ok := next[pageWriter[T]](g)
	if !ok {
		return
	}
	value := 0
	for row, i := 0, 0; row < g.rows; i++ {
		n := min(pageRows, g.rows-row)
		if cuts != nil {
			n = cuts[i]
		}
		present, defs := n, []int16(nil)
		if len(c.defs) > 0 {
			defs = c.defs[row : row+n]
			present = 0
			for _, def := range defs {
				present += int(def)
			}
		}
		page(g, w, c.values[value:value+present], defs, nil)
		value, row = value+present, row+n
	}
}

// words writes a column of few words from their indexes.
func (g *rowGroup) words(indexes []uint8, words []parquet.ByteArray) {
	w, ok := next[*file.ByteArrayColumnChunkWriter](g)
	if !ok {
		return
	}
	for row := 0; row < g.rows; row += pageRows {
		g.scratch = g.scratch[:0]
		for _, index := range indexes[row:min(row+pageRows, g.rows)] {
			g.scratch = append(g.scratch, words[index])
		}
		page[parquet.ByteArray](g, w, g.scratch, nil, nil)
	}
}

// sameText writes a required column that holds one text throughout.
func (g *rowGroup) sameText(text string) {
	w, ok := next[*file.ByteArrayColumnChunkWriter](g)
	if !ok {
		return
	}
	value := parquet.ByteArray(text)
	for row := 0; row < g.rows; row += pageRows {
		g.scratch = g.scratch[:0]
		for range min(pageRows, g.rows-row) {
			g.scratch = append(g.scratch, value)
		}
		page[parquet.ByteArray](g, w, g.scratch, nil, nil)
	}
}

func sameNumber(g *rowGroup, v int32) {
	same := numbers[int32]{values: make([]int32, g.rows)}
	for i := range same.values {
		same.values[i] = v
	}
	writeNumbers(g, &same, nil)
}

// nulls writes an optional column without any value.
func (g *rowGroup) nulls() {
	w, ok := next[*file.ByteArrayColumnChunkWriter](g)
	if !ok {
		return
	}
	page[parquet.ByteArray](g, w, nil, make([]int16, g.rows), nil)
}
