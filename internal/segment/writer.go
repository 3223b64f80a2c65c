package segment

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// Options say what a segment holds and how large its parts are.
type Options struct {
	Stream schema.Stream
	Branch int32

	// Rows is how many rows are expected; buffers are made for them. 0: unknown.
	Rows int

	// RowGroupBytes is the size of a row group before compression: the
	// writer's memory, and what a reader fetches at once. 0: 16 MiB.
	RowGroupBytes int64

	// PageBytes is the largest value page before compression, where one value
	// is not larger: what is read for one record. 0: 256 KiB.
	PageBytes int64

	// Rewrite names the rewrite that joins parts, 1 to 64 letters, digits and
	// hyphens: two that join the same rows make two files. It is needed with
	// more than one part, and not written with one.
	Rewrite string
}

// Summary is what a commit says of a segment.
type Summary struct {
	Counts       schema.Counts
	RecordRoot   schema.Digest
	SHA256       schema.Digest // of the file
	Bytes        int64
	MinTimestamp int64 // milliseconds since the Unix epoch, over all rows
	MaxTimestamp int64
	FirstOffset  int64
	LastOffset   int64
	LeaderEpochs []schema.LeaderEpoch
}

// Writer writes one segment. It holds at most one row group before compression
// (RowGroupBytes, or one record where that is larger, and some 200 bytes a
// row). After an error it is of no use until Reset. It belongs to one
// goroutine at a time and holds nothing that must be closed when it is given
// up.
type Writer struct {
	options Options
	sink    *sink
	file    *file.Writer // nil until the first row group is full
	staged  staging
	group   rowGroup
	hasher  *proof.Hasher
	tally   tally
	bytes   int64 // appended so far
	err     error
	closed  bool
}

// NewWriter begins a segment. Nothing is written before the first row group is
// full or Close is called. The caller closes w.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	writer := &Writer{hasher: proof.NewHasher()}
	if err := writer.Reset(w, o); err != nil {
		return nil, err
	}
	return writer, nil
}

// Reset begins another segment with the memory of the one before it, whatever
// became of that.
func (w *Writer) Reset(out io.Writer, o Options) error {
	switch {
	case o.Stream.Topic == "" || !utf8.ValidString(o.Stream.Topic):
		return schema.InvalidField("topic", "begin segment: topic %q is not a name", o.Stream.Topic)
	case o.Stream.TopicID.IsZero():
		return schema.InvalidField("topic_id", "begin segment of %s: the zero topic ID names no topic", o.Stream)
	case o.Stream.Partition < 0 || o.Branch < 0:
		return schema.InvalidField("partition", "begin segment of %s: negative partition or branch", o.Stream)
	case o.Rewrite != "" && !rewriteID.MatchString(o.Rewrite):
		return schema.InvalidField("rewrite", "begin segment of %s: rewrite %.40q is not a name", o.Stream, o.Rewrite)
	case o.RowGroupBytes < 0 || o.PageBytes < 0 || o.Rows < 0 || o.PageBytes > maxPage || o.RowGroupBytes > maxRowGroup:
		return schema.InvalidField("page_bytes", "begin segment of %s: sizes out of range", o.Stream)
	}
	if o.RowGroupBytes == 0 {
		o.RowGroupBytes = defaultRowGroupBytes
	}
	if o.PageBytes == 0 {
		o.PageBytes = defaultPageBytes
	}
	o.PageBytes = max(o.PageBytes, minPageBytes)
	w.options = o
	w.sink, w.file = newSink(out), nil
	w.staged.reset()
	w.staged.grow(min(o.Rows, rowGroupRows))
	// Levels stand in the page with the values: at most one bit a row.
	w.group = rowGroup{pageBytes: o.PageBytes - pageRows/8, scratch: w.group.scratch, valueCuts: w.group.valueCuts}
	w.tally, w.bytes = tally{seed: proof.NewSeed()}, 0
	w.err, w.closed = nil, false
	return nil
}

