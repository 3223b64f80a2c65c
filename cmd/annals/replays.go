package main

import (
	"context"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web"
)

// replays are the replay service as the web API asks it.
type replays struct{ service *replay.Service }

// each converts a list.
func each[F, T any](from []F, convert func(F) T) []T {
	to := make([]T, len(from))
	for i, f := range from {
		to[i] = convert(f)
	}
	return to
}

// Plan implements web.Replays.
func (r replays) Plan(ctx context.Context, who policy.Principal, request web.ReplayRequest) (*web.Plan, error) {
	plan, err := r.service.Plan(ctx, who, replay.Request(request))
	if err != nil {
		return nil, err
	}
	out := planOf(*plan)
	return &out, nil
}

// Run implements web.Replays.
func (r replays) Run(ctx context.Context, who policy.Principal, planID string) (*web.Job, error) {
	return jobOf(r.service.Run(ctx, who, planID))
}

// Get implements web.Replays.
func (r replays) Get(ctx context.Context, who policy.Principal, id string) (*web.Job, error) {
	return jobOf(r.service.Get(ctx, who, id))
}

// Cancel implements web.Replays.
func (r replays) Cancel(ctx context.Context, who policy.Principal, id string) (*web.Job, error) {
	return jobOf(r.service.Cancel(ctx, who, id))
}

// List implements web.Replays.
func (r replays) List(ctx context.Context, who policy.Principal) ([]web.Job, error) {
	jobs, err := r.service.List(ctx, who)
	return each(jobs, convertJob), err
}

func jobOf(job *replay.Job, err error) (*web.Job, error) {
	if err != nil {
		return nil, err
	}
	out := convertJob(*job)
	return &out, nil
}

func convertJob(j replay.Job) web.Job {
	out := web.Job{
		ID: j.ID, State: j.State, Plan: planOf(j.Plan), Planned: j.Planned, Produced: j.Produced, ReadBack: j.ReadBack,
		Started: j.Started, Updated: j.Updated, Finished: j.Finished, ETASeconds: j.ETASeconds, Error: j.Error,
	}
	if r := j.Receipt; r != nil {
		out.Receipt = &web.Receipt{
			Planned: r.Planned, Produced: r.Produced, ReadBack: r.ReadBack, Matches: r.Matches,
			Exclusive: r.Exclusive, Notes: r.Notes,
			Partitions: each(r.Partitions, func(p replay.ReceiptPartition) web.ReceiptPartition {
				return web.ReceiptPartition{
					Source: p.Source, Target: p.Target, Partition: p.Partition, Planned: p.Planned, ReadBack: p.ReadBack,
					PlannedHash: p.PlannedHash, ReadBackHash: p.ReadBackHash, Matches: p.Matches,
					Foreign: p.Foreign, Difference: p.Difference,
				}
			}),
		}
	}
	return out
}

func planOf(p replay.Plan) web.Plan {
	return web.Plan{
		ID: p.ID, Created: p.Created, Request: web.ReplayRequest(p.Request), Records: p.Records, Bytes: p.Bytes,
		Segments: p.Segments, From: p.From, To: p.To, Warnings: p.Warnings,
		Topics: each(p.Topics, func(t replay.PlanTopic) web.PlanTopic { return web.PlanTopic(t) }),
	}
}

// traces find a trace's records for replays and exports, through the index.
type traces struct{ engine *query.Engine }

// mostTraceHops is the most that the query engine gives at once.
const mostTraceHops = query.MaxTraceHops

func (t traces) hops(ctx context.Context, who policy.Principal, id string, limit int) (*answer.Trace, error) {
	return t.engine.Trace(ctx, who, answer.TraceRequest{TraceID: id, FactsOnly: true, Limit: min(limit, mostTraceHops)})
}

// TraceRecords implements replay.Traces.
func (t traces) TraceRecords(ctx context.Context, who policy.Principal, id string, limit int) ([]replay.TraceRecord, bool, error) {
	trace, err := t.hops(ctx, who, id, limit)
	if err != nil {
		return nil, false, err
	}
	var records []replay.TraceRecord
	for _, h := range trace.Hops {
		if h.Status == schema.Committed {
			records = append(records, replay.TraceRecord{Topic: h.Topic, Position: h.Position(), Sealed: h.Sealed})
		}
	}
	return records, trace.Truncated, nil
}
