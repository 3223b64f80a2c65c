package segment

import (
	"slices"

	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/schema"
)

// tally counts rows as they pass: by the writer to say what it wrote, by
// Recount to find the same.
type tally struct {
	done         []Part // parts that have all their rows
	seed         proof.Seed
	tree         proof.Tree // of the part that is being counted
	partFirst    int64
	counts       schema.Counts
	first, last  int64
	minTimestamp int64
	maxTimestamp int64
	epochs       []schema.LeaderEpoch
}

func (t *tally) rows() int64 { return t.counts.Rows() }

// begin starts a part: rows from now on count under its seed. A part without
// rows is none.
func (t *tally) begin(seed proof.Seed) {
	if t.tree.Size() > 0 {
		t.done = append(t.done, t.part())
	}
	t.seed, t.tree = seed, proof.Tree{}
}

// part is the one that is being counted, which has rows.
func (t *tally) part() Part {
	return Part{
		FirstOffset: t.partFirst, LastOffset: t.last, Rows: t.tree.Size(),
		Seed: t.seed, RecordRoot: t.tree.Root(), Subtrees: t.tree.Subtrees(),
	}
}

// parts are those done and the one that is being counted.
func (t *tally) parts() []Part {
	if t.tree.Size() == 0 {
		return t.done
	}
	return append(slices.Clip(t.done), t.part())
}

func (t *tally) add(r *schema.Record, leaf schema.Digest) {
	if t.rows() == 0 {
		t.first = r.Offset
	}
	if t.tree.Size() == 0 {
		t.partFirst = r.Offset
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
		Counts: t.counts, RecordRoot: RecordRoot(t.parts()),
		MinTimestamp: t.minTimestamp, MaxTimestamp: t.maxTimestamp,
		FirstOffset: t.first, LastOffset: t.last, LeaderEpochs: t.epochs,
	}
}
