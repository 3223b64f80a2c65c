package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Index is an index's database, asked by plain SQL. Ask gets a statement in
// which DB stands for the database, and returns its result as tab-separated
// text.
type Index struct {
	Ask func(sql string) string
}

// Equals holds the index against what the archive holds of a topic's
// partitions: in each order of the records the same rows, once, and a row for
// each commit that names the object that the commit names.
func (x Index) Equals(held ...*Held) error {
	if len(held) == 0 {
		return nil
	}
	of := fmt.Sprintf("WHERE topic_id = unhex('%x')", held[0].Stream.TopicID[:])
	var records, traces, events, commits []string
	for _, h := range held {
		for i := range h.Rows {
			row := &h.Rows[i]
			at := fmt.Sprintf("%d\t%d\t%d", row.Partition, row.Branch, row.Offset)
			line := fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%d", at, row.Status, row.Timestamp, row.X.EventID, row.X.TraceID, null(row.Value))
			records, traces = append(records, line), append(traces, line)
			if row.X.EventID != "" {
				events = append(events, at)
			}
		}
		for _, c := range h.Commits {
			commits = append(commits, lineOf(c))
		}
	}
	const columns = "partition, branch, offset, status, timestamp, event_id, trace_id, null_value"
	return errors.Join(
		x.holds("records", "SELECT "+columns+" FROM DB.records FINAL "+of, records),
		x.holds("records_by_trace", "SELECT "+columns+" FROM DB.records_by_trace FINAL "+of, traces),
		x.holds("id_index", "SELECT partition, branch, offset FROM DB.id_index FINAL "+of+" AND kind = 2", events),
		x.holds("segments", "SELECT partition, branch, seq, kind, base, next, object_key, committed, aborted, control FROM DB.segments FINAL "+of, commits))
}

func lineOf(c *schema.Commit) string {
	key := ""
	if c.Segment != nil {
		key = c.Segment.Key
	}
	return fmt.Sprintf("%d\t%d\t%d\t%s\t%d\t%d\t%s\t%d\t%d\t%d", c.Partition, c.Branch, c.Seq, c.Kind, c.Base, c.Next, key,
		c.Records.Committed, c.Records.Aborted, c.Records.Control)
}

func null(value []byte) int {
	if value == nil {
		return 1
	}
	return 0
}

// holds compares what a table says with what it should, as sets: what is there
// twice is a difference, too.
func (x Index) holds(table, sql string, want []string) error {
	var got []string
	if text := strings.TrimSuffix(x.Ask(sql), "\n"); text != "" {
		got = strings.Split(text, "\n")
	}
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return nil
	}
	extra, missing := beyond(got, want), beyond(want, got)
	return fmt.Errorf("%s has %d rows, %d are archived; not archived, or there twice: %.300q; missing: %.300q", table, len(got), len(want), extra, missing)
}

// beyond gives what of a is not in b, both sorted.
func beyond(a, b []string) (rest []string) {
	for _, line := range a {
		for len(b) > 0 && b[0] < line {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == line {
			b = b[1:]
			continue
		}
		rest = append(rest, line)
	}
	return rest
}
