package index

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// everyType is a table with a column of each type that the index has.
var everyType = newTable("every_type",
	"low LowCardinality(String)", "fixed FixedString(16)", "text String", "status "+statusType, "u8 UInt8", "u16 UInt16",
	"i32 Int32", "i64 Int64", "u64 UInt64", "hour DateTime('UTC')", "lists Array(LowCardinality(String))", "numbers Array(Int64)", "packed String")

// everyColumn makes rows of everyType with so many distinct texts.
func everyColumn(rows, distinct int) []any {
	var (
		low, fixed, text []string
		status           []int8
		u8               []uint8
		u16              []uint16
		i32              []int32
		i64              []int64
		u64              []uint64
		hour             []time.Time
		lists            [][]string
		numbers          [][]int64
		ends             packed
	)
	for i := range rows {
		word := ""
		if n := i % distinct; n > 0 {
			word = fmt.Sprint("word ", n)
		}
		low, fixed = append(low, word), append(fixed, fmt.Sprintf("%016x", i*i))
		text = append(text, strings.Repeat("é", i%300))
		status, u8, u16 = append(status, int8(i%3+1)), append(u8, uint8(i)), append(u16, uint16(i*7))
		i32, i64, u64 = append(i32, int32(-i)), append(i64, -int64(i)<<33), append(u64, uint64(i)<<60|uint64(i))
		hour = append(hour, time.Unix(int64(i)*3600, 0).UTC())
		lists = append(lists, slices.Repeat([]string{word, "", "other"}, i%4/2))
		numbers = append(numbers, slices.Repeat([]int64{int64(i), -1}, i%3))
		ends.text = append(ends.text, strings.Repeat(word, i%4)...)
		ends.ends = append(ends.ends, len(ends.text))
	}
	return []any{low, fixed, text, status, u8, u16, i32, i64, u64, hour, lists, numbers, &ends}
}

// What is encoded is read by the client's own decoder as it was given, whatever
// the number of rows and distinct texts, and also by a block's second user.
func TestNativeIsReadByTheClient(t *testing.T) {
	var n native
	for _, size := range []struct{ rows, distinct int }{{1, 1}, {2, 2}, {5_000, 3}, {300, 256}, {300, 257}, {70_000, 66_000}, {3, 3}} {
		columns := everyColumn(size.rows, size.distinct)
		if err := n.begin(everyType, columns, false); err != nil {
			t.Fatal(err)
		}
		encoded, err := io.ReadAll(iotest.HalfReader(&n))
		if err != nil {
			t.Fatal(err)
		}
		if err := n.begin(everyType, columns, false); err != nil {
			t.Fatal(err)
		}
		var whole bytes.Buffer
		if _, err := n.WriteTo(&whole); err != nil || !bytes.Equal(whole.Bytes(), encoded) {
			t.Fatalf("%v: written it is %d bytes, read %d (%v)", size, whole.Len(), len(encoded), err)
		}
		n.end()
		block := proto.NewBlock()
		rest := bytes.NewReader(encoded)
		if err := block.Decode(chproto.NewReader(rest), 0); err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		if block.Rows() != size.rows {
			t.Fatalf("%v: %d rows came back", size, block.Rows())
		}
		for c, values := range columns {
			name := everyType.columns[c].Name
			if got := string(block.Columns[c].Type()); got != everyType.columns[c].Type {
				t.Errorf("%v: column %s is of type %s", size, name, got)
			}
			for row := range size.rows {
				if got, want := fmt.Sprint(block.Columns[c].Row(row, false)), wordOf(values, row); got != want {
					t.Fatalf("%v: row %d of %s: %q, want %q", size, row, name, got, want)
				}
			}
		}
	}
}

// wordOf prints a value as the client prints what it has decoded.
func wordOf(column any, row int) string {
	switch values := column.(type) {
	case []string:
		return values[row]
	case *packed:
		return string(values.row(row))
	case []int8:
		return []string{"", "committed", "aborted", "control"}[values[row]]
	case []uint8:
		return fmt.Sprint(values[row])
	case []uint16:
		return fmt.Sprint(values[row])
	case []int32:
		return fmt.Sprint(values[row])
	case []int64:
		return fmt.Sprint(values[row])
	case []uint64:
		return fmt.Sprint(values[row])
	case []time.Time:
		return fmt.Sprint(values[row])
	case [][]string:
		return fmt.Sprint(values[row])
	case [][]int64:
		return fmt.Sprint(values[row])
	default:
		return "?"
	}
}

// Columns that are not what the table says are refused before anything is sent:
// ClickHouse would take the bytes for other values.
func TestNativeRefusesWrongColumns(t *testing.T) {
	two := newTable("two", "a FixedString(16)", "b Int32")
	for name, columns := range map[string][]any{
		"one is missing":     {[]string{"0123456789abcdef"}},
		"of other lengths":   {[]string{"0123456789abcdef"}, []int32{1, 2}},
		"of another type":    {[]string{"0123456789abcdef"}, []int64{1}},
		"text of no width":   {[]string{"short"}, []int32{1}},
		"not even a slice":   {"0123456789abcdef", []int32{1}},
		"in the wrong order": {[]int32{1}, []string{"0123456789abcdef"}},
	} {
		var n native
		if err := n.begin(two, columns, false); err == nil {
			t.Errorf("%s: begun", name)
		}
	}
}

// Whoever still reads when the insert has ended gets an error, not another
// block's rows; and only a body that was closed is used again.
func TestNativeEnds(t *testing.T) {
	var n native
	if err := n.begin(everyType, everyColumn(5_000, 3), false); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(&n, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if n.end() {
		t.Error("nobody has closed it")
	}
	if _, err := io.Copy(io.Discard, &n); err != io.ErrClosedPipe {
		t.Errorf("read on after its end: %v", err)
	}
	if err := n.Close(); err != nil || !n.end() {
		t.Errorf("closed, it is not: %v", err)
	}
}
