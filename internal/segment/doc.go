// Package segment writes and reads segments: one partition's contiguous range
// of offsets as a Parquet file, one row an offset, with the exact bytes of
// key, value and headers and a proof over them. It is the only place that
// knows Parquet.
//
// It promises that what is read is what was appended, byte for byte, null
// apart from empty, headers with their order and duplicates; that any Parquet
// reader reads the files; and that damaged or hostile bytes give an error of
// kind Corrupt, in bounded memory, without a panic. It does not store, name or
// commit segments, and it does not extract: what was extracted comes with the
// record.
//
// A Writer belongs to one goroutine at a time. A Reader is safe for concurrent
// use; a Row is valid until the iteration goes on. Decoding happens in the
// calling goroutine; only ranges of bytes are fetched by others, which end
// before the call returns.
//
// Where to look:
//
//	columns.go    the columns, their encodings, arrow's properties
//	columnset.go  which columns a reader asks for
//	limits.go     every bound of the format and of this implementation
//	writer.go     Writer: accept a record, cut row groups, finish the file
//	staging.go    the row group being filled, column by column
//	rowgroup.go   pages: where they are cut, and how they are written
//	zstd.go       how pages are compressed
//	table.go      flat Parquet files that are no segments
//	sink.go       counts, hashes, and puts the file's digest into its footer
//	footer.go     what a segment says of itself
//	parts.go      ranges of rows that were segments of their own
//	tally.go      counts and tree over rows, for the writer and for Recount
//	row.go        Row and its copy
//	reader.go     Reader: open a file by its end
//	index.go      the page index: where pages stand, which offsets they hold
//	rows.go       Rows, Select, Lookup, MayHold
//	proven.go     Proven: rows of a range, held against the hashes of their commit
//	scan.go       fetch, vet and decode rows of a row group
//	cursor.go     one column, row by row
//	window.go     ranges: join them, fetch them, read from them
//	bytepages.go  pages of texts and bytes, decoded; those that a reader's caller keeps
//	page.go       what must hold of a page before arrow decodes it
//	thrift.go     Thrift structures, walked before arrow builds them
//	verify.go     Verify and Recount
//
// The byte-level description is docs/formats/segment.md.
package segment
