package custody

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// contents checks what the files say, after their hashes agreed: the scope
// names every file, the rows are the lines, and both lie where the commits say.
func (v *verifier) contents(ctx context.Context) error {
	if v.sizes[scopeFile] > maxScopeBytes {
		v.report.find(Tampered, scopeFile, "has %d bytes, at most %d", v.sizes[scopeFile], maxScopeBytes)
		return nil
	}
	raw, err := v.read(scopeFile)
	if errors.Is(err, os.ErrNotExist) {
		v.report.find(Unverifiable, scopeFile, "is missing: this is no export of Annals")
		return nil
	}
	if err != nil {
		return err
	}
	s, err := parseScope(raw)
	if err != nil {
		result := Tampered
		if errors.Is(err, errOtherFormat) {
			result = Unverifiable
		}
		v.report.find(result, scopeFile, "%v", err)
		return nil
	}
	v.report.ID, v.report.ofTrace = s.ID, s.Query.TraceID != nil
	v.checkScope(s)
	if v.report.Result != OK {
		return nil
	}
	return v.checkRecords(ctx, s)
}

func (v *verifier) read(name string) ([]byte, error) {
	return v.root.ReadFile(name)
}

// checkScope holds the scope against the list of files and against itself.
func (v *verifier) checkScope(s *scope) {
	id, err := exportID(s.Query, s.Streams)
	if err != nil || id != s.ID || id != infoValue(v.tags[infoFile], "Annals-Export-ID") {
		v.report.find(Tampered, scopeFile, "its id is not that of the query and the ledger's state")
	}
	if _, err := s.Query.window(); err != nil {
		v.report.find(Tampered, scopeFile, "%v", err)
	}
	named := map[string]bool{scopeFile: true, linesFile: true, reportFile: true}
	var selected int64
	for i := range s.Streams {
		stream := &s.Streams[i]
		if i > 0 && compareStreams(s.Streams[i-1].stream(), stream.stream()) >= 0 {
			v.report.find(Tampered, scopeFile, "its partitions are out of order")
		}
		if got := stream.Rows.Rows() + stream.GapOffsets + stream.Purged; got != stream.ArchivedTo-stream.ArchivedFrom {
			v.report.find(Tampered, scopeFile, "the statement on %s does not add up", stream.stream())
		}
		for _, g := range stream.Gaps {
			if (g.Class == schema.GapUnreadable) != (g.Object != nil) {
				v.report.find(Tampered, scopeFile, "the gap at %d of %s names raw bytes, or none, against its class", g.From, stream.stream())
			}
		}
		var here int64
		for _, f := range stream.Files {
			here += f.Records
			named[f.Path] = true
			if f.Path != recordsFile(stream.stream(), f.Branch) {
				v.report.find(Tampered, scopeFile, "file %q is not where the records of %s are", f.Path, stream.stream())
			}
			for _, source := range f.Sources {
				named[source.Commit] = true
			}
		}
		if here != stream.Selected {
			v.report.find(Tampered, scopeFile, "the files of %s have %d records, it says %d", stream.stream(), here, stream.Selected)
		}
		selected += here
	}
	if selected != s.Records {
		v.report.find(Tampered, scopeFile, "its partitions have %d records, it says %d", selected, s.Records)
	}
	v.checkNames(named)
}

// checkNames finds files that the scope does not name, or names in vain.
func (v *verifier) checkNames(named map[string]bool) {
	var odd []string
	for name := range v.sizes {
		if _, isTag := v.tags[name]; !isTag && !named[name] {
			odd = append(odd, name)
		}
	}
	slices.Sort(odd)
	for _, name := range odd {
		v.report.find(Tampered, name, "%s does not name it", scopeFile)
	}
	odd = odd[:0]
	for name := range named {
		if _, there := v.sizes[name]; !there {
			odd = append(odd, name)
		}
	}
	slices.Sort(odd)
	for _, name := range odd {
		v.report.find(Tampered, scopeFile, "names %q, which is in no manifest", name)
	}
}

