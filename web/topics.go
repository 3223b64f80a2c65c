package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// ListTopics implements [api.StrictServerInterface].
func (o *operations) ListTopics(ctx context.Context, _ api.ListTopicsRequestObject) (api.ListTopicsResponseObject, error) {
	topics, err := o.services.Queries.Topics(ctx, callOf(ctx).who)
	if err != nil {
		return nil, err
	}
	return api.ListTopics200JSONResponse{Topics: each(topics.Topics, topicOf), Notes: append([]string{}, topics.Notes...)}, nil
}

// ListTopicPolicies implements [api.StrictServerInterface].
func (o *operations) ListTopicPolicies(ctx context.Context, r api.ListTopicPoliciesRequestObject) (api.ListTopicPoliciesResponseObject, error) {
	policies, err := o.services.Queries.Policies(ctx, callOf(ctx).who, value(r.Params.Topic))
	if err != nil {
		return nil, err
	}
	return api.ListTopicPolicies200JSONResponse{Topics: each(policies.Topics, policyOf), Notes: append([]string{}, policies.Notes...)}, nil
}

// ListSegments implements [api.StrictServerInterface].
func (o *operations) ListSegments(ctx context.Context, r api.ListSegmentsRequestObject) (api.ListSegmentsResponseObject, error) {
	id, err := parseID(r.Params.TopicId)
	if err != nil {
		return nil, err
	}
	found, err := o.services.Queries.Segments(ctx, callOf(ctx).who, answer.SegmentRequest{Topic: r.Params.Topic, TopicID: id, Raw: value(r.Params.Raw)})
	if err != nil {
		return nil, err
	}
	var batches *[]api.RawBatch
	if value(r.Params.Raw) {
		all := each(found.Batches, batchOf)
		batches = &all
	}
	return api.ListSegments200JSONResponse{
		Batches: batches,
		Cluster: found.Cluster, Topic: found.Topic, TopicId: topicIDOf(found.TopicID), Bucket: found.Bucket, Segments: each(found.Segments, segmentOf),
	}, nil
}

func topicOf(t *answer.Topic) api.TopicSummary {
	return api.TopicSummary{
		Cluster: optional(t.Cluster), Topic: t.Topic, TopicId: topicIDOf(t.TopicID), Partitions: t.Partitions,
		SealedRecords: t.SealedRecords, FreshRecords: t.FreshRecords, Bytes: t.Bytes, Segments: &t.Segments,
		Lag: t.Lag, RatePerSecond: t.RatePerSecond, FirstTimestamp: moment(t.First), LastTimestamp: moment(t.Last),
		Archived: t.Archived, Detail: t.Detail,
	}
}

func policyOf(t *answer.TopicPolicy) api.TopicPolicy {
	return api.TopicPolicy{Topic: t.Topic, Properties: each(t.Properties, func(p *answer.PolicyProperty) api.PolicyProperty {
		return api.PolicyProperty{Name: p.Name, Value: p.Value, DecidedBy: optional(p.By)}
	})}
}

func segmentOf(s *answer.Segment) api.Segment {
	return api.Segment{
		Key: s.Key, Sha256: s.SHA256.String(), Bytes: s.Bytes, TopicId: optional(topicIDOf(s.TopicID)),
		Partition: s.Partition, Branch: s.Branch, Base: s.Base, Next: s.Next, Until: s.Until, Rows: s.Rows,
		MinTimestamp: moment(s.MinTimestamp), MaxTimestamp: moment(s.MaxTimestamp),
	}
}

func batchOf(b *answer.RawBatch) api.RawBatch {
	return api.RawBatch{
		Key: b.Key, Sha256: b.SHA256.String(), Bytes: b.Bytes, Partition: b.Partition, Branch: b.Branch, From: b.From, To: b.To, Evidence: b.Evidence,
	}
}
