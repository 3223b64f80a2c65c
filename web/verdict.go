package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// GetVerdict implements [api.StrictServerInterface].
func (o *operations) GetVerdict(ctx context.Context, r api.GetVerdictRequestObject) (api.GetVerdictResponseObject, error) {
	request := answer.VerdictRequest{TraceID: value(r.Params.TraceId), Topics: value(r.Params.Topic), From: value(r.Params.From), To: value(r.Params.To)}
	if r.Params.TraceId != nil {
		var err error
		if request.TraceID, err = pasted("trace_id", request.TraceID); err != nil {
			return nil, err
		}
	}
	if err := timeRange(request.From, request.To); err != nil {
		return nil, err
	}
	v, err := o.services.Queries.Verdict(ctx, callOf(ctx).who, request)
	if err != nil {
		return nil, err
	}
	out := api.GetVerdict200JSONResponse{
		Complete: v.Complete, Reasons: []api.VerdictReasons{}, From: moment(v.From), To: moment(v.To), SealedTo: moment(v.SealedTo),
		Unsealed: v.Unsealed, Behind: v.Behind, Gaps: each(v.Gaps, verdictGapOf), Partitions: each(v.Partitions, verdictPartitionOf), Notes: list(v.Notes),
	}
	for _, word := range v.Reasons {
		out.Reasons = append(out.Reasons, api.VerdictReasons(word))
	}
	if v.TraceID != "" {
		out.TraceId, out.Hops, out.Ghosts, out.UnsealedHops = &v.TraceID, &v.Hops, &v.Ghosts, &v.UnsealedHop
	}
	return out, nil
}

func verdictGapOf(g *answer.VerdictGap) api.VerdictGap {
	return api.VerdictGap{Class: g.Class, Ranges: g.Ranges, Offsets: g.Offsets}
}

func verdictPartitionOf(s *answer.VerdictStream) api.VerdictPartition {
	out := api.VerdictPartition{
		Topic: s.Topic, TopicId: topicIDOf(s.TopicID), Partition: s.Partition, From: s.From, To: s.To, SealedTo: s.SealedTo,
		LastSealed: moment(s.LastSealed), Gaps: each(s.Gaps, verdictGapOf),
	}
	if s.Unsealed >= 0 {
		out.Unsealed = &s.Unsealed
	}
	if s.Behind >= 0 {
		out.Behind = &s.Behind
	}
	return out
}

// GetFieldHistory implements [api.StrictServerInterface].
func (o *operations) GetFieldHistory(ctx context.Context, r api.GetFieldHistoryRequestObject) (api.GetFieldHistoryResponseObject, error) {
	id, err := pasted("trace_id", r.TraceId)
	if err != nil {
		return nil, err
	}
	h, err := o.services.Queries.Field(ctx, callOf(ctx).who, answer.FieldRequest{TraceID: id, Pointer: r.Params.Pointer, Limit: value(r.Params.Limit)})
	if err != nil {
		return nil, err
	}
	return api.GetFieldHistory200JSONResponse{
		TraceId: h.TraceID, Pointer: h.Pointer, Truncated: h.Truncated, Searched: searchedOf(h.Searched), Steps: each(h.Steps, fieldStepOf),
	}, nil
}

func fieldStepOf(s *answer.FieldStep) api.FieldStep {
	out := api.FieldStep{
		Hop: s.Hop, Record: hitOf(&s.Hit), Change: api.FieldStepChange(s.Change), Value: present(s.Value),
		MovedFrom: optional(s.MovedFrom), Note: optional(s.Note),
	}
	if s.Parent >= 0 {
		out.Parent = &s.Parent
	}
	return out
}
