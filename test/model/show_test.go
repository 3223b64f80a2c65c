package model

import (
	"fmt"
	"strings"
)

// show prints rows from an offset on: kind, leader epoch, status. P plain,
// T transactional, C and A markers (C+ and A+ with the raised producer epoch),
// - a gap; then ? undecided, ! aborted.
func show(l *rows, from uint8) string {
	var b strings.Builder
	b.WriteByte('[')
	for o := from; o < maxOffsets; o++ {
		if l[o] == 0 {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d:%s", o, l[o])
	}
	b.WriteByte(']')
	return b.String()
}

func (r row) String() string {
	kinds := map[row]string{plain: "P", inTxn: "T", commitMark: "C", abortMark: "A", abortRaised: "A+", commitRaised: "C+", gap: "-"}
	text := kinds[r.kind()]
	if r.kind() != gap {
		text += fmt.Sprintf("e%d", r.epoch())
	}
	if r.kind() == inTxn {
		text += map[row]string{0: "?", committed: "", aborted: "!"}[r.status()]
	}
	return text
}

func (c *commit) String() string {
	switch c.kind {
	case segmentKind:
		return fmt.Sprintf("segment %d–%d %s branch %d", c.base, c.next, show(&c.segment.rows, 0), c.branch)
	case divergence:
		return fmt.Sprintf("divergence to %d, branch %d", c.next, c.branch)
	case compaction:
		return fmt.Sprintf("compaction of %08b", c.replaced)
	case purge:
		return fmt.Sprintf("purge of %08b", c.replaced)
	case hold:
		return "hold"
	case theEnd:
		return "end"
	default:
		return "genesis"
	}
}

func (w *writer) String() string {
	places := [...]string{"closed", "opened", "tailing", "cut", "uploading", "stored", "placing", "lost", "won"}
	text := fmt.Sprintf("%s seq %d next %d %s", places[w.at], w.seq, w.next, show(&w.buffer, 0))
	if w.hand != 0 {
		text += " in hand " + w.hand.String()
	}
	if w.diverges != 0 {
		text += fmt.Sprintf(" diverges to %d", w.point)
	}
	return text
}
