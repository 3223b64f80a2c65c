package custody

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// Differs is the result of an index that is not what the archive makes of it.
const Differs Result = "differs"

// IndexFinding is something that an index has and the archive has not, or the other
// way round: of offsets from Base to before Next. Seq is the commit; -1 where it is
// of no single one.
type IndexFinding struct {
	Topic     string         `json:"topic"` // "" where only its ID is known
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	Branch    int32          `json:"branch"`
	Table     string         `json:"table"`
	Seq       int64          `json:"seq"`
	Base      int64          `json:"base"`
	Next      int64          `json:"next"`
	Missing   int64          `json:"missing"` // records that the table lacks
	Extra     int64          `json:"extra"`   // rows that no sealed record has
	Differ    int64          `json:"differ"`  // rows with another time or status
	First     int64          `json:"first"`   // the least such offset; -1: see What
	What      string         `json:"what"`
}

// IndexReport is what the verification of an index counted and found.
type IndexReport struct {
	Result   Result         `json:"result"`
	Note     string         `json:"note"`
	Findings []IndexFinding `json:"findings"`
	Omitted  int64          `json:"omitted_findings"`
	Unknown  []IndexFinding `json:"unknown"` // chains that could not be read
	// Difference is how many records are on one side only, or are not the same on
	// both: of the table in which they are most.
	Difference int64 `json:"difference"`
	Chains     int64 `json:"chains"`
	Commits    int64 `json:"commits"`  // that sealed something
	Records    int64 `json:"records"`  // compared
	Expired    int64 `json:"expired"`  // archived, and older than what the index keeps
	Unsealed   int64 `json:"unsealed"` // indexed, and waiting to be sealed
	Stale      int64 `json:"stale"`    // rows of earlier rules that are to be deleted; they count nowhere
	Since      int64 `json:"since"`    // least record time that the index keeps, in milliseconds; the least Int64: any

	by map[string]int64 // difference by table
}

// ExitCode is what annals verify --index exits with.
func (r *IndexReport) ExitCode() int {
	switch r.Result {
	case OK:
		return 0
	case Differs:
		return 1
	default:
		return 3
	}
}

func (r *IndexReport) find(f IndexFinding) {
	if r.by == nil {
		r.by = map[string]int64{}
	}
	r.by[f.Table] += f.Missing + f.Extra + f.Differ
	r.Difference = max(r.Difference, r.by[f.Table])
	if len(r.Findings) == MaxFindings {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, f)
}

func (r *IndexReport) unknown(s schema.Stream, err error) {
	r.Unknown = append(r.Unknown, IndexFinding{Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Seq: -1, First: -1, What: err.Error()})
}

func (r *IndexReport) add(c *compared) {
	r.Chains++
	r.Commits += c.commits
	r.Records += c.records
	r.Expired += c.expired
	r.Stale += c.stale
	r.Unsealed += c.unsealed
	for _, f := range c.findings {
		r.find(f)
	}
}

// explain judges; cut is the error that ended the verification early.
func (r *IndexReport) explain(cut error) {
	switch {
	case len(r.Findings) > 0:
		r.Result, r.Note = Differs, "the index is not what the archive makes of it; annals reindex mends that"
		if cut != nil {
			r.Note += "; and there may be more: it was cut short: " + cut.Error()
		}
	case cut != nil:
		r.Result, r.Note = Indeterminate, "it was cut short: "+cut.Error()
	case len(r.Unknown) > 0:
		r.Result, r.Note = Indeterminate, "nothing differs in what could be read, and some could not"
	case r.Records == 0:
		r.Result, r.Note = Indeterminate, "there was no sealed record to compare"
	default:
		r.Note = fmt.Sprintf("index and archive have the same %d records: their symmetric difference is 0", r.Records)
	}
}

// WriteText writes the report for people.
func (r *IndexReport) WriteText(w io.Writer) error {
	out := &lastingWriter{w: w}
	fmt.Fprintf(out, "%s: %s\n", r.Result, r.Note)
	for _, part := range []struct {
		head string
		list []IndexFinding
	}{{"found", r.Findings}, {"unknown", r.Unknown}} {
		if len(part.list) > 0 {
			fmt.Fprintln(out, part.head)
		}
		for i := range part.list {
			fmt.Fprintln(out, "  "+part.list[i].text())
		}
	}
	if r.Omitted > 0 {
		fmt.Fprintf(out, "  and %d more\n", r.Omitted)
	}
	if r.Chains == 0 {
		return out.err
	}
	checked := []string{fmt.Sprintf("%d records of %d commits of %d partitions, in each table by time and status (id_index: by time), under the version that counts; and how many the rollups count", r.Records, r.Commits, r.Chains)}
	if r.Result == Differs && r.Difference > 0 {
		checked = append(checked, fmt.Sprintf("symmetric difference: %d records", r.Difference))
	}
	writeLines(out, "checked", checked)
	left := []string{"what the rules read from the records: ids, types, stages"}
	if r.Unsealed > 0 {
		left = append(left, fmt.Sprintf("%d records that are indexed and wait to be sealed", r.Unsealed))
	}
	if r.Stale > 0 {
		left = append(left, fmt.Sprintf("%d rows of earlier rules, which count nowhere and are to be deleted", r.Stale))
	}
	if r.Since != math.MinInt64 {
		left = append(left, fmt.Sprintf("%d records before %s, which the index does not keep", r.Expired, time.UnixMilli(r.Since).UTC().Format(time.RFC3339)))
	}
	writeLines(out, "not checked", left)
	return out.err
}

func (f *IndexFinding) text() string {
	where := f.Topic
	if where == "" {
		where = "topic ID " + f.TopicID.String()
	}
	where = fmt.Sprintf("%s/%d", where, f.Partition)
	if f.Branch > 0 {
		where += fmt.Sprintf(", branch %d", f.Branch)
	}
	if f.Table != "" {
		where += ", " + f.Table
	}
	if f.Seq >= 0 {
		where += fmt.Sprintf(", commit %d", f.Seq)
	}
	where += ":"
	for _, n := range []struct {
		count int64
		what  string
	}{{f.Missing, "records are missing"}, {f.Extra, "rows are no sealed record's"}, {f.Differ, "rows have another time or status"}} {
		if n.count > 0 {
			where += fmt.Sprintf(" %d %s,", n.count, n.what)
		}
	}
	if f.What != "" {
		return where + " " + f.What
	}
	return fmt.Sprintf("%s in offsets %d to %d, the first %d", where[:len(where)-1], f.Base, f.Next, f.First)
}

// WriteJSON writes the report for programs.
func (r *IndexReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }
