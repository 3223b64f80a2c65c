package archiver

import (
	"iter"
	"sort"

	"github.com/fx-risk-ai/annals/schema"
)

// mostInPiece is how many records a piece of a buffer has at most.
const mostInPiece = 256

// rows are a buffer's records in memory, oldest first, in pieces that are never
// copied but for their ends: as one slice, which grew and was copied behind
// every cut, they were a sixth of the archiver's garbage. The zero value is
// empty. What head gives stays as it is, whatever is added or dropped afterwards.
type rows struct {
	pieces []piece // none is empty
	from   int     // what number 0 is called in the pieces
	count  int
}

// piece is a run of records; those numbered from on, which falls never.
type piece struct {
	from int
	list []schema.Record
}

func (s *rows) len() int { return s.count }

// at gives the record of a number, to be read, or to be given its verdict.
func (s *rows) at(n int) *schema.Record {
	n += s.from
	last := len(s.pieces) - 1
	p := &s.pieces[last]
	if n < p.from {
		p = &s.pieces[sort.Search(last, func(i int) bool { return s.pieces[i].from > n })-1]
	}
	return &p.list[n-p.from]
}

// add takes a copy of the record. It makes room for as many as there are in the
// buffer already, and no more than a piece holds: there can be thousands of
// buffers that hold little.
func (s *rows) add(record *schema.Record) {
	last := len(s.pieces) - 1
	if last < 0 || len(s.pieces[last].list) == cap(s.pieces[last].list) {
		room := min(max(4, s.count), mostInPiece)
		s.pieces = append(s.pieces, piece{s.from + s.count, make([]schema.Record, 0, room)})
		last++
	}
	s.pieces[last].list = append(s.pieces[last].list, *record)
	s.count++
}

// head are the first n records. What is added to s afterwards is not written
// into memory that it shows.
func (s *rows) head(n int) rows {
	if n <= 0 {
		return rows{from: s.from}
	}
	k := sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].from-s.from >= n })
	h := rows{append([]piece(nil), s.pieces[:k]...), s.from, n}
	end := &h.pieces[k-1]
	in := s.from + n - end.from
	end.list = end.list[:in:in]
	return h
}

// truncate drops all but the first n records. Others may still be reading what
// is dropped: nothing is written there.
func (s *rows) truncate(n int) {
	*s = s.head(n)
	if n > 0 {
		s.own(len(s.pieces) - 1)
	}
}

// drop drops the first n records.
func (s *rows) drop(n int) {
	if n >= s.count {
		*s = rows{from: s.from + s.count}
		return
	}
	s.from, s.count = s.from+n, s.count-n
	k := sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].from > s.from }) - 1
	s.pieces = append([]piece(nil), s.pieces[k:]...)
	if in := s.from - s.pieces[0].from; in > 0 {
		s.pieces[0] = piece{s.from, s.pieces[0].list[in:]}
		s.own(0)
	}
}

// own copies a piece, so that what was cut off of it is not kept in memory, and
// nobody else reads what is written behind it.
func (s *rows) own(i int) {
	list := s.pieces[i].list
	s.pieces[i].list = append(make([]schema.Record, 0, max(len(list), 4)), list...)
}

// all gives the records in order.
func (s *rows) all() iter.Seq2[int, *schema.Record] {
	return func(yield func(int, *schema.Record) bool) {
		for _, p := range s.pieces {
			for i := range p.list {
				if at := p.from + i - s.from; !yield(at, &p.list[i]) {
					return
				}
			}
		}
	}
}

// copied are the records in one slice.
func (s *rows) copied() []schema.Record {
	list := make([]schema.Record, 0, s.count)
	for _, p := range s.pieces {
		list = append(list, p.list...)
	}
	return list
}
