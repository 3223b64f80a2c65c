package schema

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// MaxGapsBytes bounds the sidecar that GapsObject names.
const MaxGapsBytes = 64 << 20

// EncodeGaps gives the canonical bytes of a gap list that is too long for its
// commit: the array that Commit.Gaps would be, in the commit's own encoding,
// without a trailing newline. The list is checked against the commit's range
// first; sum is what belongs into GapOffsets.
func EncodeGaps(gaps []Gap, base, next int64) (raw []byte, sum int64, err error) {
	if sum, err = checkGaps(gaps, base, next); err != nil {
		return nil, 0, Errorf(Corrupt, "encode gaps: %w", err)
	}
	if raw, err = canonicalJSON(gaps); err != nil {
		return nil, 0, fmt.Errorf("encode gaps: %w", err)
	}
	if len(raw) > MaxGapsBytes {
		return nil, 0, Errorf(Exhausted, "encode gaps: %d bytes, at most %d", len(raw), MaxGapsBytes)
	}
	return raw, sum, nil
}

// ParseGaps reads what EncodeGaps wrote for a commit and holds it against that
// commit: hash, length, range and sum. The error is Corrupt.
func ParseGaps(raw []byte, c *Commit) ([]Gap, error) {
	switch ref := c.GapsObject; {
	case ref == nil:
		return nil, c.fault("names no gaps object")
	case int64(len(raw)) != ref.Bytes || CommitDigest(raw) != ref.SHA256:
		return nil, c.fault("the gaps object %s holds other bytes than it names", ref.Key)
	}
	var gaps []Gap
	if err := DecodeStrictly(raw, &gaps); err != nil {
		return nil, c.fault("parse gaps: %v", err)
	}
	sum, err := checkGaps(gaps, c.Base, c.Next)
	if err != nil {
		return nil, c.fault("%v", err)
	}
	if sum != c.GapOffsets {
		return nil, c.fault("gap_offsets says %d, the gaps object sums to %d", c.GapOffsets, sum)
	}
	again, err := canonicalJSON(gaps)
	if err != nil || !bytes.Equal(raw, again) {
		return nil, c.fault("the gaps object's bytes are not canonical")
	}
	return gaps, nil
}

// checkGaps holds a list against a range: known classes, ascending, none
// empty, none overlapping, none outside. It returns the number of offsets.
func checkGaps(gaps []Gap, base, next int64) (int64, error) {
	var sum int64
	at := base
	for _, g := range gaps {
		if !g.Class.Known() {
			return 0, fmt.Errorf("unknown gap class %q", g.Class)
		}
		if g.From < at || g.To <= g.From || g.To > next {
			return 0, fmt.Errorf("gap %d–%d overlaps, is empty or leaves the range", g.From, g.To)
		}
		if (g.Class == GapUnreadable) != (g.Object != nil) {
			return 0, fmt.Errorf("gap %d–%d: an object belongs to class unreadable and to no other", g.From, g.To)
		}
		if g.Evidence != nil && !utf8.ValidString(*g.Evidence) {
			return 0, fmt.Errorf("the evidence of gap %d–%d is not UTF-8", g.From, g.To)
		}
		sum += g.To - g.From
		at = g.To
	}
	return sum, nil
}
