package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/klauspost/compress/zstd"

	"github.com/fx-risk-ai/annals/schema"
)

// Numbers of Parquet's enumerations that a page header holds.
const (
	dataPage       = 0
	dictionaryPage = 2

	encodingPlain   = 0
	encodingRLE     = 3
	encodingDelta   = 5
	encodingRLEDict = 8
)

// maxLevels bounds the levels of one page: values of a list column and empty
// lists together.
const maxLevels = 1 << 24

// pageHeader is what must hold before a page is decoded.
type pageHeader struct {
	kind         int32
	uncompressed int32
	compressed   int32
	values       int32 // levels in a data page, entries in a dictionary
	encoding     int32
	defEncoding  int32
	repEncoding  int32
	bytes        int // of the header itself
}

func parsePageHeader(b []byte) (pageHeader, error) {
	h := pageHeader{kind: -1, uncompressed: -1, compressed: -1, values: -1, encoding: -1}
	t := thriftReader{b: b}
	err := t.structure(0, func(id int16, kind byte) (bool, error) {
		switch id {
		case 1:
			return true, t.int32Field(kind, &h.kind)
		case 2:
			return true, t.int32Field(kind, &h.uncompressed)
		case 3:
			return true, t.int32Field(kind, &h.compressed)
		case 5, 7:
			if kind != thriftStruct {
				return false, t.damaged()
			}
			return true, t.structure(1, h.detail(&t))
		default:
			return false, nil
		}
	})
	h.bytes = t.i
	return h, err
}

// detail reads the header of a data page (field 5) or a dictionary (field 7);
// both begin with the number of values and the encoding.
func (h *pageHeader) detail(t *thriftReader) func(int16, byte) (bool, error) {
	return func(id int16, kind byte) (bool, error) {
		switch {
		case id == 1:
			return true, t.int32Field(kind, &h.values)
		case id == 2:
			return true, t.int32Field(kind, &h.encoding)
		case id == 3 && kind == thriftI32:
			return true, t.int32Field(kind, &h.defEncoding)
		case id == 4 && kind == thriftI32:
			return true, t.int32Field(kind, &h.repEncoding)
		default:
			return false, nil
		}
	}
}

// pageCheck vets pages before arrow decodes them. It keeps a decoder and is for
// one goroutine.
type pageCheck struct {
	decoder *zstd.Decoder
	scratch []byte
}

func newPageCheck() (*pageCheck, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make decoder: %w", err)
	}
	return &pageCheck{decoder: decoder}, nil
}

// page vets the bytes of one whole page, header and body, so that arrow can
// decode it without allocating more than the page's own bounds: arrow trusts
// the number of values, the compressed frame and the delta header.
func (p *pageCheck) page(b []byte, kind int32, c *column, rows int64) (rawPage, error) {
	h, err := parsePageHeader(b)
	if err != nil {
		return rawPage{}, err
	}
	if fault := h.fault(kind, c, rows); fault != "" {
		return rawPage{}, schema.Errorf(schema.Corrupt, "a page %s", fault)
	}
	if h.bytes+int(h.compressed) != len(b) {
		return rawPage{}, schema.Errorf(schema.Corrupt, "a page is not as long as the index says")
	}
	body := b[h.bytes:]
	if err := checkFrame(body, int(h.uncompressed)); err != nil {
		return rawPage{}, err
	}
	if kind == dataPage && h.encoding == encodingDelta {
		err = p.delta(body, &h, c.maxDef > 0)
	}
	return rawPage{body: body, size: int(h.uncompressed), levels: int64(h.values), encoding: h.encoding}, err
}

// fault says what in a header breaks the format's rules.
func (h *pageHeader) fault(kind int32, c *column, rows int64) string {
	switch {
	case h.kind != kind:
		return "is of another kind"
	case h.uncompressed < 0 || h.uncompressed > maxPage || h.compressed <= 0 || h.compressed > maxPage+maxZstdGrowth:
		return "exceeds 64 MiB"
	case kind == dictionaryPage: // empty where all values are null
		if !c.dict || h.encoding != encodingPlain || h.values < 0 || h.values > h.uncompressed/4 {
			return "is no dictionary of its values"
		}
		return ""
	case h.values < 1 || h.values > maxLevels || int64(h.values) < rows || c.maxRep == 0 && int64(h.values) != rows:
		return "has another number of values than rows"
	case !c.allows(h.encoding) || h.defEncoding != encodingRLE || h.repEncoding != encodingRLE:
		return "is in an encoding the format does not use"
	default:
		return ""
	}
}

func (c *column) allows(encoding int32) bool {
	switch encoding {
	case encodingRLEDict:
		return c.dict
	case encodingDelta:
		return c.encoding == parquet.Encodings.DeltaBinaryPacked
	case encodingPlain:
		return c.encoding == parquet.Encodings.Plain
	default:
		return false
	}
}

// checkFrame holds compressed bytes against one single Zstandard frame (RFC
// 8878) that declares its content's size: a decoder then stops there, and
// without this a few kilobytes could ask for gigabytes. Encoders leave the
// size out below 256 bytes; then one block, at most 128 KiB, is allowed.
func checkFrame(b []byte, content int) error {
	damaged := schema.Errorf(schema.Corrupt, "a page is not one Zstandard frame of its size")
	var head zstd.Header
	if err := head.Decode(b); err != nil || head.Skippable {
		return damaged
	}
	tiny := !head.HasFCS && content < 256 && head.FirstBlock.OK && head.FirstBlock.Last
	if !tiny && (!head.HasFCS || head.FrameContentSize != uint64(content)) {
		return damaged
	}
	for at := head.HeaderSize; len(b)-at >= 3; {
		block := uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16
		size := int(block >> 3)
		if kind := block >> 1 & 3; kind == 1 { // a run: one byte repeated
			size = 1
		}
		at += 3 + size
		if block&1 == 0 {
			continue
		}
		if head.HasCheckSum {
			at += 4
		}
		if at != len(b) {
			break
		}
		return nil
	}
	return damaged
}

// delta holds a DELTA_BINARY_PACKED page against the block sizes the format
// uses: the decoder allocates what the header asks for.
func (p *pageCheck) delta(body []byte, h *pageHeader, optional bool) error {
	damaged := schema.Errorf(schema.Corrupt, "a page's delta header is damaged")
	if cap(p.scratch) < int(h.uncompressed) {
		p.scratch = make([]byte, 0, h.uncompressed)
	}
	b, err := p.decoder.DecodeAll(body, p.scratch[:0])
	if err != nil {
		return schema.Errorf(schema.Corrupt, "decompress page: %w", err)
	}
	if optional {
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return damaged
		}
		b = b[4+binary.LittleEndian.Uint32(b):]
	}
	t := thriftReader{b: b} // its varints are those of the delta encoding
	var header [3]uint64    // values in a block, miniblocks in a block, values in all
	for i := range header {
		if header[i], err = t.varint(); err != nil {
			return damaged
		}
	}
	if header[0] != 128 || header[1] != 4 || header[2] > uint64(h.values) {
		return damaged
	}
	return nil
}
