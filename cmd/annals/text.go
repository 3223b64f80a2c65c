package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
)

// table writes aligned columns. What stands in a cell stays there.
func table(w io.Writer, heads string, rows func(row func(cells ...any))) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(heads, "|", "\t"))
	rows(func(cells ...any) {
		text := make([]string, len(cells))
		for i, cell := range cells {
			text[i] = strings.ReplaceAll(terminal.Line(fmt.Sprint(cell)), "\t", `\t`)
		}
		fmt.Fprintln(t, strings.Join(text, "\t"))
	})
	t.Flush() //nolint:errcheck // what is behind w reports its own errors
}

// moment is a time as every answer shows it.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// size writes bytes for people.
func size(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// said is a text that an answer may lack.
func said(text *string) string { return textOr(text, "–") }

func textOr(text *string, otherwise string) string {
	if text == nil {
		return otherwise
	}
	return *text
}

// recordText names a record as annals get takes it.
func recordText(topic string, partition int32, offset int64) string {
	return schema.Coordinates{Topic: topic, Partition: partition, Offset: offset}.String()
}
