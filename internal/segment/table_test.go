package segment_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/fx-risk-ai/annals/internal/segment"
)

// TestTable reads a table of several row groups with another implementation.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	w, err := segment.NewTableWriter(&out, []segment.TableColumn{
		{Name: "topic", Kind: segment.TableText},
		{Name: "offset", Kind: segment.TableInteger},
		{Name: "timestamp", Kind: segment.TableMillis},
		{Name: "event_time", Kind: segment.TableMicros},
	})
	if err != nil {
		t.Fatal(err)
	}
	const rows = 25_001
	for i := range rows {
		var at any
		if i%3 == 0 {
			at = int64(i)
		}
		if err := w.Append("orders", int64(i), int64(1e12)+int64(i), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(map[string]string{"annals.statement": `{"records":25001}`}); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if about, ok := f.Lookup("annals.statement"); !ok || about != `{"records":25001}` || f.NumRows() != rows || len(f.RowGroups()) != 3 {
		t.Errorf("%d rows in %d groups, %q", f.NumRows(), len(f.RowGroups()), about)
	}
	type row struct {
		Topic     string `parquet:"topic,optional"`
		Offset    int64  `parquet:"offset,optional"`
		Timestamp int64  `parquet:"timestamp,optional"`
		EventTime *int64 `parquet:"event_time,optional"`
	}
	read := make([]row, rows)
	n, err := parquet.NewGenericReader[row](f).Read(read)
	if n != rows || err != nil && err != io.EOF {
		t.Fatalf("%d rows, %v", n, err)
	}
	for i, r := range read {
		if r.Topic != "orders" || r.Offset != int64(i) || r.Timestamp != int64(1e12)+int64(i) || (r.EventTime != nil) != (i%3 == 0) || r.EventTime != nil && *r.EventTime != int64(i) {
			t.Fatalf("row %d is %+v", i, r)
		}
	}
	for name, values := range map[string][]any{"few": {"a"}, "kind": {int64(1), int64(1), nil, nil}, "type": {1.5, nil, nil, nil}} {
		w, err := segment.NewTableWriter(io.Discard, []segment.TableColumn{{"a", segment.TableText}, {"b", segment.TableInteger}, {"c", segment.TableMillis}, {"d", segment.TableMicros}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append(values...); err == nil {
			err = w.Close(nil)
			if err == nil {
				t.Errorf("%s: taken", name)
			}
		}
	}
	if _, err := segment.NewTableWriter(io.Discard, []segment.TableColumn{{Name: "a"}}); err == nil {
		t.Error("a column without a kind is taken")
	}
}
