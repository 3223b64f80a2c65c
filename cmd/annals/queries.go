package main

import (
	"context"
	"errors"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/web"
)

// queries are the query engine as the web API asks it.
type queries struct{ engine *query.Engine }

// each converts a list.
func each[F, T any](from []F, convert func(F) T) []T {
	to := make([]T, len(from))
	for i, f := range from {
		to[i] = convert(f)
	}
	return to
}

func missing(err error) error {
	var notFound *query.NotFoundError
	if errors.As(err, &notFound) {
		return &web.NotFound{Searched: web.Searched(notFound.Searched), Err: err}
	}
	return err
}

func hitOf(h query.Hit) web.Hit { return web.Hit(h) }

// Trace implements web.Queries.
func (q queries) Trace(ctx context.Context, who policy.Principal, r web.TraceRequest) (*web.Trace, error) {
	t, err := q.engine.Trace(ctx, who, r.TraceID, query.TraceOptions{Diffs: r.Diffs, FactsOnly: r.FactsOnly, Limit: r.Limit})
	if err != nil {
		return nil, missing(err)
	}
	return &web.Trace{
		TraceID: t.TraceID, From: t.From, To: t.To, Topics: t.Topics, Services: t.Services, Sealed: t.Sealed,
		Ghosts: t.Ghosts, OutsideParents: t.OutsideParents, Truncated: t.Truncated, Searched: web.Searched(t.Searched),
		Hops: each(t.Hops, hopOf), Edges: each(t.Edges, edgeOf),
	}, nil
}

func hopOf(h query.Hop) web.Hop {
	out := web.Hop{Hit: web.Hit(h.Hit), StageRule: h.StageRule, Depth: h.Depth, Key: h.Key, HasKey: h.HasKey}
	if d := h.Diff; d != nil {
		out.Diff = &web.Diff{
			Parent: d.Parent, Comparable: d.Comparable, Note: d.Note, Truncated: d.Truncated,
			Changes: each(d.Changes, func(c query.Change) web.Change { return web.Change(c) }),
		}
	}
	return out
}

func edgeOf(e query.Edge) web.Edge {
	out := web.Edge{
		Child: e.Child, Parent: e.Parent, Kind: e.Kind, Declared: e.Declared, Rule: e.Rule, Evidence: e.Evidence,
		Confidence: e.Confidence, Primary: e.Primary,
	}
	if o := e.Outside; o != nil {
		out.Outside = &web.Outside{Ghost: o.Ghost, ID: o.ID, Timestamp: o.Timestamp, TraceID: o.TraceID, EventType: o.EventType}
		if o.Coordinates != nil {
			place := web.Place(*o.Coordinates)
			out.Outside.Coordinates = &place
		}
	}
	return out
}

// Identify implements web.Queries.
func (q queries) Identify(ctx context.Context, who policy.Principal, id string) (*web.Identification, error) {
	found, err := q.engine.Identify(ctx, who, id)
	if err != nil {
		return nil, missing(err)
	}
	return &web.Identification{
		ID: found.ID, Tried: found.Tried, Truncated: found.Truncated, Searched: web.Searched(found.Searched),
		Matches: each(found.Matches, func(m query.Match) web.Match {
			return web.Match{Role: m.Role, TraceID: m.TraceID, Count: m.Count, Records: each(m.Records, hitOf)}
		}),
	}, nil
}

// Search implements web.Queries.
func (q queries) Search(ctx context.Context, who policy.Principal, r web.SearchRequest) (*web.Page, error) {
	page, err := q.engine.Search(ctx, who, query.SearchRequest(r))
	if err != nil {
		return nil, missing(err)
	}
	return &web.Page{Records: each(page.Records, hitOf), NextCursor: page.NextCursor, Note: page.Note, Searched: web.Searched(page.Searched)}, nil
}

// Record implements web.Queries.
func (q queries) Record(ctx context.Context, who policy.Principal, r web.RecordRequest) (*web.Record, error) {
	record, err := q.engine.Record(ctx, who, query.RecordRequest(r))
	if err != nil {
		return nil, missing(err)
	}
	return &web.Record{Hit: web.Hit(record.Hit), Record: record.Record, Extraction: record.Extraction, Source: record.Source}, nil
}

// Topics implements web.Queries.
func (q queries) Topics(ctx context.Context, who policy.Principal) ([]web.Topic, error) {
	topics, err := q.engine.Topics(ctx, who)
	return each(topics, func(t query.Topic) web.Topic { return web.Topic(t) }), err
}

// Coverage implements web.Queries.
func (q queries) Coverage(ctx context.Context, who policy.Principal, topic string) ([]web.PartitionCoverage, error) {
	list, err := q.engine.Coverage(ctx, who, topic)
	return each(list, func(p query.PartitionCoverage) web.PartitionCoverage {
		return web.PartitionCoverage{
			Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition, Branch: p.Branch, ArchivedFrom: p.ArchivedFrom,
			ArchivedTo: p.ArchivedTo, FreshTo: p.FreshTo, HighWatermark: p.HighWatermark, Lag: p.Lag, Committed: p.Committed,
			Aborted: p.Aborted, Marker: p.Marker, Gaps: each(p.Gaps, func(g query.Gap) web.Gap { return web.Gap(g) }),
			GapOffsets: p.GapOffsets, Segments: p.Segments, Commits: p.Commits, LastSealed: p.LastSealed,
		}
	}), missing(err)
}

// Segments implements web.Queries.
func (q queries) Segments(ctx context.Context, who policy.Principal, topic string) (*web.Segments, error) {
	list, err := q.engine.Segments(ctx, who, topic)
	if err != nil {
		return nil, missing(err)
	}
	return &web.Segments{
		Topic: list.Topic, Bucket: list.Bucket, Segments: each(list.Segments, func(s query.Segment) web.Segment { return web.Segment(s) }),
	}, nil
}
