package proof_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

func leaf(i int) schema.Digest {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

// merkle is RFC 6962 section 2.1, as it is written there.
func merkle(leaves []schema.Digest) schema.Digest {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := merkle(leaves[:k]), merkle(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// log keeps hashes as x/mod's tlog asks for them.
type log struct {
	hashes []tlog.Hash
	size   int64
}

func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = l.hashes[index]
	}
	return out, nil
}

func (l *log) append(t *testing.T, leaf schema.Digest) {
	t.Helper()
	stored, err := tlog.StoredHashesForRecordHash(l.size, tlog.Hash(leaf), l)
	if err != nil {
		t.Fatal(err)
	}
	l.hashes = append(l.hashes, stored...)
	l.size++
}

// At every size around the slices' borders our root is the Go checksum
// database's root, and tlog's own inclusion proofs check against it.
func TestRootAgreesWithTheGoChecksumDatabase(t *testing.T) {
	var tree proof.Tree
	var other log
	const last = 4*proof.SubtreeLeaves + 3
	for n := 0; n <= last; n++ {
		if tree.Size() != int64(n) {
			t.Fatalf("size is %d after %d leaves", tree.Size(), n)
		}
		beside := n % proof.SubtreeLeaves
		if n < 70 || beside < 3 || beside > proof.SubtreeLeaves-3 || n%97 == 0 {
			want, err := tlog.TreeHash(int64(n), &other)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				want = tlog.Hash(sha256.Sum256(nil)) // tlog has no empty tree
			}
			if got := tree.Root(); got != schema.Digest(want) {
				t.Fatalf("root of %d leaves is %s, tlog says %x", n, got, want)
			}
		}
		tree.Append(leaf(n))
		other.append(t, leaf(n))
	}
	inclusion, err := tlog.ProveRecord(other.size, 2000, &other)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(inclusion, other.size, tlog.Hash(tree.Root()), 2000, tlog.Hash(leaf(2000))); err != nil {
		t.Fatalf("tlog refuses its own proof against our root: %v", err)
	}
}

func TestSubtreesAreNodesOfTheTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 5*proof.SubtreeLeaves).Draw(t, "leaves")
		leaves := make([]schema.Digest, n)
		var tree proof.Tree
		for i := range leaves {
			leaves[i] = leaf(i)
			tree.Append(leaves[i])
		}
		subtrees := tree.Subtrees()
		if want := (n + proof.SubtreeLeaves - 1) / proof.SubtreeLeaves; len(subtrees) != want {
			t.Fatalf("%d leaves gave %d subtrees, want %d", n, len(subtrees), want)
		}
		for i, got := range subtrees {
			from := i * proof.SubtreeLeaves
			if want := merkle(leaves[from:min(from+proof.SubtreeLeaves, n)]); got != want {
				t.Fatalf("subtree %d of %d leaves is %s, want %s", i, n, got, want)
			}
		}
		if got, want := proof.RootOfSubtrees(subtrees), merkle(leaves); got != want || tree.Root() != want {
			t.Fatalf("root of %d leaves is %s from subtrees, %s from the tree, want %s", n, got, tree.Root(), want)
		}
		if n > 0 {
			subtrees[0][0] ^= 1
			if tree.Root() != merkle(leaves) {
				t.Fatal("what Subtrees returns is still the tree's own")
			}
		}
	})
}

func BenchmarkTree(b *testing.B) {
	var tree proof.Tree
	one := leaf(0)
	b.ReportAllocs()
	for b.Loop() {
		tree.Append(one)
	}
}
