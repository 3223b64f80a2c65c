package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/fx-risk-ai/annals/schema"
)

// Reader reads one segment. Opening it reads the file's end, which holds the
// footer and the page index; rows are fetched as they are asked for, where they
// were not read with the end. It is safe for concurrent use and holds nothing that
// must be closed.
type Reader struct {
	source  io.ReaderAt
	size    int64
	tail    *window                // from the first page index to the file's end
	ahead   atomic.Pointer[window] // what was read before that; nil: nothing, or let go
	meta    *metadata.FileMetaData
	columns [numColumns]column
	groups  []groupIndex
	footer  Footer
	digest  string // as the footer has it, in hex
}

// Open reads a segment's footer and page index: one read of the last 128 KiB,
// and one more where they are larger. Errors are Corrupt when the bytes are
// not a segment of this version, and whatever r returned when it failed. r
// must stay usable as long as the Reader; ctx is for this call only.
func Open(ctx context.Context, r io.ReaderAt, size int64) (*Reader, error) {
	return open(ctx, r, size, readAhead)
}

// OpenForRows is Open for who reads rows next: a file whose other bytes would be
// read as one range with its end is read whole, so that its rows cost no more
// requests.
func OpenForRows(ctx context.Context, r io.ReaderAt, size int64) (*Reader, error) {
	ahead := int64(readAhead)
	if size <= readAhead+readGap {
		ahead = size
	}
	return open(ctx, r, size, ahead)
}

func open(ctx context.Context, r io.ReaderAt, size, ahead int64) (_ *Reader, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open segment: %w", err)
		}
	}()
	defer recoverCorrupt(&err)
	reader := &Reader{source: r, size: size}
	footer, err := reader.readFooter(ctx, ahead)
	if err != nil {
		return nil, err
	}
	if err := reader.parse(footer.data); err != nil {
		return nil, err
	}
	if err := reader.readIndex(ctx, footer); err != nil {
		return nil, err
	}
	return reader, nil
}

// Trim lets go of what was read ahead of the page index and the footer, for who
// keeps a Reader whose rows are not read soon.
func (r *Reader) Trim() { r.ahead.Store(nil) }

// IndexBytes is what the page index and the footer take in the file; they are kept,
// and what they say besides.
func (r *Reader) IndexBytes() int64 { return r.tail.spans[0].bytes() }

// Footer returns what the segment says of itself. Open has checked that it is
// whole; only Verify checks that it is true.
func (r *Reader) Footer() Footer { return r.footer }

// ending is the end of a file: what was read of it, and the Parquet footer.
type ending struct {
	window *window
	start  int64 // of the Parquet footer in the file
	data   []byte
}

func (r *Reader) readFooter(ctx context.Context, ahead int64) (*ending, error) {
	const magic = "PAR1"
	if r.size < int64(len(magic))+8 {
		return nil, schema.Errorf(schema.Corrupt, "%d bytes are no segment", r.size)
	}
	last := span{max(0, r.size-ahead), r.size}
	w, err := fetch(ctx, r.source, []span{last})
	if err != nil {
		return nil, err
	}
	end := w.data[0][len(w.data[0])-8:]
	if string(end[4:]) != magic {
		return nil, schema.Errorf(schema.Corrupt, "the file does not end as Parquet does")
	}
	length := int64(binary.LittleEndian.Uint32(end))
	start := r.size - 8 - length
	if length > maxFooter || start < int64(len(magic)) {
		return nil, schema.Errorf(schema.Corrupt, "a footer of %d bytes, at most %d and less than the file", length, maxFooter)
	}
	if start < last.start {
		if w, err = r.extend(ctx, w, start); err != nil {
			return nil, err
		}
	}
	data, err := w.slice(span{start, r.size - 8})
	return &ending{window: w, start: start, data: data}, err
}

// extend reads what is missing from start to a window that reaches the end.
func (r *Reader) extend(ctx context.Context, w *window, start int64) (*window, error) {
	more, err := fetch(ctx, r.source, []span{{start, w.spans[0].start}})
	if err != nil {
		return nil, err
	}
	joined := append(more.data[0], w.data[0]...)
	return &window{spans: []span{{start, r.size}}, data: [][]byte{joined}}, nil
}

// split parts what was read into what is kept and what was read ahead of it. The
// bytes of a file in memory are its own; others are copied, so that they do not hold
// on to what Trim lets go of.
func (r *Reader) split(read *window, at int64) {
	begin, data := read.spans[0].start, read.data[0]
	kept := data[at-begin:]
	if at > begin {
		r.ahead.Store(&window{spans: []span{{begin, at}}, data: [][]byte{data[: at-begin : at-begin]}})
		if _, held := r.source.(Held); !held {
			kept = bytes.Clone(kept)
		}
	}
	r.tail = &window{spans: []span{{at, r.size}}, data: [][]byte{kept}}
}

