package segment

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/fx-risk-ai/annals/schema"
)

// Rows yields the rows with offsets in [from, to), in order. Row groups and
// pages outside are not read; of each row group the needed bytes are fetched
// at once, in few ranges. columns limits what is fetched and decoded, all
// given together; none means All. A row is valid until the next one: Clone
// keeps it. After an error nothing follows.
func (r *Reader) Rows(ctx context.Context, from, to int64, columns ...Columns) iter.Seq2[*Row, error] {
	return r.rows(ctx, from, to, nil, chosen(columns))
}

// RowsKept is Rows whose keys, values and headers' values refer to pages that stay
// until kept gets them back: what a row is read for need not be copied. Where few
// rows of many are wanted a page is much for each. The row itself, and its list of
// headers, are valid until the next one, as ever.
func (r *Reader) RowsKept(ctx context.Context, from, to int64, kept *Kept, columns ...Columns) iter.Seq2[*Row, error] {
	return r.rows(ctx, from, to, kept, chosen(columns))
}

// Select yields the rows at some offsets, in order and each once; offsets that
// the segment does not have are left out. It reads the pages they are in, of
// each row group in one round. Otherwise it is as Rows.
func (r *Reader) Select(ctx context.Context, offsets []int64, columns ...Columns) iter.Seq2[*Row, error] {
	sorted := slices.Compact(slices.Sorted(slices.Values(offsets)))
	return r.scan(chosen(columns), func(s *scan, yield func(*Row, error) bool) error {
		for g := range r.groups {
			here, after := r.groups[g].split(sorted)
			sorted = after
			ranges := r.groups[g].pagesOf(here)
			if len(ranges) == 0 {
				continue
			}
			if more, err := s.some(ctx, g, ranges, here, yield); err != nil || !more {
				return inGroup(g, err)
			}
		}
		return nil
	})
}

// Lookup returns the row at an offset, all memory its own; NotFound if the
// segment has none there. It fetches a page or two of each column, in one
// round.
func (r *Reader) Lookup(ctx context.Context, offset int64) (*Row, error) {
	for row, err := range r.Select(ctx, []int64{offset}) {
		if err != nil {
			return nil, err
		}
		return row.Clone(), nil
	}
	return nil, schema.Errorf(schema.NotFound, "look up offset %d of %s: the segment has no such row", offset, r.footer.Stream)
}

func chosen(columns []Columns) Columns {
	if len(columns) == 0 {
		return All
	}
	wanted := Columns(0)
	for _, c := range columns {
		wanted |= c & All
	}
	return wanted
}

func (r *Reader) rows(ctx context.Context, from, to int64, kept *Kept, columns Columns) iter.Seq2[*Row, error] {
	return r.scan(columns, func(s *scan, yield func(*Row, error) bool) error {
		s.kept = kept
		for g := range r.groups {
			rows := r.groups[g].rowRange(from, to)
			if rows.from == rows.to {
				continue
			}
			if more, err := s.all(ctx, g, rows, from, to, yield); err != nil || !more {
				return inGroup(g, err)
			}
		}
		return nil
	})
}

// scan runs one iteration with a scan of its own, and yields its error last.
func (r *Reader) scan(columns Columns, run func(*scan, func(*Row, error) bool) error) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		s, err := r.newScan(columns)
		if err == nil {
			defer s.end()
			err = run(s, yield)
		}
		if err != nil {
			yield(nil, fmt.Errorf("read segment of %s: %w", r.footer.Stream, err))
		}
	}
}

func inGroup(g int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("row group %d: %w", g, err)
}

// all yields the rows of a range with offsets in [from, to). It returns false
// when the consumer has enough.
func (s *scan) all(ctx context.Context, g int, rows rowRange, from, to int64, yield func(*Row, error) bool) (bool, error) {
	fetched, err := s.fetch(ctx, g, []rowRange{rows})
	if err != nil {
		return false, err
	}
	if err := s.begin(fetched, fetched.plans[0], rows); err != nil {
		return false, err
	}
	for {
		if s.left%readBatch == 0 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		found, err := s.seek(from)
		if err != nil || !found || s.row.Offset >= to {
			return true, err
		}
		if err := s.decode(); err != nil {
			return false, err
		}
		if !yield(&s.row, nil) {
			return false, nil
		}
	}
}

// some yields the rows at offsets, which are all in the given ranges of rows.
func (s *scan) some(ctx context.Context, g int, ranges []rowRange, offsets []int64, yield func(*Row, error) bool) (bool, error) {
	fetched, err := s.fetch(ctx, g, ranges)
	if err != nil {
		return false, err
	}
	for i, rows := range ranges {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := s.begin(fetched, fetched.plans[i], rows); err != nil {
			return false, err
		}
		for len(offsets) > 0 {
			found, err := s.seek(offsets[0])
			if err != nil {
				return false, err
			}
			if !found {
				break // in a later range, or nowhere
			}
			if s.row.Offset > offsets[0] {
				offsets = offsets[1:] // the segment does not have it
				continue
			}
			if err := s.decode(); err != nil {
				return false, err
			}
			if offsets = offsets[1:]; !yield(&s.row, nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

// MayHold tells whether any row's column (event_id or trace_id) may hold an
// id: false is certain, true is wrong for about one id in a hundred. Where
// there is no filter, or it cannot be read, the answer is true; the read that
// follows says why. It fetches the filters of the segment, about 1.2 bytes a
// distinct value.
func (r *Reader) MayHold(column, id string) bool {
	at := -1
	for c := range r.columns {
		if r.columns[c].bloom && r.columns[c].path == column {
			at = c
		}
	}
	if at < 0 {
		return true
	}
	for g := range r.groups {
		may, err := r.groupMayHold(g, at, id)
		if may || err != nil {
			return true
		}
	}
	return false
}

func (r *Reader) groupMayHold(g, c int, id string) (may bool, err error) {
	defer recoverCorrupt(&err)
	meta, err := r.chunk(g, c)
	if err != nil {
		return true, err
	}
	if meta.BloomFilterOffset() == 0 {
		return r.notAllNull(meta), nil
	}
	place := span{meta.BloomFilterOffset(), meta.BloomFilterOffset() + int64(meta.BloomFilterLength())}
	if place.start < 4 || place.bytes() < 1 || place.bytes() > maxBloom || place.end > r.size {
		return true, schema.Errorf(schema.Corrupt, "the bloom filter is damaged")
	}
	w, err := fetch(context.Background(), r.source, []span{place})
	if err != nil {
		return true, err
	}
	header, err := checkThrift(w.data[0])
	if err != nil || header == len(w.data[0]) {
		return true, schema.Errorf(schema.Corrupt, "the bloom filter is damaged")
	}
	arrow, err := r.arrow(w)
	if err != nil {
		return true, err
	}
	filters, err := arrow.GetBloomFilterReader().RowGroup(g)
	if err != nil {
		return true, schema.Errorf(schema.Corrupt, "the bloom filter is damaged: %w", err)
	}
	may = true
	err = filters.VisitColumnBloomFilter(c, func(f metadata.BloomFilter) error {
		may = f.CheckHash(f.Hasher().Sum64([]byte(id)))
		return nil
	})
	return may || err != nil, err
}

// notAllNull tells whether a chunk without a filter has any value.
func (r *Reader) notAllNull(meta *metadata.ColumnChunkMetaData) bool {
	stats, err := meta.Statistics()
	return err != nil || stats == nil || !stats.HasNullCount() || stats.NullCount() < meta.NumValues()
}
