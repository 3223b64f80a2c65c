package web

import (
	"cmp"
	"context"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// ListDeadRecords implements [api.StrictServerInterface].
func (o *operations) ListDeadRecords(ctx context.Context, r api.ListDeadRecordsRequestObject) (api.ListDeadRecordsResponseObject, error) {
	p := &r.Params
	page, err := o.services.Queries.DeadRecords(ctx, callOf(ctx).who, answer.DeadRecordRequest{
		Topic: value(p.Topic), Original: value(p.Original), Error: value(p.Error), Service: value(p.Service), Signature: value(p.Signature),
		From: value(p.From), To: value(p.To), Limit: value(p.Limit), Cursor: value(p.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return api.ListDeadRecords200JSONResponse{
		Records: each(page.Records, deadRecordOf), Examined: page.Examined, Unread: page.Unread, Note: optional(page.Note),
		NextCursor: optional(page.NextCursor), Searched: searchedOf(page.Searched),
	}, nil
}

// ListDeadRecordGroups implements [api.StrictServerInterface].
func (o *operations) ListDeadRecordGroups(ctx context.Context, r api.ListDeadRecordGroupsRequestObject) (api.ListDeadRecordGroupsResponseObject, error) {
	p := &r.Params
	found, err := o.services.Queries.DeadRecordGroups(ctx, callOf(ctx).who, answer.DeadRecordRequest{
		Topic: value(p.Topic), Original: value(p.Original), Error: value(p.Error), Service: value(p.Service),
		From: value(p.From), To: value(p.To), Limit: value(p.Limit),
	})
	if err != nil {
		return nil, err
	}
	return api.ListDeadRecordGroups200JSONResponse{
		Groups: each(found.Groups, deadGroupOf), LeftOut: found.LeftOut, Examined: found.Examined, Unread: found.Unread,
		Complete: found.Complete, Note: optional(found.Note), Searched: searchedOf(found.Searched),
	}, nil
}

// GetDeadChain implements [api.StrictServerInterface].
func (o *operations) GetDeadChain(ctx context.Context, r api.GetDeadChainRequestObject) (api.GetDeadChainResponseObject, error) {
	at := schema.Coordinates{Topic: r.Params.Topic, Partition: r.Params.Partition, Offset: r.Params.Offset}
	chain, err := o.services.Queries.DeadChain(ctx, callOf(ctx).who, answer.RecordRequest{Coordinates: at})
	if err != nil {
		return nil, err
	}
	return api.GetDeadChain200JSONResponse{Links: each(chain.Links, deadLinkOf), Truncated: chain.Truncated}, nil
}

// PlanRedrive implements [api.StrictServerInterface].
func (o *operations) PlanRedrive(ctx context.Context, r api.PlanRedriveRequestObject) (api.PlanRedriveResponseObject, error) {
	replays, err := o.replays()
	if err != nil {
		return nil, err
	}
	b := r.Body
	asked := answer.DeadRecordRequest{
		Topic: value(b.Topic), Original: value(b.Original), Error: value(b.Error), Service: value(b.Service), Signature: value(b.Signature),
		From: value(b.From), To: value(b.To), Limit: redrivePage,
	}
	for _, at := range value(b.Records) {
		asked.Records = append(asked.Records, schema.Coordinates{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset})
	}
	if len(asked.Records) == 0 && asked.Topic+asked.Original+asked.Error+asked.Service+asked.Signature == "" {
		return nil, schema.WithHint(schema.InvalidField("records", "nothing is selected"), "name dead letters, or narrow them by more than time: by signature, topic, original, error or service")
	}
	records, err := o.redriven(ctx, asked)
	if err != nil {
		return nil, err
	}
	plan, err := replays.Plan(ctx, callOf(ctx).who, answer.ReplayRequest{AllowExisting: value(b.AllowExisting), Redrive: &answer.RedriveRequest{
		Records: records, Limit: value(b.Limit), KeepHeaders: value(b.KeepHeaders), Again: value(b.Again), SkipRefused: value(b.SkipRefused),
	}})
	if err != nil {
		return nil, err
	}
	return api.PlanRedrive200JSONResponse(planOf(plan)), nil
}

// redrivePage is how many dead letters are asked for at once.
const redrivePage = 1000

// redriven finds the dead letters that are asked for: all of them, read and sealed,
// or none.
func (o *operations) redriven(ctx context.Context, asked answer.DeadRecordRequest) ([]answer.RedriveRecord, error) {
	var records []answer.RedriveRecord
	unsealed := 0
	for {
		page, err := o.services.Queries.DeadRecords(ctx, callOf(ctx).who, asked)
		if err != nil {
			return nil, err
		}
		if page.Unread > 0 {
			return nil, schema.Errorf(schema.Unavailable, "dead letters that may be among the selected ones cannot be read: %s", page.Note)
		}
		for i := range page.Records {
			h := &page.Records[i].Hit
			if !h.Sealed {
				unsealed++
			}
			records = append(records, answer.RedriveRecord{
				Place:   answer.Place{Topic: h.Topic, TopicID: h.TopicID, Partition: h.Partition, Branch: h.Branch, Offset: h.Offset},
				PutBack: page.Records[i].PutBack,
			})
		}
		switch asked.Cursor = page.NextCursor; {
		case len(records) > answer.MaxRedriven:
			return nil, schema.WithHint(schema.Errorf(schema.Exhausted, "more than %d dead letters are selected, and one plan takes no more", answer.MaxRedriven), "narrow them by time")
		case asked.Cursor != "":
		case len(records) == 0:
			return nil, schema.Errorf(schema.NotFound, "no dead letter is as asked for: %s", cmp.Or(page.Note, "annals dead-letters records lists those that there are"))
		case unsealed > 0:
			return nil, schema.WithHint(schema.Errorf(schema.Conflict, "%d of the dead letters are not sealed yet, and a replay takes what is in the ledger", unsealed), "run annals seal --wait and plan again")
		default:
			return records, nil
		}
	}
}

func deadRecordOf(r *answer.DeadRecord) api.DeadRecord {
	return api.DeadRecord{Record: hitOf(&r.Hit), Failure: failureOf(&r.Failure), PutBack: placeOf(r.PutBack)}
}

func failureOf(f *answer.Failure) api.Failure {
	return api.Failure{
		Framework: optional(f.Framework), Original: placeOf(f.Original), Last: placeOf(f.Last), Class: optional(f.Class), Message: optional(f.Message),
		Stage: optional(f.Stage), By: optional(f.By), Redriven: f.Redriven, Back: f.Back, Signature: f.Signature, Problem: optional(f.Problem),
	}
}

func placeOf(at *schema.Coordinates) *api.Place {
	if at == nil {
		return nil
	}
	return &api.Place{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset}
}

func deadGroupOf(g *answer.DeadRecordGroup) api.DeadRecordGroup {
	return api.DeadRecordGroup{
		Signature: g.Signature, Class: g.Class, Message: g.Message, Stage: g.Stage, Records: g.Records, Redriven: g.Redriven,
		First: writable(g.First), Last: writable(g.Last), Topics: list(g.Topics), Originals: list(g.Originals), By: list(g.By),
		Samples: each(g.Samples, deadRecordOf),
	}
}

func deadLinkOf(l *answer.DeadLink) api.DeadLink {
	out := api.DeadLink{At: *placeOf(&l.At), Role: api.DeadLinkRole(l.Role), Note: optional(l.Note)}
	out.CopyOf = each(l.CopyOf, func(at *schema.Coordinates) api.Place { return *placeOf(at) })
	if l.Hit != nil {
		hit := hitOf(l.Hit)
		out.Record = &hit
	}
	if l.Failure != nil {
		told := failureOf(l.Failure)
		out.Failure = &told
	}
	return out
}
