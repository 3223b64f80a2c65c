package segment

import (
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// tally counts rows as they pass: by the writer to say what it wrote, by
// Recount to find the same.
type tally struct {
	tree         proof.Tree
	counts       schema.Counts
	first, last  int64
	minTimestamp int64
	maxTimestamp int64
	epochs       []schema.LeaderEpoch
}

func (t *tally) rows() int64 { return t.counts.Rows() }

func (t *tally) add(r *schema.Record, leaf schema.Digest) {
	if t.rows() == 0 {
		t.first = r.Offset
	}
	t.last = r.Offset
	t.time(r)
	if n := len(t.epochs); n == 0 || t.epochs[n-1].Epoch != r.LeaderEpoch {
		t.epochs = append(t.epochs, schema.LeaderEpoch{Epoch: r.LeaderEpoch, Start: r.Offset})
	}
	switch r.Status {
	case schema.Aborted:
		t.counts.Aborted++
	case schema.Control:
		t.counts.Control++
	default:
		t.counts.Committed++
	}
	t.tree.Append(leaf)
}

// time widens the range of timestamps. Markers carry the broker's clock, not
// the history's: they count only while there is nothing else.
func (t *tally) time(r *schema.Record) {
	marker := r.Status == schema.Control
	data := t.counts.Committed+t.counts.Aborted > 0
	switch {
	case marker && data:
		return
	case t.rows() == 0 || !marker && !data:
		t.minTimestamp, t.maxTimestamp = r.Timestamp, r.Timestamp
	default:
		t.minTimestamp, t.maxTimestamp = min(t.minTimestamp, r.Timestamp), max(t.maxTimestamp, r.Timestamp)
	}
}

// summary gives everything but what only the file's bytes tell.
func (t *tally) summary() Summary {
	return Summary{
		Counts: t.counts, RecordRoot: t.tree.Root(),
		MinTimestamp: t.minTimestamp, MaxTimestamp: t.maxTimestamp,
		FirstOffset: t.first, LastOffset: t.last, LeaderEpochs: t.epochs,
	}
}
