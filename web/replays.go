package web

import (
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// value is what a pointer points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// selection holds a trace, or topics with a time range, against what can mean
// something.
func selection(traceID string, topics []string, from, to time.Time) error {
	switch {
	case traceID == "" && len(topics) == 0:
		return schema.WithHint(schema.InvalidField("topics", "nothing is selected"), "name a trace_id, or topics with from and to")
	case traceID != "" && (len(topics) > 0 || !from.IsZero() || !to.IsZero()):
		return schema.InvalidField("trace_id", "a trace and topics or times exclude each other")
	}
	return timeRange(from, to)
}

// timeRange refuses a range that can hold nothing.
func timeRange(from, to time.Time) error {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return schema.InvalidField("to", "%s is not after from, %s", to.UTC().Format(time.RFC3339Nano), from.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

func replayRequest(r *api.ReplayRequest) (answer.ReplayRequest, error) {
	out := answer.ReplayRequest{
		TraceID: value(r.TraceId), Topics: value(r.Topics), From: value(r.From), To: value(r.To),
		TargetPrefix: value(r.TargetPrefix), TargetTopics: value(r.TargetTopics),
		AllowExisting: value(r.AllowExisting), AllowSource: value(r.AllowSource), ProvenanceHeaders: value(r.ProvenanceHeaders),
	}
	var err error
	if out.TopicID, err = parseID(r.TopicId); err != nil {
		return out, err
	}
	return out, selection(out.TraceID, out.Topics, out.From, out.To)
}

func exportRequest(r *api.ExportRequest) (answer.ExportRequest, error) {
	out := answer.ExportRequest{TraceID: value(r.TraceId), Topics: value(r.Topics), From: value(r.From), To: value(r.To), Case: value(r.Case)}
	return out, selection(out.TraceID, out.Topics, out.From, out.To)
}

func planOf(p *answer.ReplayPlan) api.ReplayPlan {
	r := p.Request
	out := api.ReplayPlan{
		Id: p.ID, Created: p.Created.UTC(), Records: p.Records, Bytes: p.Bytes, Segments: p.Segments,
		From: moment(p.From), To: moment(p.To), Warnings: list(p.Warnings),
		Request: api.ReplayRequest{
			TraceId: optional(r.TraceID), Topics: some(r.Topics), From: moment(r.From), To: moment(r.To),
			TargetPrefix: optional(r.TargetPrefix), AllowExisting: optional(r.AllowExisting),
			AllowSource: optional(r.AllowSource), ProvenanceHeaders: optional(r.ProvenanceHeaders),
		},
		Topics: each(p.Topics, func(t *answer.ReplayTopic) api.PlanTopic {
			return api.PlanTopic{
				Cluster: t.Cluster, Source: t.Source, TopicId: topicIDOf(t.TopicID), Target: t.Target,
				Partitions: t.Partitions, Records: t.Records, Bytes: t.Bytes,
			}
		}),
	}
	if r.TopicID != nil {
		out.Request.TopicId = optional(r.TopicID.String())
	}
	if len(r.TargetTopics) > 0 {
		out.Request.TargetTopics = &r.TargetTopics
	}
	return out
}

func jobOf(j *answer.ReplayJob) api.ReplayJob {
	out := api.ReplayJob{
		Id: j.ID, State: api.ReplayJobState(j.State), Plan: planOf(&j.Plan), Planned: j.Planned, Produced: j.Produced,
		Started: moment(j.Started), Updated: j.Updated.UTC(), Finished: moment(j.Finished),
		EtaSeconds: optional(j.ETASeconds), Error: optional(j.Error),
	}
	if r := j.Receipt; r != nil {
		out.Receipt = &api.Receipt{
			Planned: r.Planned, Produced: r.Produced, ReadBack: r.ReadBack, Matches: r.Matches,
			Exclusive: r.Exclusive, Notes: list(r.Notes),
			Partitions: each(r.Partitions, func(p *answer.ReceiptPartition) api.ReceiptPartition {
				return api.ReceiptPartition{
					Source: p.Source, Target: p.Target, Partition: p.Partition, Planned: p.Planned, ReadBack: p.ReadBack,
					PlannedHash: p.PlannedHash, ReadBackHash: p.ReadBackHash, Matches: p.Matches,
					Foreign: optional(p.Foreign), Difference: optional(p.Difference),
				}
			}),
		}
	}
	if j.Receipt != nil || j.ReadBack > 0 {
		out.ReadBack = &j.ReadBack
	}
	return out
}
