package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// Encode gives the commit's canonical bytes: JSON without white space, every
// field in the order of the struct, 64-bit numbers as strings, no escaping
// beyond what JSON demands, no trailing newline. The commit is checked first;
// what does not hold is not written, and what is larger than MaxCommitBytes is
// Exhausted.
func (c *Commit) Encode() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	raw, err := canonical(c)
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxCommitBytes {
		return nil, Errorf(Exhausted, "commit %d of %s: %d bytes, at most %d", c.Seq, c.Stream(), len(raw), MaxCommitBytes)
	}
	if _, err := ParseCommit(raw); err != nil {
		// Text that is not UTF-8 is written as something else.
		return nil, fmt.Errorf("encode commit: it could not be read again: %w", err)
	}
	return raw, nil
}

// ParseCommit reads canonical bytes. It refuses, as Corrupt, unknown fields and
// kinds, bytes that are not the canonical ones, and a commit that does not hold;
// a commit of a newer version is ErrNewer.
func ParseCommit(raw []byte) (*Commit, error) {
	if len(raw) > MaxCommitBytes {
		return nil, Errorf(Corrupt, "parse commit: %d bytes, at most %d", len(raw), MaxCommitBytes)
	}
	var c Commit
	if err := DecodeStrictly(raw, &c); err != nil {
		return nil, Newer(raw, Errorf(Corrupt, "parse commit: %w", err), CommitFormat)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	again, err := canonical(&c)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(raw, again) {
		return nil, c.fault("the bytes are not canonical")
	}
	return &c, nil
}

// CommitDigest is the hash by which the next commit names these bytes.
func CommitDigest(raw []byte) Digest { return sha256.Sum256(raw) }

func canonical(c *Commit) ([]byte, error) {
	withLists := *c
	if withLists.Gaps == nil {
		withLists.Gaps = []Gap{}
	}
	if withLists.LeaderEpochs == nil {
		withLists.LeaderEpochs = []LeaderEpoch{}
	}
	// A list that may not apply is null, never empty: one content, one spelling.
	if len(withLists.Replaced) == 0 {
		withLists.Replaced = nil
	}
	if len(withLists.Redactions) == 0 {
		withLists.Redactions = nil
	}
	if a := withLists.Authority; a != nil && a.ApprovedBy == nil {
		unapproved := *a
		unapproved.ApprovedBy = []string{}
		withLists.Authority = &unapproved
	}
	raw, err := canonicalJSON(&withLists)
	if err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	return raw, nil
}

// canonicalJSON is the encoding that docs/formats/commit.md describes.
func canonicalJSON(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
