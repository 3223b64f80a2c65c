package segment

import (
	"encoding/binary"
	"sort"

	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/fx-risk-ai/annals/schema"
)

// groupIndex is what is known of a row group before any of it is read: its
// rows, and for each page of the offset column the rows and offsets in it.
// The writer cuts value pages at the same rows.
type groupIndex struct {
	rows  int64
	pages []offsetPage
}

type offsetPage struct {
	firstRow, rows int64
	min, max       int64 // offsets
}

// rowRange gives the rows of the pages that may hold offsets in [from, to). It
// is empty when none does.
func (g *groupIndex) rowRange(from, to int64) rowRange {
	first := sort.Search(len(g.pages), func(i int) bool { return g.pages[i].max >= from })
	last := sort.Search(len(g.pages), func(i int) bool { return g.pages[i].min >= to })
	if first >= last {
		return rowRange{}
	}
	return rowRange{g.pages[first].firstRow, g.pages[last-1].firstRow + g.pages[last-1].rows}
}

// split parts sorted offsets into those that can be in this row group and
// those above it.
func (g *groupIndex) split(offsets []int64) (here, after []int64) {
	low := sort.Search(len(offsets), func(i int) bool { return offsets[i] >= g.pages[0].min })
	high := sort.Search(len(offsets), func(i int) bool { return offsets[i] > g.pages[len(g.pages)-1].max })
	return offsets[low:high], offsets[high:]
}

// pagesOf gives the rows of the pages that may hold sorted offsets; pages that
// follow one another make one range.
func (g *groupIndex) pagesOf(offsets []int64) []rowRange {
	var out []rowRange
	for _, offset := range offsets {
		rows := g.rowRange(offset, offset+1)
		last := len(out) - 1
		switch {
		case rows.from == rows.to: // between two pages
		case last >= 0 && rows.from <= out[last].to:
			out[last].to = max(out[last].to, rows.to)
		default:
			out = append(out, rows)
		}
	}
	return out
}

// pageSpot is where one data page stands, and its rows.
type pageSpot struct {
	span
	firstRow, rows int64
}

// indexGroups reads the offset column's page index of every row group and
// checks that rows and offsets rise through the file.
func (r *Reader) indexGroups() error {
	arrow, err := r.arrow(r.tail)
	if err != nil {
		return err
	}
	before := r.footer.FirstOffset - 1
	for g := range r.meta.RowGroups {
		index, err := arrow.GetPageIndexReader().RowGroup(g)
		if err != nil || index == nil {
			return schema.Errorf(schema.Corrupt, "row group %d has no page index: %w", g, err)
		}
		spots, err := r.pageSpots(index, g, colOffset)
		if err != nil {
			return err
		}
		group := groupIndex{rows: r.meta.RowGroup(g).NumRows()}
		mins, maxs, err := r.offsetBounds(index, g, len(spots))
		if err != nil {
			return err
		}
		for i, spot := range spots {
			p := offsetPage{firstRow: spot.firstRow, rows: spot.rows, min: mins[i], max: maxs[i]}
			if p.min <= before || p.max-p.min < p.rows-1 {
				return schema.Errorf(schema.Corrupt, "row group %d: offsets do not rise", g)
			}
			before = p.max
			group.pages = append(group.pages, p)
		}
		r.groups = append(r.groups, group)
	}
	if first := r.groups[0].pages[0].min; first != r.footer.FirstOffset || before != r.footer.LastOffset {
		return schema.Errorf(schema.Corrupt, "offsets %d–%d in the index, %d–%d by the footer",
			first, before, r.footer.FirstOffset, r.footer.LastOffset)
	}
	return nil
}

// pageSpots reads one chunk's offset index: pages follow one another within
// the chunk, in bytes and in rows, and hold all its rows.
func (r *Reader) pageSpots(index *metadata.RowGroupPageIndexReader, g, c int) ([]pageSpot, error) {
	damaged := schema.Errorf(schema.Corrupt, "row group %d, column %s: damaged page index", g, r.columns[c].path)
	at, _ := r.meta.RowGroup(g).OffsetIndexLocation(c)
	if err := r.checkIndex(at); err != nil {
		return nil, err
	}
	meta, err := r.chunk(g, c)
	if err != nil {
		return nil, err
	}
	offsets, err := index.GetOffsetIndex(c)
	if err != nil || offsets == nil {
		return nil, damaged
	}
	rows := r.meta.RowGroup(g).NumRows()
	locations := offsets.GetPageLocations()
	spots := make([]pageSpot, len(locations))
	place := meta.DataPageOffset()
	for i, l := range locations {
		end := rows
		if i+1 < len(locations) {
			end = locations[i+1].FirstRowIndex
		}
		spot := pageSpot{
			span:     span{l.Offset, l.Offset + int64(l.CompressedPageSize)},
			firstRow: l.FirstRowIndex, rows: end - l.FirstRowIndex,
		}
		if spot.start != place || spot.end <= place || spot.end > r.size || spot.rows < 1 || (i == 0) != (spot.firstRow == 0) {
			return nil, damaged
		}
		place, spots[i] = spot.end, spot
	}
	if len(spots) == 0 || place-meta.DataPageOffset() > meta.TotalCompressedSize() {
		return nil, damaged
	}
	return spots, nil
}

// offsetBounds reads the smallest and largest offset of each page.
func (r *Reader) offsetBounds(index *metadata.RowGroupPageIndexReader, g, pages int) (mins, maxs []int64, err error) {
	damaged := schema.Errorf(schema.Corrupt, "row group %d: the offsets' page index is damaged", g)
	at, ok := r.meta.RowGroup(g).ColumnIndexLocation(colOffset)
	if !ok {
		return nil, nil, damaged
	}
	if err := r.checkIndex(at); err != nil {
		return nil, nil, err
	}
	bounds, err := index.GetColumnIndex(colOffset)
	if err != nil || bounds == nil || len(bounds.GetMinValues()) != pages || len(bounds.GetMaxValues()) != pages {
		return nil, nil, damaged
	}
	for i := range pages {
		low, high := bounds.GetMinValues()[i], bounds.GetMaxValues()[i]
		if len(low) != 8 || len(high) != 8 {
			return nil, nil, damaged
		}
		mins = append(mins, int64(binary.LittleEndian.Uint64(low)))
		maxs = append(maxs, int64(binary.LittleEndian.Uint64(high)))
	}
	return mins, maxs, nil
}

// checkIndex walks an index before arrow builds it.
func (r *Reader) checkIndex(at metadata.IndexLocation) error {
	raw, err := r.tail.slice(span{at.Offset, at.Offset + int64(at.Length)})
	if err != nil {
		return err
	}
	_, err = checkThrift(raw)
	return err
}