// checkRecords goes through all rows and lines side by side.
func (v *verifier) checkRecords(ctx context.Context, s *scope) (err error) {
	f, err := v.root.Open(linesFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	window, err := s.Query.window()
	if err != nil {
		return err
	}
	w := walk{verifier: v, window: window, lines: bufio.NewReaderSize(f, 1<<20), check: newLineChecker(), hasher: proof.NewHasher()}
	for i := range s.Streams {
		for _, file := range s.Streams[i].Files {
			if err := w.file(ctx, &s.Streams[i], &file); err != nil || v.report.Result != OK {
				return err
			}
		}
	}
	if _, err := w.lines.ReadByte(); err != io.EOF {
		if err != nil {
			return err
		}
		v.report.find(Tampered, linesFile, "has lines after the last record")
	}
	if w.bytes != s.Bytes {
		v.report.find(Tampered, scopeFile, "its records have %d bytes, it says %d", w.bytes, s.Bytes)
	}
	v.tell(true)
	return nil
}

// walk is where checkRecords is.
type walk struct {
	*verifier
	window window
	lines  *bufio.Reader
	check  *lineChecker
	raw    []byte // of the line
	number int64  // of lines read
	bytes  int64
	hasher *proof.Hasher
}

// file checks one Parquet file: by itself, against its lines and against the
// commits of its sources.
func (w *walk) file(ctx context.Context, s *streamScope, f *fileScope) (err error) {
	at, err := w.root.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.Close()) }()
	tampered := func(err error) error {
		if schema.KindOf(err) != schema.Corrupt {
			return err
		}
		w.report.find(Tampered, f.Path, "%v", err)
		return nil
	}
	summary, err := segment.Recount(ctx, at, w.sizes[f.Path])
	if err != nil {
		return tampered(err)
	}
	reader, err := segment.Open(ctx, at, w.sizes[f.Path])
	if err != nil {
		return tampered(err)
	}
	footer := reader.Footer()
	switch {
	case footer.Stream != s.stream() || footer.Branch != f.Branch:
		w.report.find(Tampered, f.Path, "holds records of %s branch %d, %s says %s branch %d", footer.Stream, footer.Branch, scopeFile, s.stream(), f.Branch)
		return nil
	case summary.Counts.Rows() != f.Records || summary.FirstOffset != f.FirstOffset || summary.LastOffset != f.LastOffset:
		w.report.find(Tampered, f.Path, "holds %d rows with offsets %d to %d, %s says otherwise",
			summary.Counts.Rows(), summary.FirstOffset, summary.LastOffset, scopeFile)
		return nil
	}
	sources, ok, err := w.sources(s, f)
	if err != nil || !ok {
		return err
	}
	for row, err := range reader.Rows(ctx, 0, math.MaxInt64) {
		if err != nil {
			return tampered(err)
		}
		if ok, err := w.row(row, f, &sources); err != nil || !ok {
			return err
		}
	}
	for i := range sources {
		w.finish(&sources[i], f)
	}
	return nil
}

// row checks one row; false ends the walk with a finding.
func (w *walk) row(row *segment.Row, f *fileScope, sources *[]openSource) (bool, error) {
	for len(*sources) > 0 && row.Offset >= (*sources)[0].Until {
		w.finish(&(*sources)[0], f)
		*sources = (*sources)[1:]
	}
	switch {
	case len(*sources) == 0 || row.Offset < (*sources)[0].Base:
		w.report.find(Tampered, f.Path, "offset %d lies in the range of no commit", row.Offset)
	case row.Status != schema.Committed:
		w.report.find(Tampered, f.Path, "offset %d is %s, only committed records were asked for", row.Offset, row.Status)
	case !w.window.has(row.Timestamp):
		w.report.find(Tampered, f.Path, "offset %d has timestamp %d, outside the range that was asked for", row.Offset, row.Timestamp)
	case !(*sources)[0].covers(row.Timestamp):
		w.report.find(Tampered, f.Path, "offset %d has timestamp %d, outside those of its commit", row.Offset, row.Timestamp)
	}
	if w.report.Result != OK {
		return false, nil
	}
	raw, err := w.next(maxLine(row))
	if err != nil && !errors.Is(err, errLine) {
		return false, err
	}
	if err == nil {
		err = w.check.check(raw, row)
	}
	if err != nil {
		w.report.find(Tampered, linesFile, "line %d is not what %s holds at offset %d: %v", w.number, f.Path, row.Offset, err)
		return false, nil
	}
	source := &(*sources)[0]
	source.rows++
	if fault := source.leaf(w.hasher, &row.Record); fault != "" {
		w.report.find(Tampered, f.Path, "offset %d %s", row.Offset, fault)
		return false, nil
	}
	w.bytes += row.Bytes()
	w.report.Records++
	w.at.Records = w.report.Records
	w.tell(w.report.Records%progressRecords == 0)
	return true, nil
}

