package kafka

import (
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// Marker is what a control record says of the transaction it ends.
type Marker uint8

// The markers. MarkerOther is a control record that ends no transaction
// (a leader change, for one).
const (
	MarkerOther Marker = iota
	MarkerAbort
	MarkerCommit
)

// MarkerOf reads a control record's key: int16 version, int16 type, big-endian
// (KIP-98). A later version may append fields, never move these.
func MarkerOf(key []byte) Marker {
	if len(key) < 4 {
		return MarkerOther
	}
	switch binary.BigEndian.Uint16(key[2:]) {
	case 0:
		return MarkerAbort
	case 1:
		return MarkerCommit
	default:
		return MarkerOther
	}
}

// convert keeps the bytes where the client decompressed them. Status is
// Undecided for a transactional record, until a marker says more. The headers
// take the first places of room, and what is left of it is returned.
func convert(r *kgo.Record, id schema.TopicID, known names, room []schema.Header) (schema.Record, []schema.Header) {
	out := schema.Record{
		Topic: r.Topic, TopicID: id, Partition: r.Partition, Offset: r.Offset,
		LeaderEpoch: r.LeaderEpoch, Timestamp: milliseconds(r.Timestamp),
		TimestampType: schema.TimestampType(r.Attrs.TimestampType()),
		ProducerID:    r.ProducerID, ProducerEpoch: r.ProducerEpoch,
		Status: schema.Committed, Key: r.Key, Value: r.Value,
	}
	switch {
	case r.Attrs.IsControl():
		out.Status = schema.Control
	case r.Attrs.IsTransactional():
		out.Status = schema.Undecided
	}
	if n := len(r.Headers); n > 0 {
		out.Headers, room = room[:n:n], room[n:]
		for i, h := range r.Headers {
			out.Headers[i] = schema.Header{Name: known.one(h.Key), Value: h.Value}
		}
	}
	return out, room
}

// names keeps one copy of each header name: the client makes a string of each
// header of each record.
type names map[string]string

// mostNames bounds the map; whoever puts data into names gains nothing by it.
const mostNames = 4096

func (n names) one(name string) string {
	if kept, ok := n[name]; ok {
		return kept
	}
	if len(n) < mostNames {
		n[name] = name
	}
	return name
}

// milliseconds undoes what the client did to the broker's number: it keeps
// ms × 10⁶ in 64 bits of nanoseconds, which wraps for times after 2262 and
// before 1677. 10⁶ is 2⁶ × 15625, and 15625 has an inverse modulo 2⁵⁸, so
// every |ms| < 2⁵⁷ comes back exactly; only times beyond four million years
// do not.
func milliseconds(t time.Time) int64 {
	const (
		inverse = 0x10fb65668c26139 // 15625⁻¹ mod 2⁵⁸, held by a test
		mask    = 1<<58 - 1
	)
	ms := uint64(t.UnixNano()>>6) * inverse & mask
	return int64(ms<<6) >> 6 // the sign bit is bit 57
}
