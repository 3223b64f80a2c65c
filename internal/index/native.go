package index

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/compress"
)

// nativePiece is how much of a block is encoded at a time: what an insert costs
// in memory beside its columns.
const nativePiece = 64 << 10

// native reads as one block in ClickHouse's Native format, at protocol revision
// 0, which is what is inserted over HTTP: the numbers of columns and rows; then
// of each column its name, its type and its values. It encodes piece by piece
// while it is read, and keeps its memory for the next block. It belongs to one
// insert at a time; HTTP's transport reads it in a goroutine of its own, maybe
// for longer than the insert takes: until Close.
//
// The client's own columns are filled by appending, value by value, and are
// made anew for every insert: that was a third of the archiver's garbage
// (docs/adr/0018).
type native struct {
	mu     sync.Mutex // over what follows, while a piece is encoded
	ended  bool       // the columns are the caller's again
	closed bool       // nobody reads any more

	table   table
	columns []any // a slice each, or a packed one, all of rows length
	rows    int

	column  int // the one that is being encoded; -1: none yet
	row     int // the next one of it
	begun   bool
	piece   []byte // encoded, of which taken has been read
	taken   int
	lz4     *compress.Writer // nil: pieces go as they are
	lists   []string         // a list column's elements, end to end
	lowKeys lowKeys
}

// lowKeys is a LowCardinality column taken apart: the distinct texts, of which
// the first is the type's default, and for each row which one it is.
type lowKeys struct {
	seen  map[string]uint32
	texts []string
	keys  []uint32
}

// begin starts on another block. It refuses columns that are not slices of one
// length, or of another type than the table's.
func (n *native) begin(t table, columns []any, squeezed bool) error {
	n.ended, n.closed = false, false
	n.table, n.columns, n.rows = t, columns, -1
	n.column, n.row, n.begun, n.piece, n.taken = -1, 0, false, n.piece[:0], 0
	if len(columns) != len(t.columns) {
		return fmt.Errorf("%d columns for %d of the table", len(columns), len(t.columns))
	}
	for i, values := range columns {
		rows, err := rowsOf(values, t.columns[i].Type)
		if err != nil {
			return fmt.Errorf("column %s: %w", t.columns[i].Name, err)
		}
		if n.rows < 0 {
			n.rows = rows
		}
		if rows != n.rows {
			return fmt.Errorf("column %s has %d rows, the first %d", t.columns[i].Name, rows, n.rows)
		}
	}
	switch {
	case !squeezed:
		n.lz4 = nil
	case n.lz4 == nil:
		n.lz4 = compress.NewWriter(compress.LevelZero, compress.LZ4)
	}
	return nil
}

// end lets go of the block's columns and texts, whoever still reads, and tells
// whether nobody does.
func (n *native) end() (closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended, n.columns = true, nil
	n.lowKeys.reset()
	clear(n.lists)
	n.lists = n.lists[:0]
	return n.closed
}

// Close implements io.Closer. HTTP's transport calls it when it will not read
// any more.
func (n *native) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	return nil
}

// Read implements io.Reader.
func (n *native) Read(p []byte) (int, error) {
	if n.taken == len(n.piece) {
		if err := n.more(); err != nil {
			return 0, err
		}
	}
	took := copy(p, n.piece[n.taken:])
	n.taken += took
	return took, nil
}

// WriteTo implements io.WriterTo: pieces go out whole.
func (n *native) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if n.taken == len(n.piece) {
			if err := n.more(); err == io.EOF {
				return written, nil
			} else if err != nil {
				return written, err
			}
		}
		took, err := w.Write(n.piece[n.taken:])
		n.taken += took
		written += int64(took)
		if err != nil {
			return written, err
		}
	}
}

// more encodes the next piece; io.EOF behind the last.
func (n *native) more() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return io.ErrClosedPipe
	}
	n.piece, n.taken = n.piece[:0], 0
	if !n.begun {
		n.begun = true
		n.piece = binary.AppendUvarint(n.piece, uint64(len(n.columns)))
		n.piece = binary.AppendUvarint(n.piece, uint64(n.rows))
	}
	for len(n.piece) < nativePiece {
		if n.column < 0 || n.row == n.rows {
			if n.column+1 == len(n.columns) {
				break
			}
			n.column, n.row = n.column+1, 0
			n.head()
			continue
		}
		n.values(nativePiece - len(n.piece))
	}
	if len(n.piece) == 0 {
		return io.EOF
	}
	if n.lz4 != nil {
		if err := n.lz4.Compress(n.piece); err != nil {
			return fmt.Errorf("compress: %w", err)
		}
		n.piece = append(n.piece[:0], n.lz4.Data...)
	}
	return nil
}

// head writes what stands before a column's values.
func (n *native) head() {
	named := n.table.columns[n.column]
	n.piece = appendText(n.piece, named.Name)
	n.piece = appendText(n.piece, named.Type)
	if strings.Contains(named.Type, lowType) {
		n.piece = binary.LittleEndian.AppendUint64(n.piece, 1) // a dictionary that comes with the block
	}
	switch values := n.columns[n.column].(type) {
	case [][]string:
		end := uint64(0)
		clear(n.lists)
		n.lists = n.lists[:0]
		for _, list := range values {
			end += uint64(len(list))
			n.piece = binary.LittleEndian.AppendUint64(n.piece, end)
			n.lists = append(n.lists, list...)
		}
		n.lowKeys.take(n.lists)
		n.piece = n.lowKeys.append(n.piece)
		n.row = n.rows // lists are few: all of it is written
	case [][]int64:
		end := uint64(0)
		for _, list := range values {
			end += uint64(len(list))
			n.piece = binary.LittleEndian.AppendUint64(n.piece, end)
		}
	case []string:
		if strings.HasPrefix(named.Type, lowType) {
			n.lowKeys.take(values)
			n.piece = n.lowKeys.append(n.piece)
			n.row = n.rows
		}
	}
}

