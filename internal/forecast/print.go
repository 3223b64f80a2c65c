package forecast

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes the forecast as a table: a column a class, a row a figure.
func (f Forecast) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := append(append([]Line(nil), f.Lines...), f.Total)
	row := func(name string, figure func(Line) string) {
		fmt.Fprintf(t, "%s\t", name)
		for _, l := range columns {
			fmt.Fprintf(t, "%s\t", figure(l))
		}
		fmt.Fprintln(t)
	}
	row("", func(l Line) string { return l.Class })
	row("topics", func(l Line) string { return fmt.Sprint(l.Topics) })
	row("partitions", func(l Line) string { return fmt.Sprint(l.Partitions) })
	row("mean segment, raw", func(l Line) string { return size(l.MeanSegment) })
	row("a day: records", func(l Line) string { return number(l.Records) })
	row("raw bytes", func(l Line) string { return size(l.RawBytes) })
	row("PUT", func(l Line) string { return number(l.Puts) })
	row("GET and HEAD", func(l Line) string { return number(l.Gets) })
	row("LIST", func(l Line) string { return number(l.Lists) })
	row("objects", func(l Line) string { return number(l.Objects) })
	row("bytes stored", func(l Line) string { return size(l.Stored) })
	row("index rows", func(l Line) string { return number(l.IndexRows) })
	row("index bytes", func(l Line) string { return size(l.IndexBytes) })
	row("a month: requests", func(l Line) string { return dollars(l.RequestCost) })
	row("the first month", func(l Line) string { return dollars(l.FirstMonth) })
	row("in the end", func(l Line) string { return dollars(l.InTheEnd) })
	return t.Flush()
}

func dollars(n float64) string { return fmt.Sprintf("$%.2f", n) }

func number(n float64) string { return scaled(n, 1000, "", "k", "M", "G", "T") }

func size(n float64) string { return scaled(n, 1024, " B", " KiB", " MiB", " GiB", " TiB", " PiB") }

func scaled(n, step float64, units ...string) string {
	i := 0
	for n >= step && i < len(units)-1 {
		n, i = n/step, i+1
	}
	if n >= 100 || i == 0 {
		return fmt.Sprintf("%.0f%s", n, units[i])
	}
	return fmt.Sprintf("%.1f%s", n, units[i])
}
