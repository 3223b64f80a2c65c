package custody_test

import (
	"context"
	"testing"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// forgetful is a ledger that loses a gap.
type forgetful struct{ *ledger.Ledger }

func (f forgetful) Gaps(ctx context.Context, c *schema.Commit) ([]schema.Gap, error) {
	gaps, err := f.Ledger.Gaps(ctx, c)
	if len(gaps) > 0 {
		gaps = gaps[1:]
	}
	return gaps, err
}

// A statement counts what purges took away by what they took. What is missing
// besides is not taken for purged.
func TestPurgesHideNothing(t *testing.T) {
	a := newArchive(t)
	for range 3 {
		a.produce("orders", 0, day, "to be purged", nil)
	}
	a.seal()
	s := a.stream("orders", 0)
	purged := s.head.Commit
	a.produce("orders", 0, day, "behind a gap", func(r *schema.Record) { r.Offset += 2 })
	a.seal()
	c := a.commit(s, schema.KindPurge)
	c.Base, c.Next = purged.Base, purged.Next
	c.Replaced = []schema.ObjectRef{purged.Segment.ObjectRef}
	c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test"}
	a.append(s, c)
	r := answer.ExportRequest{Topics: []string{"orders"}}
	if got := open(t, a.export(a.exporter(nil), policy.Everything(), r)); got.Streams[0].Purged != "3" || got.Streams[0].GapOffsets != "2" || got.Streams[0].Rows.Committed != "1" {
		t.Errorf("%+v", got.Streams[0])
	}
	e := a.exporter(func(o *custody.Options) { o.Ledger = forgetful{a.book} })
	if err := e.Export(t.Context(), policy.Everything(), r, &discarded{}); schema.KindOf(err) != schema.Corrupt {
		t.Errorf("with two offsets missing: %v", err)
	}
}
