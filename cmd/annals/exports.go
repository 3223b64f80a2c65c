package main

import (
	"context"
	"io"
	"time"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/payload"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web"
)

// exports are the exporter as the web API asks it.
type exports struct{ exporter *custody.Exporter }

// Export implements web.Exports.
func (e exports) Export(ctx context.Context, who policy.Principal, request web.ExportRequest, w io.Writer) error {
	return e.exporter.Export(ctx, who, custody.Request(request), w)
}

// exportTraces and lineages are the query engine as the exporter asks it.
type (
	exportTraces struct{ traces }
	lineages     struct{ engine *query.Engine }
)

// TraceRecords implements custody.Traces.
func (t exportTraces) TraceRecords(ctx context.Context, who policy.Principal, id string) (*custody.TraceRecords, error) {
	trace, err := t.hops(ctx, who, id, mostTraceHops)
	if err != nil {
		return nil, err
	}
	out := &custody.TraceRecords{TraceID: trace.TraceID, Truncated: trace.Truncated}
	for _, h := range trace.Hops {
		if h.Status == schema.Committed {
			out.Records = append(out.Records, custody.TraceRecord{Topic: h.Topic, Position: h.Position()})
		}
	}
	return out, nil
}

// Lineage implements custody.Lineages.
func (l lineages) Lineage(ctx context.Context, who policy.Principal, id string) (*custody.Lineage, error) {
	trace, err := l.engine.Trace(ctx, who, answer.TraceRequest{TraceID: id, Diffs: true, Limit: mostTraceHops})
	if err != nil {
		return nil, err
	}
	out := &custody.Lineage{Truncated: trace.Truncated, Steps: each(trace.Hops, func(h answer.Hop) custody.Step {
		return custody.Step{
			Record: h.Coordinates(), Timestamp: time.UnixMilli(h.Timestamp), Depth: h.Depth, Service: h.Service,
			EventType: h.EventType, EventVersion: h.EventVersion, EventID: h.EventID, Stage: h.Stage, StageRule: h.StageRule,
		}
	})}
	for _, e := range trace.Edges {
		step := &out.Steps[e.Child]
		step.Parents = append(step.Parents, parentOf(trace, e))
	}
	for i, h := range trace.Hops {
		if h.Diff == nil {
			continue
		}
		step := &out.Steps[i]
		step.Truncated, step.Note = h.Diff.Truncated, h.Diff.Note
		if h.Diff.Comparable {
			at := trace.Hops[h.Diff.Parent].Coordinates()
			step.Compared = &at
			step.Changes = each(h.Diff.Changes, func(c answer.Change) payload.Change {
				return payload.Change{Op: c.Op, Path: c.Path, From: c.From, To: c.To, MovedFrom: c.MovedFrom, Envelope: c.Envelope}
			})
		}
	}
	return out, nil
}

func parentOf(trace *answer.Trace, e answer.Edge) custody.Parent {
	p := custody.Parent{
		Kind: e.Kind, Declared: e.Declared, Rule: e.Rule, Evidence: e.Evidence, Confidence: e.Confidence, Archived: true,
	}
	switch o := e.Outside; {
	case o == nil:
		p.Name = trace.Hops[e.Parent].Coordinates().String()
	case o.Coordinates != nil:
		c := o.Coordinates
		p.Name = schema.Coordinates{Topic: c.Topic, Partition: c.Partition, Offset: c.Offset}.String()
		p.TraceID = o.TraceID
	default:
		p.Name, p.TraceID, p.Archived = o.ID, o.TraceID, !o.Ghost
	}
	return p
}
