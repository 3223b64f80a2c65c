package segment

import (
	"context"
	"iter"
	"math"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// Proven yields the rows with offsets in [from, to) as Rows does, with all columns
// but the extracted ones, each after the hashes of its 1,024 neighbours were found
// to be those that the footer has: of a part of a segment it says what Verify says
// of the whole, and reads little more than the part. The footer's hashes are as
// good as its record root, which is the caller's to hold against the commit. Where
// the range lies is found by the page index, which no hash of the footer covers: so
// the rows before and behind it are read, too, that none is left out. The error is
// Corrupt where a row is another than it was, or is not there. 1,024 rows are in
// memory.
func (r *Reader) Proven(ctx context.Context, from, to int64) iter.Seq2[*Row, error] {
	return r.scan(Times|Broker|Payload, func(s *scan, yield func(*Row, error) bool) error {
		if from >= to {
			return nil
		}
		rows, all := r.around(from, to)
		w := prover{parts: r.footer.Parts, hasher: proof.NewHasher(), from: from, to: to, yield: yield}
		w.skip(&rows)
		w.inside = rows.from > 0
		for g, first := 0, int64(0); g < len(r.groups) && first < rows.to; g++ {
			here := rowRange{max(rows.from-first, 0), min(rows.to-first, r.groups[g].rows)}
			first += r.groups[g].rows
			if here.from >= here.to {
				continue
			}
			if more, err := s.within(ctx, g, here, w.add); err != nil || !more {
				return inGroup(g, err)
			}
		}
		if len(w.rows) > 0 {
			return schema.Errorf(schema.Corrupt, "the rows end before the last hash of the footer is complete")
		}
		if rows.to < all && s.row.Offset < to {
			return misled(s.row.Offset)
		}
		return nil
	})
}

// around gives the rows of the pages that may hold offsets in [from, to) and one
// more on either side, counted from the segment's first, and how many there are.
func (r *Reader) around(from, to int64) (rows rowRange, all int64) {
	for g := range r.groups {
		for _, p := range r.groups[g].pages {
			if p.max < from {
				rows.from += p.rows
			}
			if p.min < to {
				rows.to += p.rows
			}
		}
		all += r.groups[g].rows
	}
	return rowRange{max(rows.from-1, 0), min(rows.to+1, all)}, all
}

func misled(at int64) error {
	return schema.Errorf(schema.Corrupt, "the page index is damaged: it leads past rows beside offset %d", at)
}

// within calls visit for every row of a range of a row group until it returns
// false or an error.
func (s *scan) within(ctx context.Context, g int, rows rowRange, visit func(*Row) (bool, error)) (more bool, err error) {
	fetched, err := s.fetch(ctx, g, []rowRange{rows})
	if err != nil {
		return false, err
	}
	if err := s.begin(fetched, fetched.plans[0], rows); err != nil {
		return false, err
	}
	for {
		found, err := s.seek(math.MinInt64)
		if err != nil || !found {
			return true, err
		}
		if err := s.decode(); err != nil {
			return false, err
		}
		if more, err := visit(&s.row); err != nil || !more {
			return false, err
		}
	}
}

// prover gathers rows until their subtree is whole, holds it against the footer,
// and lets go of those that are wanted.
type prover struct {
	parts    []Part // from the one that the next row is in
	at       int64  // of its rows that have passed; a subtree begins at a multiple of 1,024
	hasher   *proof.Hasher
	tree     proof.Tree
	rows     []*Row
	from, to int64
	inside   bool // the first row that comes is not the segment's first
	yield    func(*Row, error) bool
}

// skip begins at the subtree that has the first of some rows, and ends with the
// one that has the last.
func (p *prover) skip(rows *rowRange) {
	first := int64(0)
	for first+p.parts[0].Rows <= rows.from {
		first, p.parts = first+p.parts[0].Rows, p.parts[1:]
	}
	p.at = (rows.from - first) / proof.SubtreeLeaves * proof.SubtreeLeaves
	rows.from = first + p.at
	for _, part := range p.parts {
		if first+part.Rows >= rows.to {
			up := (rows.to - first + proof.SubtreeLeaves - 1) / proof.SubtreeLeaves * proof.SubtreeLeaves
			rows.to = first + min(up, part.Rows)
			return
		}
		first += part.Rows
	}
}

func (p *prover) add(row *Row) (more bool, err error) {
	if len(p.parts) == 0 {
		return false, schema.Errorf(schema.Corrupt, "there are more rows than the footer says")
	}
	if p.inside && row.Offset >= p.from {
		return false, misled(row.Offset)
	}
	p.inside = false
	part := &p.parts[0]
	p.tree.Append(p.hasher.Leaf(part.Seed, &row.Record))
	p.rows = append(p.rows, row.Clone())
	p.at++
	if p.at%proof.SubtreeLeaves != 0 && p.at < part.Rows {
		return true, nil
	}
	if want := part.Subtrees[(p.at-1)/proof.SubtreeLeaves]; p.tree.Subtrees()[0] != want {
		return false, schema.Errorf(schema.Corrupt, "the rows from offset %d to %d do not have the hash that the footer says", p.rows[0].Offset, row.Offset)
	}
	if p.at == part.Rows {
		p.at, p.parts = 0, p.parts[1:]
	}
	for _, kept := range p.rows {
		if kept.Offset >= p.from && kept.Offset < p.to && !p.yield(kept, nil) {
			return false, nil
		}
	}
	p.rows, p.tree = p.rows[:0], proof.Tree{}
	return true, nil
}
