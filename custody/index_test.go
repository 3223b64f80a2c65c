package custody_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
)

// indexed is an archive with an index beside it.
type indexed struct {
	*archive
	*index.Index
	options index.Options
}

func newIndexed(t *testing.T) *indexed {
	t.Helper()
	a := &indexed{archive: newArchive(t)}
	a.options.Addr, a.options.User, a.options.Password = embeddedtest.ClickHouse(t)
	a.options.Database = embeddedtest.Database(t)
	x, err := index.Open(a.options)
	must(t, err)
	t.Cleanup(func() { _ = x.Close() })
	a.Index = x
	must(t, a.Migrate(t.Context()))
	return a
}

// put indexes records as an archiver does that has just read them.
func (a *indexed) put(records ...*schema.Record) {
	a.t.Helper()
	var rows []index.Row
	for _, r := range records {
		rows = append(rows, index.Row{Record: r, Extraction: a.extract(r)})
	}
	must(a.t, a.InsertRecords(a.t.Context(), rows, day))
}

// sealed is what was sealed of a stream, by commit.
type sealed map[int64][]*schema.Record

// name names a stream's commits to the index, from a seq on.
func (a *indexed) name(s *stream, from int64, of sealed) {
	a.t.Helper()
	for e, err := range a.book.Commits(a.t.Context(), s.Stream, from) {
		must(a.t, err)
		row := index.SegmentOf(e.Commit)
		if e.Commit.Segment != nil {
			row.Summary = index.NewSummary()
			for _, r := range of[e.Commit.Seq] {
				row.Summary.Add(r, a.extract(r))
			}
		}
		must(a.t, a.InsertSegments(a.t.Context(), []index.SegmentRow{row}))
	}
}

// compare verifies the index until its report is as wanted, or for a while: rows go
// in the background.
func (a *indexed) compare(what string, want func(*custody.IndexReport) bool) {
	a.t.Helper()
	embeddedtest.Eventually(a.t, time.Minute, func() error {
		r, err := custody.VerifyIndex(a.t.Context(), a.store, a.book, a.Index, custody.IndexOptions{})
		if err == nil && !want(r) {
			err = fmt.Errorf("%s: %+v", what, r)
		}
		return err
	})
}

func equal(r *custody.IndexReport) bool { return r.Result == custody.OK && r.ExitCode() == 0 }

// differs by some rows of one table, and says which offset is the first.
func differs(table string, missing, extra, differ, first int64) func(*custody.IndexReport) bool {
	return func(r *custody.IndexReport) bool {
		if r.Result != custody.Differs || r.ExitCode() != 1 || r.Difference != missing+extra+differ {
			return false
		}
		for _, f := range r.Findings {
			if f.Table == table && f.Missing == missing && f.Extra == extra && f.Differ == differ && f.First == first {
				return true
			}
		}
		return false
	}
}

// An index that has what the archive has is found equal to it; each row too many, too
// few or other than archived is found, in any table; and what nobody can seal any more
// goes when the commit that says so is named.
func TestIndexIsHeldAgainstTheArchive(t *testing.T) {
	a := newIndexed(t)
	a.compare("nothing at all", func(r *custody.IndexReport) bool { return r.ExitCode() == 3 })
	var first []*schema.Record
	for n := range int64(6) {
		first = append(first, a.produce("orders", 0, day.Add(time.Duration(n)*time.Hour), fmt.Sprintf(`{"eventId":"e-%d","traceId":"t-%d"}`, n, n%2), func(r *schema.Record) {
			if n > 3 {
				r.Offset++ // what was at 4 was cleaned
			}
			if n == 2 {
				r.Status = schema.Aborted
			}
		}))
	}
	other := a.produce("bills", 1, day, `{"eventId":"b"}`, nil)
	a.put(append(first, other)...)
	a.seal()
	s := a.stream("orders", 0)
	bySeq := sealed{1: first}
	a.compare("not named", func(r *custody.IndexReport) bool {
		return r.Result == custody.Differs && strings.Contains(r.Findings[0].What, "not in the index")
	})
	a.name(s, 0, bySeq)
	a.name(a.stream("bills", 1), 0, sealed{1: {other}})
	a.compare("all is there", func(r *custody.IndexReport) bool {
		return equal(r) && r.Records == 7 && r.Unsealed == 0 && strings.Contains(r.Note, "symmetric difference is 0")
	})

	// On the next branch, and what was read of the last one and never sealed.
	lost := a.produce("orders", 0, day, `{"eventId":"lost"}`, nil)
	a.put(lost)
	s.pending = nil
	a.compare("awaits sealing", func(r *custody.IndexReport) bool { return equal(r) && r.Unsealed == 1 })
	a.diverge(s, 5)
	newer := a.produce("orders", 0, day, `{"eventId":"newer"}`, nil)
	a.put(newer)
	a.seal()
	a.compare("never sealed", func(r *custody.IndexReport) bool {
		text := &strings.Builder{}
		must(t, r.WriteText(text))
		return r.Result == custody.Differs && strings.Contains(text.String(), "orders/0, records: 1 rows are no sealed record's, they were never sealed")
	})
	a.name(s, 2, sealed{3: {newer}})
	a.compare("it goes with the branch", func(r *custody.IndexReport) bool { return equal(r) && r.Records == 8 })

	a.changed(first, other)

	// Two readings of a commit, of which both left what they had summed up.
	typed := *other
	typed.Headers = []schema.Header{{Name: "eventType", Value: []byte("Other")}}
	a.name(a.stream("bills", 1), 1, sealed{1: {&typed}})
	a.compare("summed up twice", func(r *custody.IndexReport) bool {
		return r.Result == custody.Differs && r.Findings[0].Table == "rollups" && strings.Contains(r.Findings[0].What, "count 2 records, the commit has 1")
	})
}

