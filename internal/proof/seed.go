package proof

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/fx-risk-ai/annals/schema"
)

// Every hash of this package begins with one of these tags. They are distinct
// and of one length, so no input of one kind can be read as another's; the
// length keeps seed and salt inputs within one SHA-256 block (55 bytes).
const (
	tagSeed       = "annals.seed.1"
	tagSalt       = "annals.salt.1"
	tagCommitment = "annals.comm.1"
	tagLeaf       = "annals.leaf.1"

	tagBytes = 13
)

// Seed is a segment's secret: 32 random bytes from which the salts of all its
// records follow. Whoever has it and a leaf can try guesses of a withheld
// field, so an erasure destroys it and a proof never carries it.
type Seed [32]byte

// NewSeed draws a seed from the system's random source, which does not fail
// (crypto/rand ends the process where it would).
func NewSeed() Seed {
	var s Seed
	_, _ = rand.Read(s[:]) // documented never to return an error
	return s
}

// MarshalText gives 64 lower-case hex digits.
func (s Seed) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads what MarshalText writes and refuses every other spelling.
func (s *Seed) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(s) || hex.EncodeToString(raw) != string(text) {
		return schema.Errorf(schema.Invalid, "parse seed: want 64 lower-case hex digits")
	}
	copy(s[:], raw)
	return nil
}

// field is what a salt and a commitment are for.
type field byte

const (
	fieldKey     field = 1
	fieldValue   field = 2
	fieldHeaders field = 3
)

// record derives the seed of the record at an offset.
func (s Seed) record(offset int64) Seed {
	var in [tagBytes + len(s) + 8]byte
	copy(in[:], tagSeed)
	copy(in[tagBytes:], s[:])
	binary.BigEndian.PutUint64(in[tagBytes+len(s):], uint64(offset))
	return sha256.Sum256(in[:])
}

// salt derives the salt of one field from a record's seed.
func (s Seed) salt(f field) [32]byte {
	var in [tagBytes + len(s) + 1]byte
	copy(in[:], tagSalt)
	copy(in[tagBytes:], s[:])
	in[tagBytes+len(s)] = byte(f)
	return sha256.Sum256(in[:])
}
