package segment_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/internal/segment"
)

func benchmarkRows(size int) []segment.Row {
	return sample(max(64, min(40_000, (24<<20)/size)), size)
}

// cpuSeconds is the process's own time: other programs on the machine do not
// slow it down.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}

// BenchmarkWriter says records a second of one core and bytes a record in the
// file, with extraction columns and leaves.
func BenchmarkWriter(b *testing.B) {
	for _, size := range []int{300, 20_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			rows := benchmarkRows(size)
			o := segment.Options{Stream: stream(), Rows: len(rows)}
			w, err := segment.NewWriter(io.Discard, o)
			if err != nil {
				b.Fatal(err)
			}
			var bytes int64
			b.ReportAllocs()
			cpu := cpuSeconds(b)
			for b.Loop() {
				if err := w.Reset(io.Discard, o); err != nil {
					b.Fatal(err)
				}
				for i := range rows {
					if err := w.Append(&rows[i].Record, &rows[i].X); err != nil {
						b.Fatal(err)
					}
				}
				s, err := w.Close()
				if err != nil {
					b.Fatal(err)
				}
				bytes = s.Bytes
			}
			records := float64(b.N * len(rows))
			b.ReportMetric(records/(cpuSeconds(b)-cpu), "records/cpu-s")
			b.ReportMetric(float64(bytes)/float64(len(rows)), "B/record")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkReader says rows a second of one core: all columns, without the
// extracted ones, what a replay reads, offsets and timestamps alone, and with
// every hash checked.
func BenchmarkReader(b *testing.B) {
	rows := benchmarkRows(300)
	raw, _ := write(b, segment.Options{Stream: stream(), Rows: len(rows)}, rows)
	read := func(columns segment.Columns) func(*testing.B) {
		return func(b *testing.B) {
			r, cpu := open(b, raw), cpuSeconds(b)
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range r.Rows(b.Context(), 0, math.MaxInt64, columns) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N*len(rows))/(cpuSeconds(b)-cpu), "rows/cpu-s")
			b.ReportMetric(0, "ns/op")
		}
	}
	b.Run("all", read(segment.All))
	b.Run("record", read(segment.Times|segment.Broker|segment.Payload))
	b.Run("replayed", read(segment.Times|segment.Status|segment.Payload))
	b.Run("times", read(segment.Times))
	b.Run("verify", func(b *testing.B) {
		cpu := cpuSeconds(b)
		for b.Loop() {
			if err := segment.Verify(b.Context(), bytes.NewReader(raw), int64(len(raw))); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*len(rows))/(cpuSeconds(b)-cpu), "rows/cpu-s")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("lookup", func(b *testing.B) {
		cpu := cpuSeconds(b)
		for b.Loop() {
			r := open(b, raw)
			if _, err := r.Lookup(b.Context(), rows[len(rows)/2].Offset); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((cpuSeconds(b)-cpu)/float64(b.N)*1e6, "cpu-µs/lookup")
		b.ReportMetric(0, "ns/op")
	})
}
