package custody

import (
	"errors"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// The results of an archive's verification, beside OK.
const (
	Damaged       Result = "damaged"       // something is not what was archived, or is missing
	Indeterminate Result = "indeterminate" // something could not be read, or there is nothing
)

// ArchiveFinding is one thing that does not hold, or that could not be found
// out: Key is the object, or the folder, and Seq the commit that names it; -1
// where no one commit does.
type ArchiveFinding struct {
	Key       string         `json:"key"`
	Cluster   string         `json:"cluster"`
	Topic     string         `json:"topic"` // "" if the chain's first commit could not be read
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	Seq       int64          `json:"seq"`
	What      string         `json:"what"`
}

// ArchiveReport is what the verification of an archive counted and found. Rows
// are of all branches.
type ArchiveReport struct {
	Result       Result           `json:"result"`
	Note         string           `json:"note"` // what the result does and does not mean
	Findings     []ArchiveFinding `json:"findings"`
	Omitted      int64            `json:"omitted_findings"`
	Unknown      []ArchiveFinding `json:"unknown"`
	Clusters     int              `json:"clusters"`
	Chains       int64            `json:"chains"`
	Commits      int64            `json:"commits"`
	Rollups      int64            `json:"rollups"`
	Records      schema.Counts    `json:"records"`
	GapOffsets   int64            `json:"gap_offsets"`
	Segments     int64            `json:"segments"`
	Bytes        int64            `json:"bytes"`         // of segments and raw batches
	SegmentsRead int64            `json:"segments_read"` // from end to end
	BytesRead    int64            `json:"bytes_read"`
	Batches      int64            `json:"raw_batches"`
	Orphans      int64            `json:"orphans"` // objects below data/ that no commit of their stream names
	OrphanBytes  int64            `json:"orphan_bytes"`
	Foreign      int64            `json:"foreign"`             // objects below data/ with names that are none of ours
	Ended        int64            `json:"ended_chains"`        // whose topics were deleted
	Went         int64            `json:"went_offsets"`        // that Kafka had of them when they were last seen, and that are not archived
	WentUnknown  int64            `json:"went_unknown_chains"` // ended ones of which it is not known what Kafka had
	Sample       float64          `json:"sample"`
	Seed         uint64           `json:"sample_seed"`
	// Checked and NotChecked say what the result stands on, a sentence each.
	Checked    []string `json:"checked"`
	NotChecked []string `json:"not_checked"`

	clusters map[string]bool
	sharing  int // partitions that chains of several clusters have, counted for each behind the first
}

// ExitCode is what annals verify --archive exits with.
func (r *ArchiveReport) ExitCode() int {
	switch r.Result {
	case OK:
		return 0
	case Damaged:
		return 1
	default:
		return 3
	}
}

func (r *ArchiveReport) find(s schema.Stream, seq int64, key string, err error) {
	if errors.Is(err, schema.ErrNewer) {
		r.Unknown = append(r.Unknown, finding(s, seq, key, err))
		return
	}
	if len(r.Findings) == MaxFindings {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, finding(s, seq, key, err))
}

func (r *ArchiveReport) unknown(s schema.Stream, key string, err error) {
	r.Unknown = append(r.Unknown, finding(s, -1, key, err))
}

func finding(s schema.Stream, seq int64, key string, err error) ArchiveFinding {
	return ArchiveFinding{
		Key: key, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Seq: seq, What: err.Error(),
	}
}

// add adds what was found of one chain.
func (r *ArchiveReport) add(of *ledger.Report) {
	for _, f := range of.Listed {
		r.find(of.Stream, f.Seq, f.Key, f.Err)
	}
	r.Omitted += of.Findings - int64(len(of.Listed))
	for _, f := range of.Unknown {
		r.Unknown = append(r.Unknown, finding(of.Stream, f.Seq, f.Key, f.Err))
	}
	if r.clusters == nil {
		r.clusters = map[string]bool{}
	}
	r.clusters[of.Stream.Cluster] = true
	r.Clusters = len(r.clusters)
	r.Chains++
	r.Commits += of.Commits
	r.Rollups += of.Rollups
	r.Records.Committed += of.Rows.Committed
	r.Records.Aborted += of.Rows.Aborted
	r.Records.Control += of.Rows.Control
	r.GapOffsets += of.GapOffsets
	r.Segments += of.Segments
	r.Bytes += of.Bytes
	r.SegmentsRead += of.Read
	r.BytesRead += of.Hashed
	r.Batches += of.Batches
	r.Orphans += of.Orphans
	r.OrphanBytes += of.OrphanBytes
	switch {
	case !of.Ended:
		return
	case of.Went < 0:
		r.WentUnknown++
	default:
		r.Went += of.Went
	}
	r.Ended++
}

// shared notes that a chain of a shared folder was added. To each of its chains
// what the others name are orphans: counted together, each object is one once
// too often for each chain behind the first.
func (r *ArchiveReport) shared(f *sharedFolder) {
	if f == nil {
		return
	}
	if f.chains++; f.chains == 1 {
		return
	}
	r.sharing++
	r.Orphans = max(0, r.Orphans-f.objects)
	r.OrphanBytes = max(0, r.OrphanBytes-f.bytes)
}

// isSample tells that segments were left out on request.
func (r *ArchiveReport) isSample() bool { return r.Sample < 1 }

func (r *ArchiveReport) explain() {
	r.Checked, r.NotChecked = []string{}, []string{}
	switch {
	case len(r.Findings) > 0:
		r.Result, r.Note = Damaged, "this archive is not what was archived"
	case len(r.Unknown) > 0:
		r.Result, r.Note = Indeterminate, "nothing was found wrong in what could be read, and some could not"
	case r.Chains == 0:
		r.Result, r.Note = Indeterminate, "there is no archive below this prefix of the bucket"
	case r.isSample():
		r.Note = fmt.Sprintf("sampled: %d of %d segments were read, and of the others only the size is known", r.SegmentsRead, r.Segments)
	default:
		r.Note = "the archive agrees with itself, unsigned: nothing that a commit names was changed or removed by itself"
	}
	if r.Chains == 0 {
		return
	}
	r.Checked = append(r.Checked,
		fmt.Sprintf("chains: %d commits of %d partitions in %d clusters, each held against the one before it by hash, sequence and offset, and %d rollups", r.Commits, r.Chains, r.Clusters, r.Rollups),
		fmt.Sprintf("offsets: %d rows (%d committed, %d aborted, %d control) and %d offsets in gaps, which leave none out from each partition's first to its next", r.Records.Rows(), r.Records.Committed, r.Records.Aborted, r.Records.Control, r.GapOffsets))
	what := "all"
	if r.isSample() {
		what = fmt.Sprintf("a sample of %.4g %% (seed %d),", 100*r.Sample, r.Seed)
	}
	r.Checked = append(r.Checked,
		fmt.Sprintf("segments: %s %d of %d were read (%d bytes) and held against their commits: hash, record root, rows by status, times, leader epochs, and a row or a gap for every offset", what, r.SegmentsRead, r.Segments, r.BytesRead))
	if r.Batches > 0 {
		r.Checked = append(r.Checked, fmt.Sprintf("raw batches: %d were held against the hash that their gap names", r.Batches))
	}
	if left := r.Segments - r.SegmentsRead; left > 0 && r.isSample() {
		r.NotChecked = append(r.NotChecked, fmt.Sprintf("the bytes of %d segments, which the sample left out; they are there and have the size that their commits name", left))
	}
	r.NotChecked = append(r.NotChecked,
		"who wrote it: nothing is signed, and who can write the bucket can write whole chains anew, or cut off their ends",
		"what is beside the ledger: jobs, dead letters, topic configurations")
	if r.Orphans > 0 {
		r.NotChecked = append(r.NotChecked, fmt.Sprintf("%d objects (%d bytes) that no commit names: left behind by writers that died or lost; the collector takes them", r.Orphans, r.OrphanBytes))
	}
	if r.Ended > 0 {
		r.Checked = append(r.Checked, fmt.Sprintf("ends: %d chains ended, as their topics were deleted, and nothing is archived behind their ends", r.Ended))
	}
	if r.Went > 0 {
		r.NotChecked = append(r.NotChecked, fmt.Sprintf("%d offsets behind the ends: Kafka had them when the topics were last seen, and they went with them unarchived", r.Went))
	}
	if r.WentUnknown > 0 {
		r.NotChecked = append(r.NotChecked, fmt.Sprintf("what Kafka had behind the ends of %d chains: their last commits do not say how far the log went", r.WentUnknown))
	}
	if r.sharing > 0 {
		r.Checked = append(r.Checked, fmt.Sprintf("topic IDs: %d partitions have chains of several clusters under one topic ID, each held against its own objects; neither the index nor exports and replays can tell their records apart", r.sharing))
	}
	if r.Foreign > 0 {
		r.NotChecked = append(r.NotChecked, fmt.Sprintf("%d objects below %s whose names are none of Annals'", r.Foreign, schema.DataPrefix))
	}
}

// WriteText writes the report for people.
func (r *ArchiveReport) WriteText(w io.Writer) error {
	out := &lastingWriter{w: w}
	fmt.Fprintf(out, "%s: %s\n", r.Result, r.Note)
	for _, part := range []struct {
		head string
		list []ArchiveFinding
	}{{"found", r.Findings}, {"unknown", r.Unknown}} {
		if len(part.list) > 0 {
			fmt.Fprintln(out, part.head)
		}
		for _, f := range part.list {
			where := ""
			switch {
			case f.Topic != "" && f.Seq >= 0:
				where = fmt.Sprintf(" (%s/%d, commit %d)", f.Topic, f.Partition, f.Seq)
			case f.Topic != "":
				where = fmt.Sprintf(" (%s/%d)", f.Topic, f.Partition)
			}
			fmt.Fprintf(out, "  %q%s: %s\n", f.Key, where, f.What)
		}
	}
	if r.Omitted > 0 {
		fmt.Fprintf(out, "  and %d more\n", r.Omitted)
	}
	writeLines(out, "checked", r.Checked)
	writeLines(out, "not checked", r.NotChecked)
	return out.err
}

func writeLines(w io.Writer, head string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintln(w, head)
	}
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// WriteJSON writes the report for programs.
func (r *ArchiveReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }
