package replay

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// unsealedWait bounds how long planning waits for records to be sealed.
const unsealedWait = time.Minute

// sealed finds what is selected in the ledger. What Kafka or the index has of it and
// the ledger not yet is left out, refused or waited for, as was asked.
func (r *resolver) sealed(ctx context.Context) error {
	find, otherwise := r.topics, answer.UnsealedCut
	if r.doc.Selection.byTrace() {
		find, otherwise = r.trace, answer.UnsealedFail
	}
	asked := cmp.Or(r.request.Unsealed, otherwise)
	r.ends = map[schema.StreamKey]int64{}
	pauses, deadline := retry.Between(100*time.Millisecond, 2*time.Second), time.Now().Add(unsealedWait)
	for {
		r.doc.Topics, r.warnings, r.olderRules, r.fresh, r.unsealed = nil, nil, 0, 0, nil
		if err := find(ctx); err != nil {
			return err
		}
		switch {
		case r.fresh == 0 && len(r.unsealed) == 0:
			return nil
		case asked == answer.UnsealedCut:
			if r.fresh > 0 {
				r.warn("%d records of the traces are not sealed yet; they are left out: run annals seal --wait and plan again", r.fresh)
			}
			return nil
		case asked == answer.UnsealedFail || time.Now().After(deadline):
			return r.notSealed()
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}

// notSealed says what is missing.
func (r *resolver) notSealed() error {
	what := fmt.Sprintf("%d records of the trace are", r.fresh)
	if n := len(r.unsealed); n > 0 {
		what = strings.Join(r.unsealed[:min(n, mostNamed)], ", ")
		if n > mostNamed {
			what += fmt.Sprintf(" and %d partitions more", n-mostNamed)
		}
		what += " are"
	}
	return schema.WithHint(schema.Errorf(schema.Conflict, "%s not sealed yet, and a replay takes what is in the ledger", what),
		"run annals seal --wait and plan again, or choose unsealed cut, which leaves out what is not sealed")
}
