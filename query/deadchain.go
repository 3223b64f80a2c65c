package query

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// DeadChain follows a record through its failures: back by the coordinates that
// its headers name, or where there are none by the events that caused it, and on to
// the records that name it. The record itself must be archived.
func (e *Engine) DeadChain(ctx context.Context, who policy.Principal, request answer.RecordRequest) (*answer.DeadChain, error) {
	first, err := e.Record(ctx, who, request)
	if err != nil {
		return nil, err
	}
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	f := &follower{engine: e, catalog: c, who: who, links: map[schema.Coordinates]*answer.DeadLink{}}
	f.see(request.Coordinates, first)
	for len(f.todo) > 0 {
		at := f.todo[0]
		f.todo = f.todo[1:]
		if f.links[at] == nil {
			found, err := e.Record(ctx, who, answer.RecordRequest{Coordinates: at})
			switch schema.KindOf(err) {
			case schema.NotFound, schema.Corrupt, schema.Exhausted:
				f.links[at] = &answer.DeadLink{At: at, Role: answer.ChainOriginal, Note: err.Error()}
				continue
			}
			if err != nil {
				return nil, err
			}
			f.see(at, found)
		}
		if err := f.onward(ctx, at); err != nil {
			return nil, err
		}
	}
	return f.chain(), nil
}

// follower collects a chain.
type follower struct {
	engine  *Engine
	catalog *catalog
	who     policy.Principal
	links   map[schema.Coordinates]*answer.DeadLink
	wanted  map[schema.Coordinates]bool
	todo    []schema.Coordinates
	cut     bool
}

// want puts a record on the list, if it may be seen.
func (f *follower) want(at schema.Coordinates) {
	if f.wanted == nil {
		f.wanted = map[schema.Coordinates]bool{}
	}
	switch {
	case f.wanted[at] || !f.who.Topics.Allows(at.Topic):
	case len(f.wanted) == answer.MaxChainLinks:
		f.cut = true
	default:
		f.wanted[at] = true
		f.todo = append(f.todo, at)
	}
}

// see takes a record into the chain, and wants what it is a copy of.
func (f *follower) see(at schema.Coordinates, r *answer.Record) {
	link := &answer.DeadLink{At: at, Hit: &r.Hit}
	if told := failureOf(f.who, r.Record); told.Framework != "" || told.Redriven > 0 {
		link.Failure = &told
	}
	link.Role = f.role(r, link.Failure)
	for _, cause := range r.Extraction.Causes {
		of, err := schema.ParseCoordinates(cause.ID)
		if err != nil || cause.Kind != schema.CauseCopy || !f.who.Topics.Allows(of.Topic) {
			continue
		}
		link.CopyOf = append(link.CopyOf, of)
	}
	f.links[at] = link
	f.want(at) // what names it is still to be found
	for _, of := range link.CopyOf {
		f.want(of)
	}
}

func (f *follower) role(r *answer.Record, told *answer.Failure) string {
	switch {
	case f.engine.hasDeadLetters(r.Hit.Topic):
		return answer.ChainDeadLetter
	case told != nil && told.Back:
		return answer.ChainRedriven
	case told != nil && told.Framework == string(failure.SpringRetry):
		return answer.ChainRetry
	case told != nil && told.Framework != "":
		return answer.ChainDeadLetter
	case slices.ContainsFunc(r.Extraction.Causes, func(c schema.Cause) bool { return c.Kind == schema.CauseCopy }):
		return answer.ChainCopy
	}
	return answer.ChainOriginal
}

// onward finds the records that name one as what they are a copy of, and, of a dead
// letter that names no record, the events that caused it.
func (f *follower) onward(ctx context.Context, at schema.Coordinates) error {
	ids := []index.ID{{Kind: schema.RefRecord, Text: at.String()}}
	link := f.links[at]
	if link.Role == answer.ChainDeadLetter && len(link.CopyOf) == 0 {
		found, err := f.engine.Record(ctx, f.who, answer.RecordRequest{Coordinates: at})
		if err != nil {
			return err
		}
		for _, cause := range found.Extraction.Causes {
			if cause.Kind == schema.CauseEvent {
				ids = append(ids, index.ID{Kind: schema.IDEvent, Text: cause.ID})
			}
		}
	}
	found, cut, err := f.engine.options.Index.Lookup(ctx, ids, nil, f.catalog.scope(f.who))
	if err != nil {
		return err
	}
	f.cut = f.cut || cut
	hits := make([]index.Hit, 0, len(found))
	for i := range found {
		if found[i].Hit.Status == schema.Committed {
			hits = append(hits, found[i].Hit)
		}
	}
	hits, err = f.engine.counting(ctx, f.catalog, hits)
	for i := range hits {
		f.want(hits[i].Coordinates())
	}
	return err
}

// chain puts the links into the order of time; those that are not archived, and of
// which no time is known, come first.
func (f *follower) chain() *answer.DeadChain {
	out := &answer.DeadChain{Truncated: f.cut}
	for _, link := range f.links {
		out.Links = append(out.Links, *link)
	}
	when := func(l *answer.DeadLink) int64 {
		if l.Hit == nil {
			return -1 << 63
		}
		return l.Hit.Timestamp
	}
	slices.SortFunc(out.Links, func(a, b answer.DeadLink) int {
		return cmp.Or(cmp.Compare(when(&a), when(&b)), cmp.Compare(len(a.CopyOf), len(b.CopyOf)), strings.Compare(a.At.String(), b.At.String()))
	})
	return out
}
