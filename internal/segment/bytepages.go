package segment

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/klauspost/compress/zstd"

	"github.com/fx-risk-ai/annals/schema"
)

// rawPage is a page that was vetted, and not decompressed yet.
type rawPage struct {
	body     []byte // one Zstandard frame
	size     int    // of its content
	levels   int64  // or entries, of a dictionary
	encoding int32
}

// bytePages decodes the vetted pages of one chunk of texts or bytes, in place of
// arrow, which reads each header and copies each page once more, and makes
// dictionaries and streams anew for every page. What it gives refers to the page's
// memory, which is used again for the next one, or is the caller's where that keeps
// it.
type bytePages struct {
	decoder    *zstd.Decoder
	keep       *Kept // nil: pages are not kept
	pages      []rawPage
	page       []byte // the content of the current one
	dictionary []parquet.ByteArray
	names      []byte // the content of the dictionary's page

	maxDef, maxRep int16
	left           int64 // levels of the current page
	reps, defs     hybrid
	indexes        hybrid
	places         []uint32
	plain          []byte
	indexed        bool
}

var errPage = schema.Errorf(schema.Corrupt, "a page's values are damaged")

// begin puts it before the first of pages; dictionary is nil if there is none.
func (p *bytePages) begin(c *column, dictionary *rawPage, pages []rawPage) (err error) {
	p.retire()
	p.pages, p.left, p.maxDef, p.maxRep = pages, 0, c.maxDef, c.maxRep
	p.dictionary = p.dictionary[:0]
	if dictionary == nil {
		return nil
	}
	if cap(p.names) < dictionary.size {
		p.names = make([]byte, 0, dictionary.size)
	}
	if p.names, err = p.unpack(dictionary, p.names); err != nil {
		return err
	}
	rest := p.names
	for range dictionary.levels {
		var v []byte
		if v, rest, err = plainValue(rest); err != nil {
			return err
		}
		p.dictionary = append(p.dictionary, v)
	}
	return nil
}

// retire lets go of the current page: what refers to it stays where pages are kept.
func (p *bytePages) retire() {
	if p.keep != nil && p.page != nil {
		p.keep.retired = append(p.keep.retired, p.page)
		p.page = nil
	}
}

func (p *bytePages) unpack(from *rawPage, into []byte) ([]byte, error) {
	content, err := p.decoder.DecodeAll(from.body, into[:0])
	if err != nil {
		return nil, schema.Errorf(schema.Corrupt, "decompress page: %w", err)
	}
	if len(content) != from.size {
		return nil, schema.Errorf(schema.Corrupt, "a page of %d bytes, its header says %d", len(content), from.size)
	}
	return content, nil
}

// next begins the next page.
func (p *bytePages) next() (err error) {
	if len(p.pages) == 0 {
		return errPage
	}
	page := &p.pages[0]
	p.pages = p.pages[1:]
	if p.retire(); p.keep != nil {
		p.page = p.keep.space(page.size)
	} else if cap(p.page) < page.size {
		p.page = make([]byte, 0, page.size)
	}
	if p.page, err = p.unpack(page, p.page); err != nil {
		return err
	}
	rest := p.page
	if p.maxRep > 0 {
		if p.reps, rest, err = levelsOf(rest, p.maxRep); err != nil {
			return err
		}
	}
	if p.maxDef > 0 {
		if p.defs, rest, err = levelsOf(rest, p.maxDef); err != nil {
			return err
		}
	}
	p.left, p.plain = page.levels, nil
	if p.indexed = page.encoding == encodingRLEDict; !p.indexed {
		p.plain = rest
		return nil
	}
	if len(rest) == 0 {
		p.indexes = hybrid{} // every value is null
		return nil
	}
	if rest[0] > 32 {
		return errPage
	}
	p.indexes = hybrid{data: rest[1:], width: uint(rest[0])}
	return nil
}

// read gives the next n levels, or as many as the page holds, and their values, as
// arrow's readers do.
func (p *bytePages) read(n int64, values []parquet.ByteArray, defs, reps []int16) (int64, int, error) {
	if p.left == 0 {
		if err := p.next(); err != nil {
			return 0, 0, err
		}
	}
	n = min(n, p.left)
	p.left -= n
	if p.maxRep > 0 {
		if err := decodeRuns(&p.reps, reps[:n], p.maxRep); err != nil {
			return 0, 0, err
		}
	}
	present := int(n)
	if p.maxDef > 0 {
		if err := decodeRuns(&p.defs, defs[:n], p.maxDef); err != nil {
			return 0, 0, err
		}
		present = 0
		for _, def := range defs[:n] {
			if def == p.maxDef {
				present++
			}
		}
	}
	if p.indexed {
		return n, present, p.lookUp(values[:present])
	}
	rest := p.plain
	for i := range values[:present] {
		if len(rest) < 4 {
			return 0, 0, errPage
		}
		size := int(binary.LittleEndian.Uint32(rest))
		if rest = rest[4:]; size > len(rest) {
			return 0, 0, errPage
		}
		values[i], rest = rest[:size:size], rest[size:]
	}
	p.plain = rest
	return n, present, nil
}