func (r *Reader) parse(footer []byte) error {
	if n, err := checkThrift(footer); err != nil || n != len(footer) {
		return schema.Errorf(schema.Corrupt, "the Parquet footer is damaged")
	}
	meta, err := metadata.NewFileMetaData(footer, nil)
	if err != nil {
		return schema.Errorf(schema.Corrupt, "parse Parquet footer: %w", err)
	}
	meta.SetSourceFileSize(r.size)
	want, err := fileSchema()
	if err != nil {
		return err
	}
	if expected := pqschema.NewSchema(want); !meta.Schema.Equals(expected) {
		return schema.Errorf(schema.Corrupt, "the columns are not those of a segment")
	}
	r.meta, r.columns = meta, plan()
	for i := range r.columns {
		r.columns[i].maxDef = meta.Schema.Column(i).MaxDefinitionLevel()
		r.columns[i].maxRep = meta.Schema.Column(i).MaxRepetitionLevel()
		r.columns[i].isBytes = meta.Schema.Column(i).PhysicalType() == parquet.Types.ByteArray
	}
	own, digest := meta.KeyValueMetadata().FindValue(keySegment), meta.KeyValueMetadata().FindValue(keyDigest)
	if own == nil || digest == nil || len(*digest) != hexDigest {
		return schema.Errorf(schema.Corrupt, "the footer has no %s or %s", keySegment, keyDigest)
	}
	parsed, err := parseFooter(*own)
	if err != nil {
		return err
	}
	r.footer, r.digest = *parsed, *digest
	if meta.NumRows != r.footer.Counts.Rows() {
		return schema.Errorf(schema.Corrupt, "%d rows in the file, %d by the footer", meta.NumRows, r.footer.Counts.Rows())
	}
	return nil
}

// readIndex makes sure that the page index is in memory and checks, for every
// chunk of every row group, what later reads rely on.
func (r *Reader) readIndex(ctx context.Context, end *ending) error {
	start := end.start
	var rows int64
	for g := range r.meta.RowGroups {
		rg := r.meta.RowGroup(g)
		if rg.NumColumns() != numColumns || rg.NumRows() < 1 || rg.NumRows() > MaxRows {
			return schema.Errorf(schema.Corrupt, "row group %d is damaged", g)
		}
		rows += rg.NumRows()
		for c := range numColumns {
			at, ok := rg.OffsetIndexLocation(c)
			if !ok || at.Offset < 4 || at.Length <= 0 || at.Offset+int64(at.Length) > end.start {
				return schema.Errorf(schema.Corrupt, "row group %d, column %s: no page index", g, r.columns[c].path)
			}
			start = min(start, at.Offset)
			if at, ok := rg.ColumnIndexLocation(c); ok {
				if at.Offset < 4 || at.Length <= 0 || at.Offset+int64(at.Length) > end.start {
					return schema.Errorf(schema.Corrupt, "row group %d, column %s: damaged page index", g, r.columns[c].path)
				}
				start = min(start, at.Offset)
			}
		}
	}
	if rows != r.footer.Counts.Rows() {
		return schema.Errorf(schema.Corrupt, "%d rows in the row groups, %d by the footer", rows, r.footer.Counts.Rows())
	}
	if end.start-start > maxPageIndex {
		return schema.Errorf(schema.Corrupt, "a page index of %d bytes, at most %d", end.start-start, maxPageIndex)
	}
	read := end.window
	if start < read.spans[0].start {
		var err error
		if read, err = r.extend(ctx, read, start); err != nil {
			return err
		}
	}
	r.split(read, start)
	return r.indexGroups()
}

// arrow gives a file reader over a window; it decodes in the calling
// goroutine and reads a page at a time.
func (r *Reader) arrow(w *window) (*file.Reader, error) {
	properties := parquet.NewReaderProperties(nil)
	properties.BufferedStreamEnabled = true
	properties.MaxUncompressedPageSize = maxPage
	properties.MaxCompressedPageSize = maxPage + maxZstdGrowth
	reader, err := file.NewParquetReader(w, file.WithReadProps(properties), file.WithMetadata(r.meta))
	if err != nil {
		return nil, schema.Errorf(schema.Corrupt, "open row groups: %w", err)
	}
	return reader, nil
}

// chunk is where one column chunk's bytes stand, checked against the file.
func (r *Reader) chunk(g, c int) (*metadata.ColumnChunkMetaData, error) {
	meta, err := r.meta.RowGroup(g).ColumnChunk(c)
	if err != nil {
		return nil, schema.Errorf(schema.Corrupt, "row group %d, column %s: %w", g, r.columns[c].path, err)
	}
	first, bytes := meta.DataPageOffset(), meta.TotalCompressedSize()
	if meta.HasDictionaryPage() {
		first = min(first, meta.DictionaryPageOffset())
	}
	path := meta.PathInSchema().String()
	if first < 4 || bytes <= 0 || bytes > r.size || first+bytes > r.size || path != r.columns[c].path ||
		meta.NumValues() < r.meta.RowGroup(g).NumRows() || meta.Compression() != compress.Codecs.Zstd ||
		meta.CryptoMetadata() != nil || meta.Type() != r.meta.Schema.Column(c).PhysicalType() {
		return nil, schema.Errorf(schema.Corrupt, "row group %d, column %s: the chunk is damaged", g, r.columns[c].path)
	}
	return meta, nil
}

// recoverCorrupt turns a panic while untrusted bytes are decoded into an error.
func recoverCorrupt(err *error) {
	if fault := recover(); fault != nil {
		*err = schema.Errorf(schema.Corrupt, "decode segment: %v", fault)
	}
}