// values writes rows of a column until about most bytes are written.
func (n *native) values(most int) {
	switch values := n.columns[n.column].(type) {
	case []int8:
		n.row = appendFixed(&n.piece, values, n.row, most, func(b []byte, v int8) []byte { return append(b, byte(v)) })
	case []uint8:
		n.row = appendFixed(&n.piece, values, n.row, most, func(b []byte, v uint8) []byte { return append(b, v) })
	case []uint16:
		n.row = appendFixed(&n.piece, values, n.row, most, binary.LittleEndian.AppendUint16)
	case []int32:
		n.row = appendFixed(&n.piece, values, n.row, most, func(b []byte, v int32) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) })
	case []int64:
		n.row = appendFixed(&n.piece, values, n.row, most, func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) })
	case []uint64:
		n.row = appendFixed(&n.piece, values, n.row, most, binary.LittleEndian.AppendUint64)
	case []time.Time:
		n.row = appendFixed(&n.piece, values, n.row, most, func(b []byte, v time.Time) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v.Unix())) })
	case []string:
		write := appendText
		if _, fixed := fixedWidth(n.table.columns[n.column].Type); fixed {
			write = func(b []byte, v string) []byte { return append(b, v...) }
		}
		n.row = appendFixed(&n.piece, values, n.row, most, write)
	case *packed:
		for full := len(n.piece) + most; n.row < len(values.ends) && len(n.piece) < full; n.row++ {
			text := values.row(n.row)
			n.piece = append(binary.AppendUvarint(n.piece, uint64(len(text))), text...)
		}
	case [][]int64:
		n.row = appendFixed(&n.piece, values, n.row, most, func(b []byte, list []int64) []byte {
			for _, v := range list {
				b = binary.LittleEndian.AppendUint64(b, uint64(v))
			}
			return b
		})
	}
}

// appendFixed appends values from a row on until about most bytes are added,
// and returns the next row.
func appendFixed[T any](to *[]byte, values []T, row, most int, write func([]byte, T) []byte) int {
	b := *to
	for full := len(b) + most; row < len(values) && len(b) < full; row++ {
		b = write(b, values[row])
	}
	*to = b
	return row
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func (l *lowKeys) reset() {
	clear(l.seen)
	clear(l.texts)
	l.texts, l.keys = l.texts[:0], l.keys[:0]
}

func (l *lowKeys) take(values []string) {
	l.reset()
	if l.seen == nil {
		l.seen = map[string]uint32{}
	}
	l.texts = append(l.texts, "")
	l.seen[""] = 0
	last, key := "", uint32(0)
	for _, v := range values {
		if v != last {
			have, ok := l.seen[v]
			if !ok {
				have = uint32(len(l.texts))
				l.seen[v] = have
				l.texts = append(l.texts, v)
			}
			last, key = v, have
		}
		l.keys = append(l.keys, key)
	}
}

// Of a LowCardinality column: "additional keys follow, the dictionary is new",
// and below it how wide a row's key is.
const (
	lowType  = "LowCardinality("
	lowFlags = 1<<9 | 1<<10
)

// append writes dictionary and keys; of no rows, nothing.
func (l *lowKeys) append(b []byte) []byte {
	if len(l.keys) == 0 {
		return b
	}
	width := uint64(0)
	switch n := len(l.texts); {
	case n > 1<<16:
		width = 2
	case n > 1<<8:
		width = 1
	}
	b = binary.LittleEndian.AppendUint64(b, lowFlags|width)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(l.texts)))
	for _, text := range l.texts {
		b = appendText(b, text)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(l.keys)))
	for _, key := range l.keys {
		switch width {
		case 0:
			b = append(b, byte(key))
		case 1:
			b = binary.LittleEndian.AppendUint16(b, uint16(key))
		default:
			b = binary.LittleEndian.AppendUint32(b, key)
		}
	}
	return b
}

// rowsOf is how long a column is, if a column of that type can be made of it.
func rowsOf(column any, kind string) (int, error) {
	var (
		rows int
		fits bool
	)
	switch values := column.(type) {
	case []int8:
		rows, fits = len(values), strings.HasPrefix(kind, "Enum8(")
	case []uint8:
		rows, fits = len(values), kind == "UInt8"
	case []uint16:
		rows, fits = len(values), kind == "UInt16"
	case []int32:
		rows, fits = len(values), kind == "Int32"
	case []int64:
		rows, fits = len(values), kind == "Int64"
	case []uint64:
		rows, fits = len(values), kind == "UInt64"
	case []time.Time:
		rows, fits = len(values), kind == "DateTime('UTC')"
	case *packed:
		rows, fits = len(values.ends), kind == "String"
	case [][]int64:
		rows, fits = len(values), kind == "Array(Int64)"
	case [][]string:
		rows, fits = len(values), kind == "Array("+lowType+"String))"
	case []string:
		width, fixed := fixedWidth(kind)
		rows, fits = len(values), fixed || kind == "String" || kind == lowType+"String)"
		for _, v := range values {
			if fixed && len(v) != width {
				return 0, fmt.Errorf("a value of %d bytes in %s", len(v), kind)
			}
		}
	}
	if !fits {
		return 0, fmt.Errorf("a %T is no %s", column, kind)
	}
	return rows, nil
}

// fixedWidth is N of FixedString(N).
func fixedWidth(kind string) (int, bool) {
	text, ok := strings.CutPrefix(kind, "FixedString(")
	width, err := strconv.Atoi(strings.TrimSuffix(text, ")"))
	return width, ok && err == nil
}
