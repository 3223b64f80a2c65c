package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/fx-risk-ai/annals/schema"
)

// sink counts and hashes what arrow writes. From hold on it keeps the bytes,
// so that the file's own digest can be put in its place before they go out. It
// has no Close method: arrow would close the caller's file with it.
type sink struct {
	out   io.Writer
	hash  hash.Hash
	bytes int64
	held  *bytes.Buffer
}

func newSink(out io.Writer) *sink { return &sink{out: out, hash: sha256.New()} }

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	if s.held != nil {
		return s.held.Write(p)
	}
	n, err := s.out.Write(p)
	s.hash.Write(p[:n]) // a hash's Write never fails
	s.bytes += int64(n)
	return n, err
}

// hold keeps everything written from now on until release.
func (s *sink) hold() { s.held = new(bytes.Buffer) }

// release computes the digest over the whole file with zeros in the digest's
// place, writes it there, writes what was held, and returns the SHA-256 of the
// file as it is now.
func (s *sink) release() (schema.Digest, error) {
	tail := s.held.Bytes()
	s.held = nil
	if footer := binary.LittleEndian.Uint32(tail[len(tail)-8:]); footer > maxFooter {
		return schema.Digest{}, schema.Errorf(schema.Exhausted, "a footer of %d bytes, at most %d: cut smaller segments", footer, maxFooter)
	}
	place, err := digestPlace(tail)
	if err != nil {
		return schema.Digest{}, err
	}
	whole, err := cloneHash(s.hash)
	if err != nil {
		return schema.Digest{}, err
	}
	whole.Write(tail)
	hex.Encode(tail[place:], whole.Sum(nil))
	if _, err := s.Write(tail); err != nil {
		return schema.Digest{}, err
	}
	return schema.Digest(s.hash.Sum(nil)), nil
}

// digestPlace finds the 64 hex digits of the digest in a file's end: they
// follow the key and two bytes of Thrift (field 2, binary; length 64).
func digestPlace(tail []byte) (int, error) {
	prefix := append([]byte(keyDigest), 0x18, hexDigest)
	at := bytes.LastIndex(tail, prefix)
	if at < 0 || at+len(prefix)+hexDigest > len(tail) {
		return 0, fmt.Errorf("no place for the file's digest in its footer")
	}
	return at + len(prefix), nil
}

func cloneHash(h hash.Hash) (hash.Hash, error) {
	cloner, ok := h.(hash.Cloner)
	if !ok {
		return nil, fmt.Errorf("this SHA-256 cannot be cloned")
	}
	clone, err := cloner.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone hash: %w", err)
	}
	return clone, nil
}
