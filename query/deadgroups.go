package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// DeadRecordGroups counts the records that services could not process by what they
// failed of; a limit of 0 is DefaultDeadLetters. It looks at the newest
// MaxDeadRecords that are asked for, and says where there are more. Cursor must be
// empty.
func (e *Engine) DeadRecordGroups(ctx context.Context, who policy.Principal, request answer.DeadRecordRequest) (*answer.DeadRecordGroups, error) {
	if err := bound(&request.Limit, DefaultDeadLetters, MaxDeadLetters); err != nil {
		return nil, err
	}
	if request.Cursor != "" {
		return nil, schema.InvalidField("cursor", "groups have no pages")
	}
	groups := map[string]*answer.DeadRecordGroup{}
	w := &deadWalk{engine: e, who: who, request: request}
	err := w.run(ctx, func(r *answer.DeadRecord) bool {
		add(groups, r)
		return true
	})
	if err != nil {
		return nil, err
	}
	out := &answer.DeadRecordGroups{
		Examined: w.examined, Unread: w.unread, Complete: w.stopped == "" && w.unread == 0, Note: w.note(), Searched: w.searched,
	}
	if w.stopped != "" {
		out.Note += "; what is older is in no group: narrow the time"
	}
	for _, g := range groups {
		for _, names := range []*[]string{&g.Topics, &g.Originals, &g.By} {
			slices.Sort(*names)
		}
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b answer.DeadRecordGroup) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), b.Last.Compare(a.Last), strings.Compare(a.Signature, b.Signature))
	})
	if n := len(out.Groups); n > request.Limit {
		out.Groups, out.LeftOut = out.Groups[:request.Limit], n-request.Limit
	}
	return out, nil
}

// add counts a record in its group.
func add(groups map[string]*answer.DeadRecordGroup, r *answer.DeadRecord) {
	f, at := &r.Failure, time.UnixMilli(r.Hit.Timestamp).UTC()
	g := groups[f.Signature]
	if g == nil {
		g = &answer.DeadRecordGroup{Signature: f.Signature, Class: f.Class, Message: failure.Normalise(f.Message), Stage: f.Stage, First: at, Last: at}
		groups[f.Signature] = g
	}
	if g.Records++; f.Redriven > 0 {
		g.Redriven++
	}
	if at.Before(g.First) {
		g.First = at
	}
	if at.After(g.Last) {
		g.Last = at
	}
	name := func(list *[]string, text string) {
		if text != "" && len(*list) < answer.MaxGroupNames && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	name(&g.Topics, r.Hit.Topic)
	name(&g.By, f.By)
	if f.Original != nil {
		name(&g.Originals, f.Original.Topic)
	}
	if len(g.Samples) < answer.MaxGroupSamples {
		g.Samples = append(g.Samples, *r)
	}
}
