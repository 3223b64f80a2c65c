package query

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// matchRecords bounds the records shown of one role.
const matchRecords = 20

// Identify finds every role that an id plays: what it is, and what names it,
// in whichever encoding it is kept. A key or a header is one where the topic's policy
// says so.
// Nothing found is an answer without matches.
func (e *Engine) Identify(ctx context.Context, who policy.Principal, id string) (*answer.Identification, error) {
	spellings, forms := extract.Spellings(id)
	if len(spellings) == 0 {
		return nil, schema.InvalidField("id", "id %.64q: want printable text of 1 to %d bytes", id, extract.MaxIDBytes)
	}
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	var (
		trace       []index.Hit
		found       []index.Found
		more, moreT bool
	)
	scope := c.scope(who)
	// Both are asked for at once: the second takes two questions, one after the
	// other.
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		trace, moreT, err = e.options.Index.Trace(both, spellings, scope, maxByID)
		return err
	})
	group.Go(func() (err error) {
		found, more, err = e.options.Index.Lookup(both, roles(spellings), nil, scope)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := &answer.Identification{ID: id, Forms: forms, Tried: spellings, Truncated: more || moreT, Searched: c.searched(who)}
	if err := e.match(ctx, c, out, answer.RoleTrace, trace); err != nil {
		return nil, err
	}
	byKind := map[schema.IDKind][]index.Hit{}
	var kinds []schema.IDKind
	for i := range found {
		kind := found[i].Kind
		if byKind[kind] == nil {
			kinds = append(kinds, kind)
		}
		byKind[kind] = append(byKind[kind], found[i].Hit)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		if err := e.match(ctx, c, out, kind.String(), byKind[kind]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// match adds one role, if committed records that count play it.
func (e *Engine) match(ctx context.Context, c *catalog, out *answer.Identification, role string, hits []index.Hit) error {
	hits, err := e.counting(ctx, c, slices.DeleteFunc(hits, func(h index.Hit) bool { return h.Status != schema.Committed }))
	if err != nil || len(hits) == 0 {
		return err
	}
	slices.SortFunc(hits, func(a, b index.Hit) int { return newestFirst(a.Mark(), b.Mark()) })
	m := answer.Match{Role: role, TraceID: hits[0].TraceID, Count: int64(len(hits))}
	for i := range hits {
		if hits[i].TraceID != m.TraceID {
			m.TraceID = ""
		}
		if i < matchRecords {
			hit := c.hit(&hits[i])
			e.name(&hit)
			m.Records = append(m.Records, hit)
		}
	}
	out.Matches = append(out.Matches, m)
	return nil
}
