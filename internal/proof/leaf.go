package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/fx-risk-ai/annals/schema"
)

const (
	// smallField is the size up to which copying a field next to its prefix
	// and hashing once is cheaper than feeding a running hash.
	smallField = 4 << 10
	// keptBuffer bounds the memory a Hasher holds between records.
	keptBuffer = 1 << 20

	absent  = 0x00
	present = 0x01

	// leafPrefix is RFC 6962's domain byte of a leaf: what follows it is the
	// log entry of which the leaf is the hash.
	leafPrefix = 0x00

	entryBytes = tagBytes + 16 + 4 + 4 + 8 + 4 + 1 + 8 + 8 + 2 + 1 + 3*sha256.Size
)

// Leaf is the RFC 6962 leaf hash of one record under its segment's seed. It is
// a convenience for one record; a Hasher allocates nothing for many.
func Leaf(seed Seed, r *schema.Record) schema.Digest { return NewHasher().Leaf(seed, r) }

// Hasher computes leaves and keeps its buffers between them. It is for one
// goroutine at a time.
type Hasher struct {
	large   hash.Hash
	sum     schema.Digest // what large yields; a local one would be moved to the heap
	scratch []byte
}

// NewHasher returns a Hasher.
func NewHasher() *Hasher {
	return &Hasher{large: sha256.New(), scratch: make([]byte, 0, smallField+128)}
}

// Leaf is the RFC 6962 leaf hash of one record under its segment's seed. It
// covers topic ID, partition, branch, offset, leader epoch, timestamp and its
// type, producer ID and epoch, status, and the commitments of key, value and
// headers. The topic's name is not covered: the ID is the identity.
func (h *Hasher) Leaf(seed Seed, r *schema.Record) schema.Digest {
	own := seed.record(r.Offset)
	key := h.commitBytes(own.salt(fieldKey), r.Key)
	value := h.commitBytes(own.salt(fieldValue), r.Value)
	headers := h.commitHeaders(own.salt(fieldHeaders), r.Headers)

	var room [1 + entryBytes]byte
	b := append(room[:0], leafPrefix)
	b = append(b, tagLeaf...)
	b = append(b, r.TopicID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Partition))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Branch))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(r.LeaderEpoch))
	b = append(b, byte(r.TimestampType))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Timestamp))
	b = binary.BigEndian.AppendUint64(b, uint64(r.ProducerID))
	b = binary.BigEndian.AppendUint16(b, uint16(r.ProducerEpoch))
	b = append(b, byte(r.Status))
	b = append(b, key[:]...)
	b = append(b, value[:]...)
	b = append(b, headers[:]...)
	return sha256.Sum256(b)
}

// commitBytes commits to a key or value; nil is null, which is not empty.
func (h *Hasher) commitBytes(salt [32]byte, x []byte) schema.Digest {
	b := append(h.scratch[:0], tagCommitment...)
	b = append(b, salt[:]...)
	if x == nil {
		return sha256.Sum256(append(b, absent))
	}
	b = append(b, present)
	if len(x) <= smallField {
		b = append(b, x...)
		h.scratch = b
		return sha256.Sum256(b)
	}
	h.large.Reset()
	h.large.Write(b) // a hash's Write never fails
	h.large.Write(x)
	h.large.Sum(h.sum[:0])
	return h.sum
}

// commitHeaders commits to all headers at once, with their order, duplicates,
// and null values apart from empty ones.
func (h *Hasher) commitHeaders(salt [32]byte, headers []schema.Header) schema.Digest {
	b := append(h.scratch[:0], tagCommitment...)
	b = append(b, salt[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	for i := range headers {
		b = binary.BigEndian.AppendUint32(b, uint32(len(headers[i].Name)))
		b = append(b, headers[i].Name...)
		if headers[i].Value == nil {
			b = append(b, absent)
			continue
		}
		b = append(b, present)
		b = binary.BigEndian.AppendUint32(b, uint32(len(headers[i].Value)))
		b = append(b, headers[i].Value...)
	}
	if cap(b) <= keptBuffer {
		h.scratch = b
	}
	return sha256.Sum256(b)
}
