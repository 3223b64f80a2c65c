package ledger

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

// thousand is a full rollup of gap commits, the smallest there are.
func thousand(t testing.TB) (schema.Stream, []byte) {
	t.Helper()
	s := schema.Stream{Cluster: "c", Topic: "t", TopicID: schema.TopicID{1}}
	var all bytes.Buffer
	var previous *schema.Digest
	for seq := range int64(perRollup) {
		c := &schema.Commit{
			Format: schema.CommitFormat, Kind: schema.KindGap, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID,
			Seq: seq, Previous: previous, Attempt: fmt.Sprint("a", seq), Writer: "w", Base: seq, Next: seq + 1,
			Gaps: []schema.Gap{{Class: schema.GapCleaned, From: seq, To: seq + 1}}, GapOffsets: 1, Clock: "2026-01-02T03:04:05Z",
		}
		if seq == 0 {
			c.Kind, c.Next, c.Gaps, c.GapOffsets = schema.KindGenesis, 0, nil, 0
			c.Start = &schema.Start{Policy: "earliest"}
		} else {
			c.Base, c.Next = seq-1, seq
			c.Gaps[0].From, c.Gaps[0].To = c.Base, c.Next
		}
		raw, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		digest := schema.CommitDigest(raw)
		previous = &digest
		all.Write(raw)
		all.WriteByte('\n')
	}
	return s, all.Bytes()
}

// chained reads a rollup as a walk does, but for the store: lines, then chain.
func chained(s schema.Stream, raw []byte) (Head, error) {
	batch, err := parseRollup(s, 0, raw)
	if err != nil {
		return Head{}, err
	}
	var at Head
	for _, e := range batch {
		if err := at.follow(e.Commit); err != nil {
			return Head{}, err
		}
		at = at.behind(e.Commit, e.Digest)
	}
	return at, nil
}

// FuzzRollup replaces a part of a full rollup. What comes out is the rollup as
// it was, or Corrupt, or ends in another head, which the commit behind it does
// not name.
func FuzzRollup(f *testing.F) {
	s, whole := thousand(f)
	sound, err := chained(s, whole)
	if err != nil || sound.Commit.Seq != perRollup-1 {
		f.Fatalf("the sound rollup: %v", err)
	}
	line := bytes.IndexByte(whole, '\n') + 1
	f.Add(uint(0), uint(0), []byte{})                              // nothing is changed
	f.Add(uint(0), uint(line), []byte{})                           // the genesis is gone
	f.Add(uint(line-1), uint(1), []byte{})                         // two commits on one line
	f.Add(uint(line), uint(0), []byte("\n"))                       // an empty line
	f.Add(uint(len(whole)-1), uint(1), []byte{})                   // the last line does not end
	f.Add(uint(len(whole)), uint(0), whole[:line])                 // a thousand and one
	f.Add(uint(line), uint(line), whole[:line])                    // one commit in another's place
	f.Add(uint(len(whole)/2), uint(1), []byte{0xff})               // not UTF-8
	f.Add(uint(bytes.IndexByte(whole, 'w')), uint(1), []byte("v")) // another writer, and every hash behind it is wrong
	f.Fuzz(func(t *testing.T, at, cut uint, put []byte) {
		from := min(at, uint(len(whole)))
		to := min(from+min(cut, uint(len(whole))), uint(len(whole)))
		raw := append(append(bytes.Clone(whole[:from]), put...), whole[to:]...)
		head, err := chained(s, raw)
		switch {
		case err != nil && schema.KindOf(err) != schema.Corrupt:
			t.Fatalf("not Corrupt: %v", err)
		case err == nil && head.Digest == sound.Digest && !bytes.Equal(raw, whole):
			t.Fatal("other bytes were read as the same chain")
		case err != nil && bytes.Equal(raw, whole):
			t.Fatalf("the sound rollup was refused: %v", err)
		}
	})
}
