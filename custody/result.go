package custody

import (
	"encoding/json"
	"fmt"
	"io"
)

// MaxFindings bounds the findings that a Report lists; more are counted.
const MaxFindings = 1000

// Result is the outcome of a verification.
type Result string

// The results, worst first: a bag that is tampered with and incomplete is
// Tampered.
const (
	Tampered     Result = "tampered"     // something in it is not what was exported
	Incomplete   Result = "incomplete"   // something of it is missing; what is there is sound
	Unverifiable Result = "unverifiable" // it is no bag that this version can judge
	OK           Result = "ok"
)

// ExitCode is what annals verify exits with.
func (r Result) ExitCode() int {
	switch r {
	case OK:
		return 0
	case Tampered:
		return 1
	case Incomplete:
		return 2
	default:
		return 3
	}
}

// Finding is one thing that does not hold. File is the path in the bag.
type Finding struct {
	File string `json:"file"`
	What string `json:"what"`
}

// Report is what a verification did and found.
type Report struct {
	Result   Result    `json:"result"`
	Note     string    `json:"note"` // what the result does and does not mean
	ID       string    `json:"id"`   // the export's; "" if it could not be read
	Findings []Finding `json:"findings"`
	Omitted  int       `json:"omitted_findings"`
	Files    int64     `json:"files"`   // read, tag files included
	Bytes    int64     `json:"bytes"`   // of those files
	Records  int64     `json:"records"` // compared with their lines and commits
	// Tied are the records under a record root that was computed again and is
	// the one in their commit.
	Tied int64 `json:"records_tied_to_a_commit"`
	// Checked and NotChecked say what the result stands on, a sentence each.
	Checked    []string `json:"checked"`
	NotChecked []string `json:"not_checked"`
	// Manifest is the SHA-256 of tagmanifest-sha256.txt, which covers every
	// file; "" if there is none.
	Manifest string `json:"tagmanifest_sha256"`

	ofTrace bool // the bag is a trace's
}

// find records a finding and makes the result at least as bad.
func (r *Report) find(result Result, file, format string, args ...any) {
	rank := map[Result]int{OK: 0, Unverifiable: 1, Incomplete: 2, Tampered: 3}
	if rank[result] > rank[r.Result] {
		r.Result = result
	}
	if len(r.Findings) == MaxFindings {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, Finding{File: file, What: fmt.Sprintf(format, args...)})
}

func (r *Report) explain() {
	switch r.Result {
	case OK:
		r.Note = "hashes agree, unsigned: no file of this bag was changed, added or removed by itself; who made the bag is not proven"
	case Tampered:
		r.Note = "this bag is not what was exported"
	case Incomplete:
		r.Note = "parts of this bag are missing; ask for it again"
	default:
		r.Note = "this is no bag that this version of annals can judge"
	}
	r.Checked, r.NotChecked = []string{}, []string{}
	if r.Files > 0 {
		r.Checked = append(r.Checked, fmt.Sprintf("files: all %d (%d bytes) were read and held against the SHA-256 in the manifests", r.Files, r.Bytes))
	}
	if r.Result != OK {
		r.NotChecked = append(r.NotChecked, "all that comes after what was found: each step is taken only if those before it found nothing")
		return
	}
	r.Checked = append(r.Checked,
		"list: data/scope.json names every file, and its counts add up",
		fmt.Sprintf("records: %d rows of Parquet say the same as their lines of JSON, and lie in the offset ranges of their commits", r.Records))
	if r.Tied > 0 {
		r.Checked = append(r.Checked, fmt.Sprintf("proof: the record roots of %d records were computed again, and are those in their commits", r.Tied))
	}
	r.NotChecked = append(r.NotChecked,
		"who made it: the bag is not signed, and who rewrites records can rewrite the hashes beside them; compare the tagmanifest's SHA-256, "+r.Manifest+", with one that you had from the maker by another way",
		"the archive: verify asks nobody, so whether the archive has these commits, or had them then, is not known")
	if rest := r.Records - r.Tied; rest > 0 {
		r.NotChecked = append(r.NotChecked, fmt.Sprintf("the record roots of %d records: only a part of their segments was asked for", rest))
	}
	if r.ofTrace {
		r.NotChecked = append(r.NotChecked, "that the trace is whole: the search index named its records")
	}
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	out := &lastingWriter{w: w}
	fmt.Fprintf(out, "%s: %s\n", r.Result, r.Note)
	if r.ID != "" {
		fmt.Fprintf(out, "export %s\n", r.ID)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(out, "found")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "  %q: %s\n", f.File, f.What)
	}
	if r.Omitted > 0 {
		fmt.Fprintf(out, "  and %d more\n", r.Omitted)
	}
	writeLines(out, "checked", r.Checked)
	writeLines(out, "not checked", r.NotChecked)
	return out.err
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// lastingWriter keeps the first error.
type lastingWriter struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (l *lastingWriter) Write(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	var n int
	n, l.err = l.w.Write(p)
	return n, l.err
}
