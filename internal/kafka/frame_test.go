package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
)

// batchOf makes a batch of magic 2 without records, right but for what is
// changed behind it.
func batchOf(base int64, lastDelta int32) []byte {
	tail := binary.BigEndian.AppendUint16(nil, 0)
	tail = binary.BigEndian.AppendUint32(tail, uint32(lastDelta))
	tail = append(tail, make([]byte, 8+8+8+2+4+4)...)
	out := binary.BigEndian.AppendUint64(nil, uint64(base))
	out = binary.BigEndian.AppendUint32(out, uint32(len(tail)+9))
	out = append(out, 0, 0, 0, 0, 2)
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(tail, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, tail...)
}

func TestWhatOfAnAnswerIsSuspect(t *testing.T) {
	s := schema.Stream{Topic: "t"}
	good, bad := batchOf(0, 4), batchOf(5, 4)
	bad[25] ^= 1 // the last offset delta
	behindIt := batchOf(10, 0)
	answer := bytes.Join([][]byte{good, bad, behindIt}, nil)
	if f, _, _ := suspect(answer, s, 2); f != nil {
		t.Errorf("offset 2 can be read: %s", f.header())
	}
	f, rest, err := suspect(answer, s, 5)
	if f == nil || err == nil || !bytes.Equal(f.raw, bad) || !bytes.Equal(rest, behindIt) {
		t.Fatalf("offset 5: %+v, %d bytes behind, %v", f, len(rest), err)
	}
	if next := behind(rest, 5); next == nil || next.base != 10 {
		t.Errorf("behind it: %+v", next)
	}
	bad[11]++ // the length: what it leads to is no batch
	answer = bytes.Join([][]byte{good, bad, behindIt}, nil)
	if f, rest, _ = suspect(answer, s, 5); f == nil || len(rest) > 0 || !bytes.Equal(f.raw, answer[len(good):]) {
		t.Errorf("a length that lies: %+v, %d bytes behind", f, len(rest))
	}
	if f, _, _ = suspect(nil, s, 5); f != nil {
		t.Error("nothing is suspect")
	}
}

// FuzzSuspect feeds answers that no broker gives: whatever comes, what is
// suspect is a part of the answer, and what is behind it follows.
func FuzzSuspect(f *testing.F) {
	f.Add(batchOf(7, 3), int64(7))
	f.Add(append(batchOf(0, 0), batchOf(1, 1<<30)...), int64(1))
	f.Add(bytes.Repeat([]byte{0xff}, 100), int64(0))
	f.Add(make([]byte, 100), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, from int64) {
		bad, rest, err := suspect(raw, schema.Stream{Topic: "t"}, from)
		if bad == nil {
			return
		}
		if err == nil || len(bad.raw) == 0 || !bytes.HasSuffix(raw, append(bytes.Clone(bad.raw), rest...)) || bad.header() == "" {
			t.Errorf("%d of %d bytes, %d behind: %v", len(bad.raw), len(raw), len(rest), err)
		}
	})
}
