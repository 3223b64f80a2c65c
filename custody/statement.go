package custody

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/offsets"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// maxListedGaps bounds the gaps that a statement lists; all are counted.
const maxListedGaps = 1000

// statement accounts for every offset of a partition, as of the chain's head:
// ArchivedTo − ArchivedFrom = Rows + GapOffsets + Purged.
type statement struct {
	Head         chainHead     `json:"head"`
	ArchivedFrom int64         `json:"archived_from,string"`
	ArchivedTo   int64         `json:"archived_to,string"` // exclusive
	Rows         schema.Counts `json:"rows"`
	GapOffsets   int64         `json:"gap_offsets,string"`
	Gaps         []gap         `json:"gaps"`          // the first of them, by seq
	GapsOmitted  int64         `json:"gaps_omitted"`  // ranges beyond those listed
	Purged       int64         `json:"purged,string"` // offsets whose rows were taken away
	Branches     int           `json:"branches"`
}

// chainHead is the newest commit of the chain that was read. Clock is its
// writer's.
type chainHead struct {
	Seq    int64         `json:"seq,string"`
	SHA256 schema.Digest `json:"sha256"`
	Clock  string        `json:"clock"`
}

// gap is a range of offsets that Kafka did not serve, or that could not be read;
// To is exclusive. Object names the raw bytes of the latter.
type gap struct {
	Class schema.GapClass `json:"class"`
	From  int64           `json:"from,string"`
	To    int64           `json:"to,string"`

	Object *schema.ObjectRef `json:"object,omitempty"`
}

// stateOf accounts for the latest view of a chain. The error is Corrupt if it
// does not add up.
func (e *Exporter) stateOf(ctx context.Context, v *ledger.View) (statement, error) {
	s := statement{
		Head: chainHead{Seq: v.Head.Commit.Seq, SHA256: v.Head.Digest, Clock: v.Head.Commit.Clock}, Gaps: []gap{}, Branches: len(v.Branches),
	}
	sum, err := offsets.Latest(ctx, v, &stated{e, &s})
	if err != nil {
		return s, fmt.Errorf("account for %s: %w", v.Stream, err)
	}
	s.ArchivedFrom, s.ArchivedTo, s.Rows, s.GapOffsets, s.Purged = sum.From, sum.To, sum.Rows, sum.Gaps.Offsets(), sum.Purged
	if left := sum.Unaccounted(); left != 0 {
		return s, schema.Errorf(schema.Corrupt, "account for %s: offsets %d to %d hold %d rows, %d gap offsets and %d that were purged, %d are not accounted for",
			v.Stream, s.ArchivedFrom, s.ArchivedTo, s.Rows.Rows(), s.GapOffsets, s.Purged, left)
	}
	return s, nil
}

// stated is where the account of a statement comes from, which lists gaps on the
// way.
type stated struct {
	*Exporter
	statement *statement
}

// Gaps implements offsets.Source.
func (x *stated) Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error) {
	return x.options.Ledger.Gaps(ctx, c)
}

// Below implements offsets.Source.
func (x *stated) Below(ctx context.Context, g ledger.Gapped) (offsets.Gaps, error) {
	gaps, err := x.Gaps(ctx, g.Commit)
	if err != nil {
		return nil, err
	}
	sums := offsets.Gaps{}
	for _, one := range gaps {
		part, some := sums.AddBelow(one, g.Until)
		switch {
		case !some: // superseded by a later branch
		case len(x.statement.Gaps) == maxListedGaps:
			x.statement.GapsOmitted++
		default:
			x.statement.Gaps = append(x.statement.Gaps, gap{part.Class, part.From, part.To, part.Object})
		}
	}
	return sums, nil
}

// RowsBelow implements offsets.Source.
func (x *stated) RowsBelow(ctx context.Context, s ledger.Segment) (schema.Counts, error) {
	reader, err := segment.Open(ctx, x.options.Store.ReaderAt(ctx, s.Ref.Key, s.Ref.Bytes), s.Ref.Bytes)
	if err != nil {
		return schema.Counts{}, fmt.Errorf("count rows of %s: %w", s.Ref.Key, err)
	}
	return offsets.CountRows(ctx, reader, s)
}
