package corpus

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// batch is a record batch (KIP-98, magic 2) while its fields are set.
type batch struct {
	first, last, time, max, timeDelta int64
	count, records, leader, headers   int64
	producer, epoch, attributes       int64
	magic                             byte
	codec                             string
	key, value                        []byte
	deltas                            []int64
	lengthBy, recordBy                int64 // what the lengths lie by
	keyLength, headerCount            *int64
	flip                              string
	cut                               int
}

// Served is what a broker serves of a case's lines.
type Served struct {
	Raw     []byte
	Records []schema.Record // that a sound reader finds in it
	End     int64           // where the log ends behind it
	lasts   []int64         // the last offset of each line
	starts  []int           // and where its bytes begin
}

// From is what is served to whoever asks for an offset: whole lines, from the
// first on whose last offset is not below it. Of raw bytes nobody can tell.
func (s *Served) From(offset int64) []byte {
	for i, last := range s.lasts {
		if last >= offset {
			return s.Raw[s.starts[i]:]
		}
	}
	return s.Raw
}

// Batches makes what a broker serves of a case's lines:
//
//	batch FIELD=VALUE …   a record batch, magic 2; see [batch]
//	raw EXPRESSION        these bytes
func (c *Case) Batches() (s Served, err error) {
	s.End = 1
	for _, l := range c.Lines {
		var b batch
		start, last := len(s.Raw), int64(math.MaxInt64)
		switch l.Word {
		case "batch":
			if b, err = parseBatch(l.Rest); err == nil {
				s.Raw = append(s.Raw, b.encode()...)
				s.Records = append(s.Records, b.found()...)
				last = b.first + max(b.last, 0)
				s.End = max(s.End, last+1, min(last, math.MaxInt64-1)+1) // the highest offset there can be has none behind it
			}
		case "raw":
			var bytes []byte
			bytes, err = Bytes(l.Rest)
			s.Raw = append(s.Raw, bytes...)
		default:
			err = fmt.Errorf("unknown word %q", l.Word)
		}
		if err != nil {
			return Served{}, fmt.Errorf("case %s: %w", c.Name, err)
		}
		s.lasts, s.starts = append(s.lasts, last), append(s.starts, start)
	}
	return s, nil
}

func parseBatch(text string) (batch, error) {
	b := batch{time: 1_700_000_000_000, max: math.MinInt64, producer: -1, epoch: -1, magic: 2, value: []byte("v"), records: 1, count: math.MinInt64, last: -1}
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		if err := b.set(name, value); err != nil {
			return b, fmt.Errorf("%s: %w", word, err)
		}
	}
	if b.deltas == nil {
		for i := range b.records {
			b.deltas = append(b.deltas, i)
		}
	}
	if b.last < 0 && len(b.deltas) > 0 {
		b.last = b.deltas[len(b.deltas)-1]
	}
	if b.count == math.MinInt64 {
		b.count = int64(len(b.deltas))
	}
	if b.max == math.MinInt64 {
		b.max = b.time + max(0, b.timeDelta*int64(max(0, len(b.deltas)-1)))
	}
	return b, nil
}

func (b *batch) set(name, value string) (err error) {
	number := func(into *int64) { *into, err = strconv.ParseInt(value, 10, 64) }
	switch name {
	case "first":
		number(&b.first)
	case "last":
		number(&b.last)
	case "time":
		number(&b.time)
	case "max":
		number(&b.max)
	case "timedelta":
		number(&b.timeDelta)
	case "records":
		number(&b.records)
	case "count":
		number(&b.count)
	case "leader":
		number(&b.leader)
	case "headers":
		number(&b.headers)
	case "producer":
		number(&b.producer)
	case "epoch":
		number(&b.epoch)
	case "attributes":
		number(&b.attributes)
	case "length":
		number(&b.lengthBy)
	case "recordlength":
		number(&b.recordBy)
	case "keylength":
		b.keyLength = new(int64)
		number(b.keyLength)
	case "headercount":
		b.headerCount = new(int64)
		number(b.headerCount)
	case "magic":
		var n int64
		number(&n)
		b.magic = byte(n)
	case "cut":
		b.cut, err = strconv.Atoi(value)
	case "codec", "flip":
		*map[string]*string{"codec": &b.codec, "flip": &b.flip}[name] = value
	case "key":
		b.key, err = Bytes(value)
	case "value":
		b.value, err = Bytes(value)
	case "deltas":
		for part := range strings.SplitSeq(value, ",") {
			n, wrong := strconv.ParseInt(part, 10, 64)
			b.deltas, err = append(b.deltas, n), wrong
		}
	default:
		err = fmt.Errorf("unknown field")
	}
	return err
}

