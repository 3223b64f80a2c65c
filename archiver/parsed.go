package archiver

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/fx-risk-ai/annals/schema"
)

// parsed is what the rules read from some rows of a buffer when these were
// handed to the index. It is kept for their segment, which would otherwise
// have it read from them once more: an eighth of the archiver's CPU. It is
// packed, without a pointer for each text, and whoever needs a row of it unpacks
// that. A row that is in no parsed, or in one that is not filled, is read again.
type parsed struct {
	from, to int64 // running numbers of its rows, exclusive
	filled   atomic.Bool
	// What follows is written once, before filled, and then only read.
	text string
	ends []uint32 // of each row in text
}

// parsedRoom counts what is kept in the process, beside the buffers' budget.
type parsedRoom struct {
	most int64
	kept *atomic.Int64
}

// parsedShare is how much of the buffers' budget parsed ones may take besides.
const parsedShare = 3

func newParsedRoom(budget int64) parsedRoom {
	return parsedRoom{budget / parsedShare, new(atomic.Int64)}
}

// fill packs the extractions of its rows, unless too much is kept. It packs
// them in scratch, which it gives back, grown.
func (k parsedRoom) fill(r *parsed, list []schema.Extraction, scratch []byte) []byte {
	room := k.most - k.kept.Load()
	if room <= 0 {
		return scratch
	}
	text := scratch[:0]
	ends := make([]uint32, 0, len(list))
	for i := range list {
		text = pack(text, &list[i])
		if int64(len(text)) > room {
			return text
		}
		ends = append(ends, uint32(len(text)))
	}
	r.text, r.ends = string(text), ends
	size := int64(len(r.text) + 4*cap(ends))
	k.kept.Add(size)
	runtime.AddCleanup(r, func(size int64) { k.kept.Add(-size) }, size) // what is garbage takes memory too
	r.filled.Store(true)
	return text
}

// find gives the row of a running number, from the parsed ones that a cut took
// with it; false if it was not kept. Texts of into are good as long as the
// parsed one is.
func find(list []*parsed, number int64, into *schema.Extraction) bool {
	at, ok := slices.BinarySearchFunc(list, number, func(r *parsed, number int64) int {
		switch {
		case r.to <= number:
			return -1
		case r.from > number:
			return 1
		default:
			return 0
		}
	})
	if !ok || !list[at].filled.Load() {
		return false
	}
	r, row := list[at], number-list[at].from
	start := uint32(0)
	if row > 0 {
		start = r.ends[row-1]
	}
	unpack(r.text[start:r.ends[row]], into)
	return true
}

// Flags of a packed extraction.
const (
	packedTime   = 1 << 0
	packedSchema = 1 << 1
)

// pack appends all of an extraction but its identifiers, which no segment keeps.
func pack(b []byte, x *schema.Extraction) []byte {
	flags := byte(0)
	if x.HasEventTime {
		flags |= packedTime
	}
	if x.HasSchemaID {
		flags |= packedSchema
	}
	b = append(b, flags, byte(x.Stage))
	if x.HasEventTime {
		b = binary.AppendVarint(b, x.EventTime)
	}
	if x.HasSchemaID {
		b = binary.AppendVarint(b, int64(x.SchemaID))
	}
	for _, text := range [...]string{x.EventID, x.EventType, x.EventVersion, x.SourceService, x.TraceID, x.SpanID} {
		b = packText(b, text)
	}
	b = binary.AppendUvarint(b, uint64(len(x.Causes)))
	for i := range x.Causes {
		b = packText(append(b, byte(x.Causes[i].Kind)), x.Causes[i].ID)
	}
	b = binary.AppendUvarint(b, uint64(len(x.Errors)))
	for _, text := range x.Errors {
		b = packText(b, text)
	}
	return b
}

func packText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// unpack fills into, which was reset, with what pack wrote.
func unpack(packed string, into *schema.Extraction) {
	p := unpacker{packed}
	flags := p.byte()
	into.Stage = schema.Stage(p.byte())
	if into.HasEventTime = flags&packedTime != 0; into.HasEventTime {
		into.EventTime = p.signed()
	}
	if into.HasSchemaID = flags&packedSchema != 0; into.HasSchemaID {
		into.SchemaID = int32(p.signed())
	}
	for _, text := range [...]*string{&into.EventID, &into.EventType, &into.EventVersion, &into.SourceService, &into.TraceID, &into.SpanID} {
		*text = p.text()
	}
	for range p.number() {
		kind := schema.CauseKind(p.byte())
		into.Causes = append(into.Causes, schema.Cause{Kind: kind, ID: p.text()})
	}
	for range p.number() {
		into.Errors = append(into.Errors, p.text())
	}
}

// unpacker reads what this process has packed: it is never cut.
type unpacker struct{ rest string }

func (p *unpacker) byte() byte {
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

func (p *unpacker) number() uint64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := p.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

// signed undoes zigzag, as binary.AppendVarint makes it.
func (p *unpacker) signed() int64 {
	n := p.number()
	return int64(n>>1) ^ -int64(n&1)
}

func (p *unpacker) text() string {
	n := p.number()
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text
}
