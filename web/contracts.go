package web

import (
	"context"
	"encoding/json"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// ListViolations implements [api.StrictServerInterface].
func (o *operations) ListViolations(ctx context.Context, r api.ListViolationsRequestObject) (api.ListViolationsResponseObject, error) {
	request := answer.ViolationRequest{
		Topic: value(r.Params.Topic), EventType: value(r.Params.EventType), Service: value(r.Params.Service), Rule: value(r.Params.Rule),
		From: value(r.Params.From), To: value(r.Params.To), Limit: value(r.Params.Limit),
	}
	if err := timeRange(request.From, request.To); err != nil {
		return nil, err
	}
	found, err := o.services.Queries.Violations(ctx, callOf(ctx).who, request)
	if err != nil {
		return nil, err
	}
	return api.ListViolations200JSONResponse{More: found.More, Violations: each(found.Groups, func(v *answer.Violation) api.Violation {
		return api.Violation{
			Topic: v.Topic, EventType: v.EventType, EventVersion: v.EventVersion, SourceService: v.Service, Rule: v.Rule, Team: optional(v.Team),
			Records: v.Records, FirstTimestamp: moment(v.First), LastTimestamp: moment(v.Last),
			Newest: api.Coordinates{Topic: v.Newest.Topic, TopicId: topicIDOf(v.Newest.TopicID), Partition: v.Newest.Partition, Branch: v.Newest.Branch, Offset: v.Newest.Offset},
		}
	})}, nil
}

// CheckContract implements [api.StrictServerInterface].
func (o *operations) CheckContract(ctx context.Context, r api.CheckContractRequestObject) (api.CheckContractResponseObject, error) {
	found, err := o.services.Queries.CheckContract(ctx, callOf(ctx).who, answer.ContractCheckRequest{
		Name: value(r.Body.Name), Text: r.Body.Contract, Schemas: value(r.Body.Schemas), Days: value(r.Body.Days), Limit: value(r.Body.Limit),
	})
	if err != nil {
		return nil, err
	}
	out := api.CheckContract200JSONResponse{
		EventType: found.Type, EventVersion: found.Version, Verdict: api.ContractCheckVerdict(found.Verdict),
		Against: optional(found.Against), Evolution: api.ContractCheckEvolution(found.Evolution), From: found.From,
		OwnVersion: found.OwnVersion, Looked: found.Looked, Withheld: found.Withheld, Unread: found.Unread, Masked: found.Masked, Broken: found.Broken,
		Differences: each(found.Differences, func(d *answer.ContractDifference) api.ContractDifference {
			return api.ContractDifference{Path: d.Path, Change: d.Change, BreaksEvents: d.Events, BreaksConsumers: d.Consumers}
		}),
		Rules: each(found.Rules, func(c *answer.RuleCount) api.RuleCount { return api.RuleCount{Rule: c.Rule, Records: c.Records} }),
		Events: each(found.Events, func(b *answer.BrokenEvent) api.BrokenEvent {
			return api.BrokenEvent{Record: hitOf(&b.Hit), Rules: b.Rules}
		}),
	}
	out.Sample = api.ContractCheckSample(found.Sample)
	if found.Matching >= 0 {
		out.Matching = &found.Matching
	}
	return out, nil
}

// ListEventTypes implements [api.StrictServerInterface].
func (o *operations) ListEventTypes(ctx context.Context, r api.ListEventTypesRequestObject) (api.ListEventTypesResponseObject, error) {
	found, err := o.services.Queries.EventTypes(ctx, callOf(ctx).who, value(r.Params.EventType))
	if err != nil {
		return nil, err
	}
	return api.ListEventTypes200JSONResponse{EventTypes: each(found.Types, eventTypeOf), More: found.More, Notes: list(found.Notes)}, nil
}

func eventTypeOf(t *answer.EventType) api.EventType {
	out := api.EventType{
		EventType: t.Type, Team: optional(t.Team), TeamBy: optional(t.TeamBy), Description: optional(t.Description),
		Records: t.Records, Bytes: t.Bytes, WithErrors: t.Errors, FirstTimestamp: moment(t.First), LastTimestamp: moment(t.Last),
		ConsumersKnown: t.ConsumersKnown, Sla: optional(t.SLA),
		Versions: each(t.Versions, func(v *answer.EventVersion) api.EventVersion {
			return api.EventVersion{EventVersion: v.Version, Records: v.Records, FirstTimestamp: moment(v.First), LastTimestamp: moment(v.Last), Contract: optional(v.Contract)}
		}),
		Producers: each(t.Producers, func(p *answer.EventProducer) api.EventProducer {
			return api.EventProducer{Service: p.Service, Records: p.Records, Declared: p.Declared}
		}),
		Consumers: each(t.Consumers, func(c *answer.EventConsumer) api.EventConsumer {
			return api.EventConsumer{Group: c.Group, Topics: list(c.Topics)}
		}),
		Topics: each(t.Topics, func(o *answer.EventTopic) api.EventTopic {
			return api.EventTopic{Topic: o.Topic, Records: o.Records, Declared: o.Declared}
		}),
	}
	if t.MaxDelay > 0 {
		ms := t.MaxDelay.Milliseconds()
		out.MaxDelayMs = &ms
	}
	if t.Schema != nil {
		out.Schema = json.RawMessage(t.Schema)
	}
	if t.Sample != nil {
		sample := hitOf(t.Sample)
		out.Sample = &sample
	}
	return out
}
