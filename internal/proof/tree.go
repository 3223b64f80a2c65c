package proof

import (
	"crypto/sha256"

	"github.com/fx-risk-ai/annals/schema"
)

// SubtreeLeaves is how many leaves each hash of Tree.Subtrees covers. With
// them a proof of one record reads one slice of the segment, not all of it.
const SubtreeLeaves = 1024

// nodePrefix is RFC 6962's domain byte of an inner node.
const nodePrefix = 0x01

// Tree computes an RFC 6962 Merkle tree hash over leaves as they come. It
// keeps one hash for every 1,024 leaves and ten more. The zero value is an
// empty tree. It is for one goroutine at a time.
type Tree struct {
	subtrees []schema.Digest // of the full slices of SubtreeLeaves
	slice    spine           // of the slice being filled
}

// Append adds the next leaf hash.
func (t *Tree) Append(leaf schema.Digest) {
	t.slice.push(leaf)
	if t.slice.size == SubtreeLeaves {
		t.subtrees = append(t.subtrees, t.slice.root())
		t.slice.reset()
	}
}

// Size is the number of leaves so far.
func (t *Tree) Size() int64 { return int64(len(t.subtrees))*SubtreeLeaves + int64(t.slice.size) }

// Root is the RFC 6962 Merkle tree hash of the leaves so far; of none, the
// hash of the empty string.
func (t *Tree) Root() schema.Digest { return RootOfSubtrees(t.Subtrees()) }

// Subtrees are the tree hashes of every 1,024 leaves, the last of what is
// left. Each is a node of the tree. The slice is the caller's.
func (t *Tree) Subtrees() []schema.Digest {
	all := make([]schema.Digest, len(t.subtrees), len(t.subtrees)+1)
	copy(all, t.subtrees)
	if t.slice.size > 0 {
		all = append(all, t.slice.root())
	}
	return all
}

// RootOfSubtrees folds what Tree.Subtrees returned into the root. RFC 6962
// splits a tree at the largest power of two below its size, and 1,024 is one:
// the tree over the slices has the shape of the tree over the leaves.
func RootOfSubtrees(subtrees []schema.Digest) schema.Digest {
	if len(subtrees) == 0 {
		return sha256.Sum256(nil)
	}
	var s spine
	for _, hash := range subtrees {
		s.push(hash)
	}
	return s.root()
}

// spine is a tree's right edge: the roots of its perfect subtrees, largest
// first, as many as size has one bits.
type spine struct {
	nodes []schema.Digest
	size  uint64
}

func (s *spine) push(node schema.Digest) {
	for level := s.size; level&1 == 1; level >>= 1 {
		last := len(s.nodes) - 1
		node = parent(s.nodes[last], node)
		s.nodes = s.nodes[:last]
	}
	s.nodes = append(s.nodes, node)
	s.size++
}

// root needs at least one node.
func (s *spine) root() schema.Digest {
	last := len(s.nodes) - 1
	node := s.nodes[last]
	for i := last - 1; i >= 0; i-- {
		node = parent(s.nodes[i], node)
	}
	return node
}

func (s *spine) reset() { s.nodes, s.size = s.nodes[:0], 0 }

func parent(left, right schema.Digest) schema.Digest {
	var in [1 + 2*sha256.Size]byte
	in[0] = nodePrefix
	copy(in[1:], left[:])
	copy(in[1+sha256.Size:], right[:])
	return sha256.Sum256(in[:])
}
