package query

import (
	"context"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Unsealed counts the committed records that are indexed behind the tails of some
// partitions, with record times in milliseconds from from to before to; nil is no
// bound. Partitions of topics that may not be seen are left out. What Kafka has
// and nobody has indexed yet is not counted.
func (e *Engine) Unsealed(ctx context.Context, who policy.Principal, tails []answer.Tail, from, to *int64) (int64, error) {
	var visible []index.Tail
	for _, tail := range tails {
		if who.Topics.Allows(tail.Stream.Topic) {
			visible = append(visible, index.Tail(tail))
		}
	}
	return e.options.Index.CountBehind(ctx, visible, from, to)
}
