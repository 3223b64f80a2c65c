package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/fx-risk-ai/annals/schema"
)

// How large a frame becomes before compression: what reading it back needs, and
// what is compressed together. One record may be larger.
const (
	frameBytes = 1 << 20
	frameRows  = 4096
)

// mostRaw bounds what a frame may be decompressed to: a record's key, value,
// header names and header values of 64 MiB each, and as many headers.
const mostRaw = 320 << 20

// Frame is a run of one stream's records in the spool. Its fields do not change.
type Frame struct {
	Rows        int
	First, Last int64 // offsets
	Epoch       int32 // leader epoch of the last record
	Branch      int32 // of all of them
	// Timestamp and TimestampType are the first record's.
	Timestamp     int64
	TimestampType schema.TimestampType

	raw, size int32
	at        int64 // in the file
	refs      int
	file      *File
	sum       [sha256.Size]byte // of what stands in the file
}

// Bytes is what the frame takes in the spool.
func (f *Frame) Bytes() int64 { return int64(f.size) }

// end finds where a frame that begins at row from ends.
func end(rows []schema.Record, from int, cuts []int) int {
	most := min(len(rows), from+frameRows)
	if i := sort.SearchInts(cuts, from+1); i < len(cuts) {
		most = min(most, cuts[i])
	}
	to, bytes := from, int64(0)
	for to < most && (to == from || bytes+rows[to].Bytes() <= frameBytes) && rows[to].Branch == rows[from].Branch {
		bytes += rows[to].Bytes()
		to++
	}
	return to
}

// encode makes a frame's bytes, which are good until the next call.
//
//	row     = flags · uvarint(offset − last) · varint(epoch − last) · varint(time − last)
//	          · [varint(producer) · varint(producer epoch)] · bytes(key) · bytes(value)
//	          · uvarint(headers) · (bytes(name) · bytes(value))*
//	flags   = status | (timestamp type + 1) << 2 | has producer << 4
//	bytes   = uvarint(0) for null, else uvarint(length + 1) · the bytes
func (s *Spool) encode(rows []schema.Record, statuses []schema.Status) ([]byte, *Frame) {
	first, last := &rows[0], &rows[len(rows)-1]
	frame := &Frame{
		Rows: len(rows), First: first.Offset, Last: last.Offset, Epoch: last.LeaderEpoch, Branch: first.Branch,
		Timestamp: first.Timestamp, TimestampType: first.TimestampType,
	}
	b := s.raw[:0]
	var offset, timestamp int64
	var epoch int32
	for i := range rows {
		r := &rows[i]
		flags := byte(statuses[i]&3) | byte(r.TimestampType+1)&3<<2
		producer := r.ProducerID != -1 || r.ProducerEpoch != -1
		if producer {
			flags |= 1 << 4
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(r.Offset-offset))
		b = binary.AppendVarint(b, int64(r.LeaderEpoch)-int64(epoch))
		b = binary.AppendVarint(b, r.Timestamp-timestamp)
		offset, epoch, timestamp = r.Offset, r.LeaderEpoch, r.Timestamp
		if producer {
			b = binary.AppendVarint(b, r.ProducerID)
			b = binary.AppendVarint(b, int64(r.ProducerEpoch))
		}
		b = appendBytes(appendBytes(b, r.Key), r.Value)
		b = binary.AppendUvarint(b, uint64(len(r.Headers)))
		for j := range r.Headers {
			b = binary.AppendUvarint(b, uint64(len(r.Headers[j].Name))+1)
			b = append(b, r.Headers[j].Name...)
			b = appendBytes(b, r.Headers[j].Value)
		}
	}
	frame.raw = int32(len(b))
	out := s.encoder.EncodeAll(b, s.out[:0])
	frame.sum = sha256.Sum256(out)
	s.raw, s.out = keep(b), keep(out)
	return out, frame
}

// keep lets go of a buffer that one large record made.
func keep(b []byte) []byte {
	if cap(b) > 4*frameBytes {
		return nil
	}
	return b
}

