package segment_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"testing"

	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

// A file once released stays readable for ever. The flag makes the next
// format's file; it never overwrites one that was released.
var makeGolden = flag.Bool("make-golden", false, "write the files of testdata that do not exist")

const (
	golden       = "testdata/segment-1.parquet"
	goldenJoined = "testdata/segment-2.parquet" // the same rows in three parts
)

func goldenRows() []segment.Row {
	rows := sample(40, 100)
	rows[1].Key, rows[2].Value, rows[3].Headers = nil, nil, nil
	rows[4].Headers = append(rows[4].Headers, schema.Header{Name: "\xff"}, schema.Header{Name: "\xff", Value: []byte{}})
	rows[5].X = schema.Extraction{Errors: []string{"no trace id", "no event id"}}
	rows[6].X.SchemaID, rows[6].X.HasSchemaID = 7, true
	rows[7].Status, rows[8].Status = schema.Control, schema.Aborted
	rows[9].Timestamp, rows[10].Timestamp = math.MinInt64, math.MaxInt64
	for i := 20; i < len(rows); i++ {
		rows[i].Offset, rows[i].LeaderEpoch = rows[i].Offset+1000, 4
	}
	return rows
}

func TestReleasedSegmentsStayReadable(t *testing.T) {
	rows := goldenRows()
	first := readGolden(t, golden, rows, func() []byte {
		raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 10_000}, rows)
		return raw
	})
	joined := readGolden(t, goldenJoined, rows, func() []byte {
		return join(t, segment.Options{Stream: stream(), RowGroupBytes: 10_000, Rewrite: "golden"},
			split(t, segment.Options{Stream: stream()}, rows, 1, 20))
	})
	if f := open(t, first).Footer(); len(f.Parts) != 1 || f.Rewrite != "" {
		t.Errorf("version 1 has %d parts by rewrite %q", len(f.Parts), f.Rewrite)
	}
	if f := open(t, joined).Footer(); len(f.Parts) != 3 || f.Rewrite != "golden" {
		t.Errorf("version 2 has %d parts by rewrite %q", len(f.Parts), f.Rewrite)
	}
}

// readGolden reads a released file with both readers, after making it if it is
// not there and the flag says so.
func readGolden(t *testing.T, name string, rows []segment.Row, make func() []byte) []byte {
	t.Helper()
	if _, err := os.Stat(name); err != nil && *makeGolden {
		if err := os.WriteFile(name, make(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := segment.Verify(t.Context(), bytes.NewReader(raw), int64(len(raw))); err != nil {
		t.Fatal(err)
	}
	other := segmenttest.Read(t, raw)
	i := 0
	for row, err := range open(t, raw).Rows(t.Context(), 0, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "our reader", row, &rows[i])
		compare(t, "parquet-go", &other[i], &rows[i])
		i++
	}
	if i != len(rows) || len(other) != len(rows) {
		t.Fatalf("%d and %d rows of %d", i, len(other), len(rows))
	}
	return raw
}
