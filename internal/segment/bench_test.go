package segment_test

import (
	"fmt"
	"io"
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