// errLine: there is no such line where one has to be.
var errLine = errors.New("no line")

// next reads a line of about limit bytes at most. It is valid until the next.
func (w *walk) next(limit int64) ([]byte, error) {
	w.number++
	w.raw = w.raw[:0]
	for {
		part, err := w.lines.ReadSlice('\n')
		w.raw = append(w.raw, part...)
		switch {
		case err == nil:
			return w.raw, nil
		case err == io.EOF:
			return nil, fmt.Errorf("%w: the file ends there", errLine)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read %s: %w", linesFile, err)
		case int64(len(w.raw)) > limit:
			return nil, fmt.Errorf("%w: it is longer than the record's can be", errLine)
		}
	}
}

// openSource is a source with what its commit says and what was found of it.
type openSource struct {
	*source
	commit *schema.Commit
	rows   int64
	parts  []openPart // that have their seed or not; of a segment that was not joined, the whole
}

func (s *openSource) covers(timestamp int64) bool {
	return timestamp >= s.commit.Segment.MinTimestamp && timestamp <= s.commit.Segment.MaxTimestamp
}

// sources reads the commits of a file's sources and holds both together.
func (w *walk) sources(s *streamScope, f *fileScope) (open []openSource, ok bool, err error) {
	for i := range f.Sources {
		source := &f.Sources[i]
		if w.sizes[source.Commit] > schema.MaxCommitBytes {
			w.report.find(Tampered, source.Commit, "is larger than any commit")
			return nil, false, nil
		}
		raw, err := w.read(source.Commit)
		if err != nil {
			return nil, false, err
		}
		c, err := schema.ParseCommit(raw)
		if err != nil {
			w.report.find(Tampered, source.Commit, "%v", err)
			return nil, false, nil
		}
		fault := ""
		switch {
		case schema.CommitDigest(raw) != source.CommitSHA256:
			fault = "is another commit than " + scopeFile + " names"
		case c.Stream() != s.stream() || c.Branch < f.Branch || commitFile(c) != source.Commit:
			fault = "is of another stream or branch than its name and " + scopeFile + " say"
		case c.Segment == nil || c.Base != source.Base || source.Until > c.Next || c.Seq > s.Head.Seq:
			fault = "puts no segment in the place that " + scopeFile + " says"
		case i > 0 && source.Base < f.Sources[i-1].Until:
			fault = "overlaps the commit before it"
		case source.Seed != nil && (source.Until != c.Next || source.Records != c.Records.Rows()):
			fault = "has other rows than " + scopeFile + " says"
		default:
			fault = source.checkParts(c)
		}
		if fault != "" {
			w.report.find(Tampered, source.Commit, "%s", fault)
			return nil, false, nil
		}
		open = append(open, openSource{source: source, commit: c, parts: openParts(source, c)})
	}
	return open, true, nil
}

// finish compares what was found of a source with what was said.
func (w *walk) finish(s *openSource, f *fileScope) {
	if s.rows != s.Records {
		w.report.find(Tampered, f.Path, "has %d rows of %s, %s says %d", s.rows, s.Commit, scopeFile, s.Records)
		return
	}
	for i := range s.parts {
		p := &s.parts[i]
		switch {
		case p.Seed == nil:
		case p.tree.Size() != p.Rows || p.tree.Root() != p.RecordRoot:
			w.report.find(Tampered, f.Path, "the rows of %s from offset %d give record root %s, it should be %s", s.Commit, p.FirstOffset, p.tree.Root(), p.RecordRoot)
		default:
			w.report.Tied += p.Rows
		}
	}
}
