package web

import (
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

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