// encode follows the layout of KIP-98: what has no say in the case is right,
// checksum included.
func (b *batch) encode() []byte {
	var body []byte
	for i, delta := range b.deltas {
		body = append(body, b.record(int64(i), delta)...)
	}
	attributes := b.attributes
	if number := map[string]int64{"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[b.codec]; number > 0 {
		body = compressed(b.codec, body)
		attributes |= number
	}
	tail := binary.BigEndian.AppendUint16(nil, uint16(attributes))
	tail = binary.BigEndian.AppendUint32(tail, uint32(b.last))
	tail = binary.BigEndian.AppendUint64(tail, uint64(b.time))
	tail = binary.BigEndian.AppendUint64(tail, uint64(b.max))
	tail = binary.BigEndian.AppendUint64(tail, uint64(b.producer))
	tail = binary.BigEndian.AppendUint16(tail, uint16(b.epoch))
	tail = binary.BigEndian.AppendUint32(tail, math.MaxUint32) // no sequence
	tail = binary.BigEndian.AppendUint32(tail, uint32(b.count))
	tail = append(tail, body...)
	crc := crc32.Checksum(tail, crc32.MakeTable(crc32.Castagnoli))
	switch b.flip {
	case "crc":
		crc ^= 1
	case "value":
		tail[len(tail)-2] ^= 1
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(b.first))
	out = binary.BigEndian.AppendUint32(out, uint32(int64(len(tail)+9)+b.lengthBy))
	out = binary.BigEndian.AppendUint32(out, uint32(b.leader))
	out = append(out, b.magic)
	out = binary.BigEndian.AppendUint32(out, uint32(crc))
	out = append(out, tail...)
	return out[:len(out)-b.cut]
}

func (b *batch) record(i, delta int64) []byte {
	body := []byte{0} // attributes, unused
	body = binary.AppendVarint(body, i*b.timeDelta)
	body = binary.AppendVarint(body, delta)
	body = appendBytes(body, b.key, b.keyLength)
	body = appendBytes(body, b.value, nil)
	count := b.headers
	if b.headerCount != nil {
		count = *b.headerCount
	}
	body = binary.AppendVarint(body, count)
	for range b.headers {
		body = appendBytes(appendBytes(body, []byte("h"), nil), []byte("v"), nil)
	}
	return append(binary.AppendVarint(nil, int64(len(body))+b.recordBy), body...)
}

func appendBytes(out, value []byte, lie *int64) []byte {
	n := int64(len(value))
	if value == nil {
		n = -1
	}
	if lie != nil {
		n = *lie
	}
	return append(binary.AppendVarint(out, n), value...)
}

func compressed(codec string, body []byte) []byte {
	if codec == "gzip" {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(body) // into memory
		_ = w.Close()
		return out.Bytes()
	}
	choose := map[string]kgo.CompressionCodec{"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	c, err := kgo.DefaultCompressor(choose[codec])
	if err != nil {
		panic(err) // a codec of ours
	}
	out, _ := c.Compress(new(bytes.Buffer), body)
	return bytes.Clone(out)
}

// found gives the records of the batch as KIP-98 and KIP-32 have them read.
func (b *batch) found() []schema.Record {
	var out []schema.Record
	for i, delta := range b.deltas {
		r := schema.Record{
			Offset: b.first + delta, LeaderEpoch: int32(b.leader), Timestamp: b.time + int64(i)*b.timeDelta,
			ProducerID: b.producer, ProducerEpoch: int16(b.epoch), Status: schema.Committed, Key: b.key, Value: b.value,
		}
		if b.attributes&8 != 0 {
			r.TimestampType, r.Timestamp = schema.LogAppendTime, b.max
		}
		if b.attributes&32 != 0 {
			r.Status = schema.Control
		} else if b.attributes&16 != 0 {
			r.Status = schema.Aborted
		}
		for range b.headers {
			r.Headers = append(r.Headers, schema.Header{Name: "h", Value: []byte("v")})
		}
		out = append(out, r)
	}
	return out
}
