package web

import (
	"context"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

// GetCoverage implements [api.StrictServerInterface].
func (o *operations) GetCoverage(ctx context.Context, r api.GetCoverageRequestObject) (api.GetCoverageResponseObject, error) {
	coverage, err := o.services.Queries.Coverage(ctx, callOf(ctx).who, value(r.Params.Topic))
	if err != nil {
		return nil, err
	}
	return api.GetCoverage200JSONResponse(coverageOf(coverage)), nil
}

// ListGaps implements [api.StrictServerInterface].
func (o *operations) ListGaps(ctx context.Context, r api.ListGapsRequestObject) (api.ListGapsResponseObject, error) {
	page, err := o.services.Queries.Gaps(ctx, callOf(ctx).who, answer.GapRequest{
		Topic: value(r.Params.Topic), Partition: r.Params.Partition, Class: schema.GapClass(value(r.Params.Class)),
		Limit: value(r.Params.Limit), Cursor: value(r.Params.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return api.ListGaps200JSONResponse{Gaps: each(page.Gaps, topicGapOf), NextCursor: optional(page.NextCursor)}, nil
}

func coverageOf(c *answer.Coverage) api.Coverage {
	return api.Coverage{
		Partitions: each(c.Partitions, partitionOf), Notes: append([]string{}, c.Notes...),
		NotArchived: each(c.NotArchived, func(t *answer.TopicState) api.NotArchived {
			return api.NotArchived{Topic: t.Topic, Reason: t.Reason}
		}),
	}
}

func partitionOf(p *answer.PartitionCoverage) api.PartitionCoverage {
	out := api.PartitionCoverage{
		Cluster: p.Cluster, Topic: p.Topic, TopicId: topicIDOf(p.TopicID), Partition: p.Partition, Branch: p.Branch,
		ArchivedFrom: p.ArchivedFrom, ArchivedTo: p.ArchivedTo, FreshTo: p.FreshTo, Lag: p.Lag,
		StartPolicy: p.StartPolicy, LogStartAtGenesis: p.LogStartAtGenesis,
		Offsets: p.ArchivedTo - p.ArchivedFrom, Counts: countsOf(&p.Account), Purged: p.Purged, Unaccounted: p.Unaccounted,
		GapClasses: each(p.Classes, classOf), GapRanges: p.GapRanges, GapOffsets: p.GapOffsets,
		Gaps: each(p.Gaps, gapOf), Branches: each(p.Branches, branchOf),
		Segments: p.Segments, Commits: p.Commits, LastSealed: moment(p.LastSealed), Ended: p.Ended, EndedAt: moment(p.EndedAt),
	}
	if p.Ended && p.Went >= 0 {
		out.WentOffsets = &p.Went
	}
	if p.HighWatermark >= 0 {
		out.HighWatermark = &p.HighWatermark
	}
	return out
}

func branchOf(b *answer.BranchCoverage) api.BranchCoverage {
	return api.BranchCoverage{
		Branch: b.Branch, From: b.From, Until: b.Until, To: b.To,
		Offsets: b.To - b.From, Counts: countsOf(&b.Account), Purged: b.Purged, Unaccounted: b.Unaccounted,
		GapClasses: each(b.Classes, classOf), GapRanges: b.GapRanges, GapOffsets: b.GapOffsets,
	}
}

func countsOf(a *answer.Account) api.StatusCounts {
	return api.StatusCounts{Committed: a.Committed, Aborted: a.Aborted, Control: a.Marker}
}

func classOf(c *answer.ClassCount) api.ClassCount {
	return api.ClassCount{Class: string(c.Class), Ranges: c.Ranges, Offsets: c.Offsets}
}

func gapOf(g *answer.FoundGap) api.Gap {
	out := api.Gap{
		Class: string(g.Class), From: g.From, To: g.To, Branch: g.Branch, Commit: g.Seq, Found: writable(g.Found), Evidence: g.Evidence,
	}
	if g.Object != nil {
		out.Object = &g.Object.Key
	}
	return out
}

func topicGapOf(g *answer.FoundGap) api.TopicGap {
	at := gapOf(g)
	return api.TopicGap{
		Topic: g.Topic, TopicId: topicIDOf(g.TopicID), Partition: g.Partition, Branch: at.Branch,
		Class: at.Class, From: at.From, To: at.To, Commit: at.Commit, Found: at.Found, Evidence: at.Evidence, Object: at.Object,
	}
}
