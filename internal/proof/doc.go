// Package proof turns records into evidence: one leaf hash a record, one
// RFC 6962 tree a segment.
//
// It promises that a leaf fixes every field the broker gave, byte for byte and
// with null apart from empty, and that the tree's root fixes every leaf, their
// order and their number. It promises that a leaf's key, value and headers
// can each be withheld or erased without changing the leaf, because they enter
// it as commitments under salts that only the segment's seed yields. It does
// not sign anything and does not know where segments or seeds are kept.
//
// Functions are pure. A Hasher or a Tree belongs to one goroutine at a time.
//
// Where to look:
//
//	seed.go   the segment's secret, and the salts that follow from it
//	leaf.go   the leaf of a record
//	tree.go   the streaming tree, its root and the hashes of its subtrees
//
// The byte-level description is docs/formats/proof.md.
package proof
