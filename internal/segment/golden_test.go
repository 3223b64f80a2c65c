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
var makeGolden = flag.Bool("make-golden", false, "write testdata/segment-1.parquet if it does not exist")

const golden = "testdata/segment-1.parquet"

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
	if *makeGolden {
		raw, _ := write(t, segment.Options{Stream: stream(), RowGroupBytes: 10_000}, rows)
		file, err := os.OpenFile(golden, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(golden)
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
}
