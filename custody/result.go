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
		r.Note = "hashes agree, unsigned: nothing in this bag was changed by itself; who made the bag is not proven"
	case Tampered:
		r.Note = "this bag is not what was exported"
	case Incomplete:
		r.Note = "parts of this bag are missing; ask for it again"
	default:
		r.Note = "this is no bag that this version of annals can judge"
	}
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	out := &lastingWriter{w: w}
	fmt.Fprintf(out, "%s: %s\n", r.Result, r.Note)
	if r.ID != "" {
		fmt.Fprintf(out, "export  %s\n", r.ID)
	}
	fmt.Fprintf(out, "read    %d files, %d bytes\n", r.Files, r.Bytes)
	if r.Records > 0 {
		fmt.Fprintf(out, "records %d compared with their lines and commits; the record roots of %d computed again\n", r.Records, r.Tied)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "  %q: %s\n", f.File, f.What)
	}
	if r.Omitted > 0 {
		fmt.Fprintf(out, "  and %d more\n", r.Omitted)
	}
	return out.err
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
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