// exec runs a statement; "db." stands for the index's database.
func (a *indexed) exec(sql string) {
	a.t.Helper()
	embeddedtest.Exec(a.t, a.options.Addr, a.options.User, a.options.Password, strings.ReplaceAll(sql, "db.", a.options.Database+"."))
}

// without deletes rows of all tables.
func (a *indexed) without(condition string) {
	a.t.Helper()
	for _, table := range index.RecordTables {
		a.exec("DELETE FROM db." + table + " WHERE " + condition + " SETTINGS lightweight_deletes_sync = 1")
	}
}

// changed puts rows where there should be none, takes some away, and changes some, one
// kind at a time.
func (a *indexed) changed(orders []*schema.Record, other *schema.Record) {
	a.t.Helper()
	for _, table := range index.RecordTables {
		a.exec("DELETE FROM db." + table + " WHERE offset = 3 AND branch = 0 SETTINGS lightweight_deletes_sync = 1")
		a.compare("missing in "+table, differs(table, 1, 0, 0, 3))
		a.put(orders[3])
		a.compare("put again into "+table, equal)
	}
	later := *orders[1]
	later.Timestamp++
	a.put(&later)
	a.compare("another time", differs("records_by_trace", 0, 0, 1, 1))
	a.without("offset = 1")
	a.put(orders[1])
	a.compare("its own time again", equal)

	phantom := *orders[3]
	phantom.Offset = 4
	a.put(&phantom)
	a.compare("in a gap", differs("id_index", 0, 1, 0, 4))
	a.without("offset = 4")
	stranger := *other
	stranger.TopicID[0]++
	a.put(&stranger)
	a.compare("a topic that the archive has not", differs("records", 0, 1, 0, 0))
	a.without(fmt.Sprintf("topic_id = unhex('%x')", stranger.TopicID[:]))
	a.compare("without it", equal)
}

// Records that are older than what the index keeps are neither missed nor asked for.
func TestIndexIsComparedWithinItsRetention(t *testing.T) {
	a := newIndexed(t)
	now := time.Now()
	old, recent := a.produce("orders", 0, now.AddDate(0, 0, -40), "old", nil), a.produce("orders", 0, now, "recent", nil)
	a.put(recent)
	a.seal()
	a.name(a.stream("orders", 0), 0, sealed{1: {recent}})
	a.compare("kept for ever", differs("records", 1, 0, 0, old.Offset))
	options := a.options
	options.Retention, options.Given.Retention = 30*24*time.Hour, true
	x, err := index.Open(options)
	must(t, err)
	t.Cleanup(func() { _ = x.Close() })
	must(t, x.Migrate(t.Context()))
	a.Index = x
	a.compare("kept for a month", func(r *custody.IndexReport) bool { return equal(r) && r.Records == 1 && r.Expired == 1 })
}

// Of two clusters' chains of one topic ID those of the first are compared, and the
// others are said: the index has none of them.
func TestIndexOfATopicIDOfTwoClusters(t *testing.T) {
	a := newIndexed(t)
	first := a.produce("orders", 0, day, "of the one", nil)
	a.put(first)
	a.seal()
	a.name(a.stream("orders", 0), 0, sealed{1: {first}})
	restored := a.stream("orders@restored", 0)
	restored.Cluster, restored.Topic, restored.TopicID = "restored", "orders", first.TopicID
	a.produce("orders@restored", 0, day, "of the other", func(r *schema.Record) { r.Topic = "orders" })
	a.seal()
	a.compare("the other cluster", func(r *custody.IndexReport) bool {
		return r.ExitCode() == 3 && r.Records == 1 && len(r.Findings) == 0 && len(r.Unknown) == 1 && strings.Contains(r.Unknown[0].What, "restored")
	})
}