func appendBytes(b, field []byte) []byte {
	if field == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(field))+1), field...)
}

// Reader reads frames with the memory of the frame before. Its zero value is
// ready.
type Reader struct {
	body, raw []byte
	rows      []schema.Record
	headers   []schema.Header
	names     map[string]string
}

// Read gives a frame's records with the statuses that they had when it was
// appended. They are good until the next Read. Every error is ErrUnreadable.
func (r *Reader) Read(f *Frame) ([]schema.Record, error) {
	r.body, r.raw = keep(r.body), keep(r.raw)
	err := r.load(f)
	if err == nil {
		err = r.decode(f)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s, offsets %d to %d: %w", ErrUnreadable, f.file.name, f.First, f.Last, err)
	}
	return r.rows, nil
}

func (r *Reader) load(f *Frame) error {
	s := f.file.spool
	in, err := s.root.Open(f.file.name)
	if err != nil {
		return err
	}
	r.body = slices.Grow(r.body[:0], int(f.size))[:f.size]
	_, err = in.ReadAt(r.body, f.at)
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	if sha256.Sum256(r.body) != f.sum {
		return errors.New("its hash is not that of what was written")
	}
	r.raw, err = s.decoder.DecodeAll(r.body, slices.Grow(r.raw[:0], int(f.raw)))
	if err == nil && len(r.raw) != int(f.raw) {
		err = fmt.Errorf("%d bytes were expected, %d came", f.raw, len(r.raw))
	}
	return err
}

// cursor walks over a frame's bytes. What does not fit sets bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) flags() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// bytes gives null for null, and what cannot grow into what follows.
func (c *cursor) bytes() []byte {
	n := c.uvarint()
	if n == 0 {
		return nil
	}
	if n--; n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (r *Reader) decode(f *Frame) error {
	r.rows, r.headers = r.rows[:0], r.headers[:0]
	stream := &f.file.stream
	c := cursor{b: r.raw}
	var offset, timestamp int64
	var epoch int32
	for range f.Rows {
		flags := c.flags()
		offset += int64(c.uvarint())
		epoch += int32(c.varint())
		timestamp += c.varint()
		row := schema.Record{
			Topic: stream.Topic, TopicID: stream.TopicID, Partition: stream.Partition, Branch: f.Branch,
			Offset: offset, LeaderEpoch: epoch, Timestamp: timestamp, TimestampType: schema.TimestampType(flags>>2&3) - 1,
			ProducerID: -1, ProducerEpoch: -1, Status: schema.Status(flags & 3),
		}
		if flags&(1<<4) != 0 {
			row.ProducerID, row.ProducerEpoch = c.varint(), int16(c.varint())
		}
		row.Key, row.Value = c.bytes(), c.bytes()
		r.decodeHeaders(&c, &row)
		if c.bad {
			return errors.New("it ends too early")
		}
		r.rows = append(r.rows, row)
	}
	if len(c.b) > 0 || r.rows[len(r.rows)-1].Offset != f.Last {
		return errors.New("it holds other records")
	}
	return nil
}

func (r *Reader) decodeHeaders(c *cursor, row *schema.Record) {
	n := c.uvarint()
	if n == 0 || n > uint64(len(c.b)) { // each takes two bytes at least
		c.bad = c.bad || n > 0
		return
	}
	from := len(r.headers)
	for range n {
		name := c.bytes()
		r.headers = append(r.headers, schema.Header{Name: r.one(name), Value: c.bytes()})
	}
	row.Headers = r.headers[from:len(r.headers):len(r.headers)] // stays what it is when headers grows into another array
}

// mostNames bounds the map of names, which keeps one copy of each.
const mostNames = 1024

func (r *Reader) one(name []byte) string {
	if known, ok := r.names[string(name)]; ok {
		return known
	}
	if r.names == nil || len(r.names) >= mostNames {
		r.names = map[string]string{}
	}
	kept := string(name)
	r.names[kept] = kept
	return kept
}