// BeginPart has the rows from now on belong to a part of their own, under a
// seed that they already had: their leaves stay, and so does the record root
// over them. It refuses, as Exhausted, more than MaxParts, and as Invalid
// a second part without Options.Rewrite. Before the first row it sets the seed
// of the first part.
func (w *Writer) BeginPart(seed proof.Seed) error {
	switch {
	case w.tally.rows() > 0 && w.options.Rewrite == "":
		return schema.InvalidField("rewrite", "begin part of %s: a segment of several parts names its rewrite", w.options.Stream)
	case len(w.tally.done)+1 >= MaxParts && w.tally.tree.Size() > 0:
		return schema.Errorf(schema.Exhausted, "begin part of %s: a segment holds %d", w.options.Stream, MaxParts)
	}
	w.tally.begin(seed)
	return nil
}

// Append adds one record and what was extracted from it; both are copied. It
// refuses, as Invalid, a record of another stream or branch, an offset that is
// not above the last, and an undecided record; as Exhausted, what exceeds the
// format's limits. After such a refusal the writer goes on.
func (w *Writer) Append(r *schema.Record, x *schema.Extraction) error {
	if w.err != nil {
		return w.err
	}
	timestampType, err := w.accept(r, x)
	if err != nil {
		return fmt.Errorf("append offset %d: %w", r.Offset, err)
	}
	size := stagedBytes(r, x)
	full := w.staged.rows == rowGroupRows || w.staged.bytes+size > w.options.RowGroupBytes
	if w.staged.rows > 0 && full {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.tally.add(r, w.hasher.Leaf(w.tally.seed, r))
	w.staged.append(r, x, timestampType, size)
	w.bytes += size
	return nil
}

func (w *Writer) accept(r *schema.Record, x *schema.Extraction) (uint8, error) {
	s := &w.options.Stream
	switch {
	case w.closed:
		return 0, schema.Errorf(schema.Invalid, "the segment is closed")
	case r.TopicID != s.TopicID || r.Topic != s.Topic || r.Partition != s.Partition || r.Branch != w.options.Branch:
		return 0, schema.Errorf(schema.Invalid, "the record is of %s/%d (%s) branch %d, the segment of %s branch %d",
			r.Topic, r.Partition, r.TopicID, r.Branch, s, w.options.Branch)
	case r.Offset < 0 || w.tally.rows() > 0 && r.Offset <= w.tally.last:
		return 0, schema.Errorf(schema.Invalid, "the last offset is %d: offsets must rise", w.tally.last)
	case r.Status != schema.Committed && r.Status != schema.Aborted && r.Status != schema.Control:
		return 0, schema.Errorf(schema.Invalid, "status %s has no place in a segment", r.Status)
	case w.tally.rows() == MaxRows || w.bytes+r.Bytes() > MaxBytes:
		return 0, schema.Errorf(schema.Exhausted, "the segment is full with %d rows of %d bytes", w.tally.rows(), w.bytes)
	}
	for i := range x.Causes {
		if k := x.Causes[i].Kind; k < schema.CauseEvent || k > schema.CauseCopy {
			return 0, schema.Errorf(schema.Invalid, "cause %q is of no known kind", x.Causes[i])
		}
	}
	index := -1
	for i, t := range timestampTypes() {
		if t == r.TimestampType {
			index = i
		}
	}
	if index < 0 {
		return 0, schema.Errorf(schema.Invalid, "%s is not known", r.TimestampType)
	}
	return uint8(index), checkSizes(r, x)
}

// Holds tells whether a segment can hold a record at all: Exhausted, with what
// of it is too large, if not.
func Holds(r *schema.Record) error {
	if r.Bytes()+8*int64(len(r.Headers)) <= MaxField && len(r.Headers) <= MaxHeaders {
		return nil // whatever of it is how large
	}
	return checkSizes(r, &schema.Extraction{})
}

func checkSizes(r *schema.Record, x *schema.Extraction) error {
	var names, values int64
	for i := range r.Headers {
		names += int64(len(r.Headers[i].Name)) + 4
		values += int64(len(r.Headers[i].Value)) + 4
	}
	what, n := "key", int64(len(r.Key))
	if v := int64(len(r.Value)); v > n {
		what, n = "value", v
	}
	if names > n {
		what, n = "header names", names
	}
	if values > n {
		what, n = "header values", values
	}
	if extracted := extractedBytes(x); extracted > n {
		what, n = "extracted fields", extracted
	}
	switch {
	case n > MaxField:
		return schema.Errorf(schema.Exhausted, "%s of %d bytes, a segment holds %d", what, n, MaxField)
	case len(r.Headers) > MaxHeaders:
		return schema.Errorf(schema.Exhausted, "%d headers, a segment holds %d", len(r.Headers), MaxHeaders)
	}
	return nil
}

// flush writes the staged rows as a row group. The first one decides how large
// the bloom filters are: by then the distinct values are counted, not guessed.
func (w *Writer) flush() error {
	if w.file == nil {
		if w.err = w.begin(); w.err != nil {
			return w.err
		}
	}
	out, err := w.file.AppendRowGroupChecked()
	if err != nil {
		w.err = fmt.Errorf("begin row group of %s: %w", w.options.Stream, err)
		return w.err
	}
	w.group.out, w.group.err = out, nil
	if err := w.group.write(&w.staged, w.options.Stream, w.options.Branch); err != nil {
		w.err = fmt.Errorf("write row group of %s: %w", w.options.Stream, err)
		return w.err
	}
	w.staged.reset()
	return nil
}

func (w *Writer) begin() error {
	root, err := fileSchema()
	if err != nil {
		return err
	}
	n := distinct{eventIDs: w.staged.eventID.distinct(), traceIDs: w.staged.traceID.distinct()}
	w.file, err = file.NewParquetWriterWithError(w.sink, root, file.WithWriterProps(properties(n)))
	if err != nil {
		return fmt.Errorf("begin segment of %s: %w", w.options.Stream, err)
	}
	return nil
}

// Close writes what is staged and the footer. It refuses, as Invalid, a
// segment without rows.
func (w *Writer) Close() (Summary, error) {
	switch {
	case w.err != nil:
		return Summary{}, w.err
	case w.closed:
		return Summary{}, schema.Errorf(schema.Invalid, "close segment of %s: it is closed", w.options.Stream)
	case w.tally.rows() == 0:
		return Summary{}, schema.Errorf(schema.Invalid, "close segment of %s: it has no rows", w.options.Stream)
	}
	if err := w.flush(); err != nil {
		return Summary{}, err
	}
	w.closed = true
	sha, err := w.finish()
	if err != nil {
		w.err = fmt.Errorf("close segment of %s: %w", w.options.Stream, err)
		return Summary{}, w.err
	}
	s := w.tally.summary()
	s.SHA256, s.Bytes = sha, w.sink.bytes
	return s, nil
}

func (w *Writer) finish() (schema.Digest, error) {
	s := w.tally.summary()
	footer := Footer{
		Stream: w.options.Stream, Branch: w.options.Branch, ExtractVersion: schema.ExtractVersion,
		Counts: s.Counts, FirstOffset: s.FirstOffset, LastOffset: s.LastOffset,
		MinTimestamp: s.MinTimestamp, MaxTimestamp: s.MaxTimestamp, LeaderEpochs: s.LeaderEpochs,
		RecordRoot: s.RecordRoot, Parts: w.tally.parts(), Rewrite: w.options.Rewrite,
	}
	text, err := footer.encode()
	if err != nil {
		return schema.Digest{}, err
	}
	if err := w.file.AppendKeyValueMetadata(keySegment, text); err != nil {
		return schema.Digest{}, err
	}
	if err := w.file.AppendKeyValueMetadata(keyDigest, strings.Repeat("0", hexDigest)); err != nil {
		return schema.Digest{}, err
	}
	w.sink.hold()
	if err := w.file.Close(); err != nil {
		return schema.Digest{}, err
	}
	return w.sink.release()
}

// The words of the status and timestamp type columns, by the index staged.

func statusWords() []parquet.ByteArray {
	words := make([]parquet.ByteArray, schema.Control+1)
	for s := schema.Undecided; s <= schema.Control; s++ {
		words[s] = parquet.ByteArray(s.String())
	}
	return words
}

func timestampTypes() [3]schema.TimestampType {
	return [3]schema.TimestampType{schema.NoTimestamp, schema.CreateTime, schema.LogAppendTime}
}

func timestampWords() []parquet.ByteArray {
	var words []parquet.ByteArray
	for _, t := range timestampTypes() {
		words = append(words, parquet.ByteArray(t.String()))
	}
	return words
}