func (p *bytePages) lookUp(values []parquet.ByteArray) error {
	if len(values) == 0 {
		return nil
	}
	if cap(p.places) < len(values) {
		p.places = make([]uint32, max(len(values), readBatch))
	}
	places := p.places[:len(values)]
	if err := decodeRuns(&p.indexes, places, uint32(len(p.dictionary)-1)); err != nil || len(p.dictionary) == 0 {
		return errPage
	}
	for i, place := range places {
		values[i] = p.dictionary[place]
	}
	return nil
}

func plainValue(b []byte) (v, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errPage
	}
	size := int(binary.LittleEndian.Uint32(b))
	if b = b[4:]; size > len(b) {
		return nil, nil, errPage
	}
	return b[:size:size], b[size:], nil
}

// levelsOf parts the levels at the beginning of a page from what follows them.
func levelsOf(b []byte, most int16) (levels hybrid, rest []byte, err error) {
	data, rest, err := plainValue(b)
	width := uint(1)
	for most>>width > 0 {
		width++
	}
	return hybrid{data: data, width: width}, rest, err
}

// hybrid is what is left of values in Parquet's RLE and bit-packing.
type hybrid struct {
	data  []byte // behind the current run
	width uint   // bits of a value, at most 32

	left   int64  // values of the current run
	value  uint32 // of a run of one value
	packed []byte // of a run of packed ones; nil: it is of one value
	bit    uint   // of packed, where the next one begins
}

// decodeRuns gives the next values, none of which may be above most.
func decodeRuns[T int16 | uint32](h *hybrid, out []T, most T) error {
	for len(out) > 0 {
		if h.left == 0 && !h.run() {
			return errPage
		}
		some := out[:min(int64(len(out)), h.left)]
		h.left -= int64(len(some))
		out = out[len(some):]
		if h.packed == nil {
			v := T(h.value)
			if uint32(v) != h.value || v > most {
				return errPage
			}
			for i := range some {
				some[i] = v
			}
			continue
		}
		if !unpackBits(h, some, most) {
			return errPage
		}
	}
	return nil
}

// unpackBits takes values from a packed run, which holds them: as many at once as 64
// bits have.
func unpackBits[T int16 | uint32](h *hybrid, out []T, most T) bool {
	width, mask := h.width, uint64(1)<<h.width-1
	fits := true
	for len(out) > 0 {
		var word uint64
		if from := h.packed[h.bit/8:]; len(from) >= 8 {
			word = binary.LittleEndian.Uint64(from)
		} else {
			for i, b := range from {
				word |= uint64(b) << (8 * i)
			}
		}
		word >>= h.bit % 8
		n := min((64-h.bit%8)/max(width, 1), uint(len(out)))
		for i := range out[:n] {
			v := T(word & mask)
			fits = fits && uint64(v) == word&mask && v <= most
			out[i] = v
			word >>= width
		}
		h.bit += n * width
		out = out[n:]
	}
	return fits
}

// run begins the next run; false: there is none that is whole.
func (h *hybrid) run() bool {
	head, n := binary.Uvarint(h.data)
	if n <= 0 || head>>1 > maxLevels {
		return false
	}
	h.data = h.data[n:]
	if head&1 == 0 {
		size := int(h.width+7) / 8
		if len(h.data) < size {
			return false
		}
		h.left, h.packed, h.value = int64(head>>1), nil, 0
		for i, b := range h.data[:size] {
			h.value |= uint32(b) << (8 * i)
		}
		h.data = h.data[size:]
		return h.left > 0
	}
	size := (head >> 1) * uint64(h.width)
	if uint64(len(h.data)) < size {
		return false
	}
	h.left, h.bit = int64(head>>1)*8, 0
	h.packed, h.data = h.data[:size:size], h.data[size:]
	return h.left > 0
}

// Kept are pages that rows refer to and that are not used again before the caller
// gives them back. The zero value is ready. It belongs to one goroutine.
type Kept struct {
	retired [][]byte // that no row to come refers to
	free    [][]byte
	waiting int // bytes that free has
}

// How many bytes wait to be used again at most, and to what pages are rounded up, so
// that one has room for the next.
const (
	keptFree  = 24 << 20
	keptRound = 16 << 10
)

// Take gives the pages that only rows before this moment refer to, to be given back
// when nobody needs those any more. What the last rows refer to may still be read
// on: it is given by a later call.
func (k *Kept) Take(into [][]byte) [][]byte {
	into = append(into, k.retired...)
	clear(k.retired) // they are the caller's now
	k.retired = k.retired[:0]
	return into
}

// GiveBack takes pages to use them again.
func (k *Kept) GiveBack(pages [][]byte) {
	for _, page := range pages {
		if k.waiting+cap(page) <= keptFree {
			k.waiting += cap(page)
			k.free = append(k.free, page[:0])
		}
	}
}

// space is an empty page with room for so much.
func (k *Kept) space(size int) []byte {
	for i := len(k.free) - 1; i >= 0; i-- {
		if page := k.free[i]; cap(page) >= size && cap(page) <= 2*(size+keptRound) {
			last := len(k.free) - 1
			k.free[i], k.free = k.free[last], k.free[:last]
			k.waiting -= cap(page)
			return page
		}
	}
	return make([]byte, 0, (size+keptRound-1)/keptRound*keptRound)
}
