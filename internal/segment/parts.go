package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// Part is a range of rows under one seed and one tree: what was a segment of
// its own before segments were joined. A segment that was not joined is one.
type Part struct {
	FirstOffset int64
	LastOffset  int64
	Rows        int64
	Seed        proof.Seed
	RecordRoot  schema.Digest
	Subtrees    []schema.Digest // of every 1,024 rows, as proof.Tree gives them
}

// RecordRoot is the record root of a segment with these parts: the tree hash
// over their roots, which are not hashed again. That of one part is its own.
func RecordRoot(parts []Part) schema.Digest {
	roots := make([]schema.Digest, len(parts))
	for i := range parts {
		roots[i] = parts[i].RecordRoot
	}
	return proof.RootOfSubtrees(roots)
}

// PartsIn gives the parts whose first row lies in [from, to): those that were
// a segment of that range before it was joined with others.
func (f *Footer) PartsIn(from, to int64) []Part {
	var in []Part
	for _, p := range f.Parts {
		if p.FirstOffset >= from && p.FirstOffset < to {
			in = append(in, p)
		}
	}
	return in
}

// partText is a part in the footer's JSON.
type partText struct {
	FirstOffset int64         `json:"first_offset,string"`
	LastOffset  int64         `json:"last_offset,string"`
	Rows        int64         `json:"rows,string"`
	Seed        proof.Seed    `json:"seed"`
	RecordRoot  schema.Digest `json:"record_root"`
	Subtrees    string        `json:"subtrees"` // base64 of the hashes end to end
}

// partList is decoded one by one, so that a text of empty parts cannot take
// more memory than MaxParts of them.
type partList []partText

// UnmarshalJSON implements json.Unmarshaler.
func (l *partList) UnmarshalJSON(raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if open, err := decoder.Token(); err != nil || open != json.Delim('[') {
		return fmt.Errorf("parts: no list")
	}
	*l = nil
	for decoder.More() {
		if len(*l) == MaxParts {
			return fmt.Errorf("more than %d parts", MaxParts)
		}
		var p partText
		if err := decoder.Decode(&p); err != nil {
			return err
		}
		*l = append(*l, p)
	}
	_, err := decoder.Token()
	return err
}

func (p *Part) text() partText {
	raw := make([]byte, 0, len(p.Subtrees)*sha256.Size)
	for i := range p.Subtrees {
		raw = append(raw, p.Subtrees[i][:]...)
	}
	return partText{
		FirstOffset: p.FirstOffset, LastOffset: p.LastOffset, Rows: p.Rows, Seed: p.Seed, RecordRoot: p.RecordRoot,
		Subtrees: base64.StdEncoding.EncodeToString(raw),
	}
}

func (p *partText) parse() (Part, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(p.Subtrees)
	if err != nil || len(raw)%sha256.Size != 0 {
		return Part{}, schema.Errorf(schema.Corrupt, "parse segment footer: the subtree hashes are damaged")
	}
	subtrees := make([]schema.Digest, len(raw)/sha256.Size)
	for i := range subtrees {
		copy(subtrees[i][:], raw[i*sha256.Size:])
	}
	return Part{
		FirstOffset: p.FirstOffset, LastOffset: p.LastOffset, Rows: p.Rows, Seed: p.Seed, RecordRoot: p.RecordRoot,
		Subtrees: subtrees,
	}, nil
}

// checkParts tells what does not fit of parts that must be the rows from first
// to last: ascending, apart, and together as many.
func checkParts(parts []Part, first, last, rows int64) string {
	if len(parts) == 0 || parts[0].FirstOffset != first || parts[len(parts)-1].LastOffset != last {
		return "the parts are not the whole"
	}
	var sum int64
	for i := range parts {
		p := &parts[i]
		switch {
		case p.Rows < 1 || p.Rows > rows || p.FirstOffset < 0 || p.LastOffset-p.FirstOffset < p.Rows-1:
			return fmt.Sprintf("the offsets of part %d do not hold its rows", i+1)
		case i > 0 && p.FirstOffset <= parts[i-1].LastOffset:
			return fmt.Sprintf("part %d does not lie behind the one before it", i+1)
		case int64(len(p.Subtrees)) != (p.Rows+proof.SubtreeLeaves-1)/proof.SubtreeLeaves:
			return "the subtree hashes are not as many as the rows need"
		case proof.RootOfSubtrees(p.Subtrees) != p.RecordRoot:
			return "the subtree hashes do not give the record root"
		}
		sum += p.Rows
	}
	if sum != rows {
		return "the parts are not the whole"
	}
	return ""
}

// Holds tells whether some of the parts, one after another, have a record root
// together, and every row in [from, to) lies in them: whether the segment has
// the rows of another one, which is itself or was joined into it.
func (f *Footer) Holds(root schema.Digest, from, to int64) bool {
	if f.RecordRoot == root {
		return true
	}
	for i := range f.Parts {
		if i > 0 && f.Parts[i-1].LastOffset >= from {
			break
		}
		var tree proof.Tree
		for j := i; j < len(f.Parts); j++ {
			tree.Append(f.Parts[j].RecordRoot)
			if (j+1 == len(f.Parts) || f.Parts[j+1].FirstOffset >= to) && tree.Root() == root {
				return true
			}
		}
	}
	return false
}
