package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// What stands before a batch's records (KIP-98): the base offset and the length
// of the rest, then, up to the records, 49 bytes more. The checksum covers what
// follows it: neither the base offset nor the length nor the magic is covered.
const (
	frameStart  = 12 // base offset, length
	frameMagic  = 16
	frameHeader = 61 // of magic 2
	crcFrom     = 21 // of magic 2; magic 0 and 1: from the magic on
)

// frame is one batch as it stands in an answer. What of it is true its
// checksum tells, if anything.
type frame struct {
	raw    []byte // to the end of the batch by its own length, or of the answer
	whole  bool   // its own length fits
	base   int64
	length int32
	magic  int8
	sound  bool  // whole, of a known magic, and the checksum holds
	tells  bool  // it says what its last offset is
	last   int64 // the last offset that it says it has; base where it says none
}

// firstFrame reads what stands at the beginning of an answer, of at least one
// byte.
func firstFrame(in []byte) frame {
	f := frame{raw: in, base: -1, length: -1, magic: -1, last: -1}
	if len(in) >= frameStart {
		f.base = int64(binary.BigEndian.Uint64(in))
		f.length = int32(binary.BigEndian.Uint32(in[8:]))
		f.last = f.base
		if end := int64(f.length) + frameStart; f.length > 0 && end <= int64(len(in)) {
			f.raw, f.whole = in[:end:end], true
		}
	}
	if len(f.raw) <= frameMagic {
		f.whole = false
		return f
	}
	f.magic = int8(f.raw[frameMagic])
	switch {
	case f.magic == 2 && len(f.raw) >= frameHeader:
		want := binary.BigEndian.Uint32(f.raw[crcFrom-4:])
		f.sound = f.whole && crc32.Checksum(f.raw[crcFrom:], crc32.MakeTable(crc32.Castagnoli)) == want
		f.last, f.tells = f.base+int64(int32(binary.BigEndian.Uint32(f.raw[crcFrom+2:]))), true
	case f.magic == 0 || f.magic == 1: // a message set's entry; base is its last offset
		want := binary.BigEndian.Uint32(f.raw[frameStart:])
		f.sound = f.whole && crc32.ChecksumIEEE(f.raw[frameMagic:]) == want
		f.tells = f.sound
	}
	return f
}

// header says what was read of the frame's beginning, for people.
func (f *frame) header() string {
	if len(f.raw) < frameStart {
		return fmt.Sprintf("%d bytes, too few for a batch's header", len(f.raw))
	}
	text := fmt.Sprintf("base offset %d, length %d", f.base, f.length)
	if !f.whole {
		text += fmt.Sprintf(" of which %d bytes came", len(f.raw)-frameStart)
	}
	if len(f.raw) > frameMagic {
		text += fmt.Sprintf(", magic %d", f.magic)
	}
	if f.magic == 2 && len(f.raw) >= frameHeader {
		text += fmt.Sprintf(", leader epoch %d, attributes 0x%04x, last offset delta %d, producer %d, %d records",
			int32(binary.BigEndian.Uint32(f.raw[frameStart:])), binary.BigEndian.Uint16(f.raw[crcFrom:]), f.last-f.base,
			int64(binary.BigEndian.Uint64(f.raw[43:])), int32(binary.BigEndian.Uint32(f.raw[57:])))
	}
	return text
}

// decode tells whether the client makes records of the frame, for whoever
// wants to read from an offset on, and of all of it; nil if so.
func (f *frame) decode(s schema.Stream, from int64) error {
	if !f.whole {
		return fmt.Errorf("the batch says it has %d bytes, the answer has %d", int64(f.length)+frameStart, len(f.raw))
	}
	answer := kmsg.FetchResponseTopicPartition{Partition: s.Partition, RecordBatches: f.raw}
	decoded, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: from, IsolationLevel: kgo.ReadUncommitted(), Topic: s.Topic, Partition: s.Partition,
	}, &answer, kgo.DefaultDecompressor(), nil)
	switch {
	case decoded.Err != nil:
		return decoded.Err
	case next <= from && f.last >= from:
		// The client says nothing of records whose lengths lie: it stays where it is.
		return fmt.Errorf("no record of the batch can be read from offset %d on", from)
	}
	return nil
}

// suspect is the frame of an answer that keeps a reader from going on at an
// offset, what came behind it, and why. Nil: the reader can go on, or nothing
// was served.
func suspect(in []byte, s schema.Stream, from int64) (bad *frame, rest []byte, why error) {
	for len(in) > 0 {
		f := firstFrame(in)
		err := f.decode(s, from)
		switch {
		case f.sound && f.last < from: // before what is asked for: nobody needs it
		case err == nil:
			return nil, nil, nil
		default:
			f.stretch(in)
			return &f, in[len(f.raw):], err
		}
		in = in[len(f.raw):]
	}
	return nil, nil, nil
}

// stretch has the raw bytes of a frame reach as far as they may belong to it:
// where its checksum does not vouch for its length, to where a sound batch
// begins if its length leads there, else to the answer's end.
func (f *frame) stretch(in []byte) {
	if f.sound || f.whole && len(in) > len(f.raw) && behind(in[len(f.raw):], f.base) != nil {
		return
	}
	f.raw = in
}

// behind gives the sound frame at the beginning of an answer whose offsets lie
// behind one; nil: there is none.
func behind(in []byte, offset int64) *frame {
	if f := firstFrame(in); f.sound && f.base > offset {
		return &f
	}
	return nil
}
