package custody

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/ledger"
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
		Head:         chainHead{Seq: v.Head.Commit.Seq, SHA256: v.Head.Digest, Clock: v.Head.Commit.Clock},
		ArchivedFrom: v.Genesis.Next, ArchivedTo: v.Head.Next, Gaps: []gap{}, Branches: len(v.Branches),
	}
	// A divergence below the first offset in scope moves the start down.
	for _, b := range v.Branches {
		s.ArchivedFrom = min(s.ArchivedFrom, b.Point)
	}
	for _, part := range v.Current() {
		counts := part.Records
		if part.Until < part.Next {
			var err error
			if counts, err = e.countUntil(ctx, part); err != nil {
				return s, err
			}
		}
		s.Rows.Committed += counts.Committed
		s.Rows.Aborted += counts.Aborted
		s.Rows.Control += counts.Control
	}
	if err := e.addGaps(ctx, v, &s); err != nil {
		return s, err
	}
	missing := s.ArchivedTo - s.ArchivedFrom - s.Rows.Rows() - s.GapOffsets
	if missing < 0 || missing > 0 && len(v.Purged) == 0 {
		return s, schema.Errorf(schema.Corrupt, "account for %s: offsets %d to %d hold %d rows and %d gap offsets, %d are not accounted for",
			v.Stream, s.ArchivedFrom, s.ArchivedTo, s.Rows.Rows(), s.GapOffsets, missing)
	}
	s.Purged = missing
	return s, nil
}

func (e *Exporter) addGaps(ctx context.Context, v *ledger.View, s *statement) error {
	for _, g := range v.Gapped {
		gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
		if err != nil {
			return fmt.Errorf("account for %s: %w", v.Stream, err)
		}
		for _, one := range gaps {
			one.To = min(one.To, g.Until)
			if one.From >= one.To {
				continue // superseded by a later branch
			}
			s.GapOffsets += one.To - one.From
			if len(s.Gaps) == maxListedGaps {
				s.GapsOmitted++
				continue
			}
			s.Gaps = append(s.Gaps, gap{one.Class, one.From, one.To, one.Object})
		}
	}
	return nil
}

// countUntil counts the rows of a segment that a later branch cuts short.
func (e *Exporter) countUntil(ctx context.Context, part ledger.Segment) (schema.Counts, error) {
	var counts schema.Counts
	at := e.options.Store.ReaderAt(ctx, part.Ref.Key, part.Ref.Bytes)
	reader, err := segment.Open(ctx, at, part.Ref.Bytes)
	if err != nil {
		return counts, fmt.Errorf("count rows of %s: %w", part.Ref.Key, err)
	}
	for row, err := range reader.Rows(ctx, part.Base, part.Until, segment.Broker) {
		if err != nil {
			return counts, fmt.Errorf("count rows of %s: %w", part.Ref.Key, err)
		}
		switch row.Status {
		case schema.Aborted:
			counts.Aborted++
		case schema.Control:
			counts.Control++
		default:
			counts.Committed++
		}
	}
	return counts, nil
}
