package index

import (
	"encoding/binary"
	"math/bits"

	"github.com/fx-risk-ai/annals/schema"
)

// Hash is the hash by which ids are looked up: SipHash-2-4 with the zero key,
// what ClickHouse calls sipHash64 (Aumasson and Bernstein 2012). It is not a
// secret; it is chosen because nobody can name an id that collides with a
// given one, so that nothing can be hidden behind a flood of false hits.
func Hash[T string | []byte](id T) uint64 {
	v0, v1 := uint64(0x736f6d6570736575), uint64(0x646f72616e646f6d)
	v2, v3 := uint64(0x6c7967656e657261), uint64(0x7465646279746573)
	rest := id
	for len(rest) >= 8 {
		m := uint64(rest[0]) | uint64(rest[1])<<8 | uint64(rest[2])<<16 | uint64(rest[3])<<24 |
			uint64(rest[4])<<32 | uint64(rest[5])<<40 | uint64(rest[6])<<48 | uint64(rest[7])<<56
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
		rest = rest[8:]
	}
	m := uint64(len(id)) << 56
	for i := range len(rest) {
		m |= uint64(rest[i]) << (8 * i)
	}
	v3 ^= m
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= m
	v2 ^= 0xff
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}

// traceHash is a record's key in records_by_trace: the hash of its trace id,
// and of its identity where it has none, so that records without a trace do
// not all share one key. The leading zero byte keeps the two apart: an id
// never holds one.
func traceHash(traceID string, p schema.Position) uint64 {
	if traceID != "" {
		return Hash(traceID)
	}
	var b [1 + 16 + 4 + 4 + 8]byte
	copy(b[1:], p.TopicID[:])
	binary.BigEndian.PutUint32(b[17:], uint32(p.Partition))
	binary.BigEndian.PutUint32(b[21:], uint32(p.Branch))
	binary.BigEndian.PutUint64(b[25:], uint64(p.Offset))
	return Hash(b[:])
}
