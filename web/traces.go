package web

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// Identify implements [api.StrictServerInterface].
func (o *operations) Identify(ctx context.Context, r api.IdentifyRequestObject) (api.IdentifyResponseObject, error) {
	id, err := pasted("id", r.Params.Id)
	if err != nil {
		return nil, err
	}
	found, err := o.services.Queries.Identify(ctx, callOf(ctx).who, id)
	if err != nil {
		return nil, err
	}
	return api.Identify200JSONResponse(identificationOf(found)), nil
}

// pasted trims what comes along with an id that was copied from somewhere.
func pasted(field, id string) (string, error) {
	if id = strings.TrimSpace(id); id == "" {
		return "", schema.InvalidField(field, "%s is blank", field)
	}
	return id, nil
}

// GetTrace implements [api.StrictServerInterface].
func (o *operations) GetTrace(ctx context.Context, r api.GetTraceRequestObject) (api.GetTraceResponseObject, error) {
	id, err := pasted("trace_id", r.TraceId)
	if err != nil {
		return nil, err
	}
	trace, err := o.services.Queries.Trace(ctx, callOf(ctx).who, answer.TraceRequest{
		TraceID: id, Diffs: value(r.Params.Diffs), FactsOnly: value(r.Params.FactsOnly), Flow: value(r.Params.Flow),
		Archive: value(r.Params.Archive), From: value(r.Params.From), To: value(r.Params.To),
		Limit: value(r.Params.Limit),
	})
	if err != nil {
		return nil, err
	}
	return api.GetTrace200JSONResponse(traceOf(trace)), nil
}

func traceOf(t *answer.Trace) api.Trace {
	return api.Trace{
		TraceId: t.TraceID, From: moment(t.From), To: moment(t.To),
		Hops: each(t.Hops, hopOf), Edges: each(t.Edges, edgeOf), Topics: list(t.Topics), Services: list(t.Services),
		Sealed: &t.Sealed, Ghosts: &t.Ghosts, OutsideParents: &t.OutsideParents, NotInferred: &t.NotInferred, NotLearned: &t.NotLearned,
		Truncated: t.Truncated, Searched: searchedOf(t.Searched), Flow: flowOf(t.Flow), Archive: archiveLookOf(t.Archive),
	}
}

func flowOf(f *answer.Flow) *api.Flow {
	if f == nil {
		return nil
	}
	return &api.Flow{Traces: list(f.Traces), Steps: f.Steps, From: writable(f.From), To: writable(f.To), Cuts: each(f.Cuts, flowCutOf)}
}

func archiveLookOf(l *answer.ArchiveLook) *api.ArchiveLook {
	if l == nil {
		return nil
	}
	out := &api.ArchiveLook{
		From: writable(l.From), To: writable(l.To), OfSegments: l.OfSegments, Looked: l.Looked, Segments: l.Segments, ParentsOutside: l.ParentsOutside,
	}
	if l.Stopped != "" {
		by := api.ArchiveLookStopped(l.Stopped)
		out.Stopped = &by
	}
	return out
}

func flowCutOf(c *answer.FlowCut) api.FlowCut {
	return api.FlowCut{Why: api.FlowCutWhy(c.Why), How: optional(c.How), Id: optional(c.ID), Records: c.Records}
}

func reachedOf(r *answer.Reached) *api.Reached {
	if r == nil {
		return nil
	}
	out := &api.Reached{How: api.ReachedHow(r.How), Id: r.ID, Step: r.Step, Inferred: r.Inferred}
	if r.From >= 0 {
		out.From = &r.From
	}
	return out
}

func hopOf(h *answer.Hop) api.Hop {
	hit := hitOf(&h.Hit)
	out := api.Hop{
		Coordinates: hit.Coordinates, Timestamp: hit.Timestamp, EventTime: hit.EventTime, Status: api.HopStatus(hit.Status),
		Sealed: hit.Sealed, Stage: hit.Stage, EventType: hit.EventType, EventVersion: hit.EventVersion,
		SourceService: hit.SourceService, TraceId: hit.TraceId, EventId: hit.EventId, SpanId: hit.SpanId,
		Errors: hit.Errors, Bytes: hit.Bytes, StageRule: h.StageRule, Depth: h.Depth, Reached: reachedOf(h.Reached),
	}
	if h.HasKey {
		key := bytesOf(h.Key)
		out.Key = &key
	}
	if d := h.Diff; d != nil {
		out.Diff = &api.Diff{
			Parent: d.Parent, Comparable: d.Comparable, Note: optional(d.Note),
			Changes: each(d.Changes, changeOf), Truncated: d.Truncated,
		}
	}
	return out
}

func changeOf(c *answer.Change) api.Change {
	out := api.Change{Op: api.ChangeOp(c.Op), Path: c.Path, MovedFrom: optional(c.MovedFrom), Envelope: optional(c.Envelope)}
	out.From, out.To = present(c.From), present(c.To)
	return out
}

// present keeps an absent value absent: an interface that holds a nil slice
// would be written as null, which is a value.
func present(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	return raw
}

func edgeOf(e *answer.Edge) api.Edge {
	out := api.Edge{
		Child: e.Child, Kind: api.EdgeKind(e.Kind), Declared: e.Declared, Rule: e.Rule, Evidence: optional(e.Evidence),
		Confidence: e.Confidence, Primary: optional(e.Primary),
	}
	if o := e.Outside; o != nil {
		out.Outside = outsideOf(o)
	} else {
		out.Parent = &e.Parent
	}
	return out
}

func outsideOf(o *answer.Outside) *api.Outside {
	out := &api.Outside{Ghost: o.Ghost, Id: o.ID, TraceId: optional(o.TraceID), EventType: optional(o.EventType)}
	if c := o.Coordinates; c != nil {
		out.Coordinates = &api.Coordinates{
			Topic: c.Topic, TopicId: topicIDOf(c.TopicID), Partition: c.Partition, Branch: c.Branch, Offset: c.Offset,
		}
	}
	if !o.Ghost {
		t := writable(time.UnixMilli(o.Timestamp))
		out.Timestamp = &t
	}
	return out
}
