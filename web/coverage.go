package web

import (
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
)

func topicOf(t *answer.Topic) api.TopicSummary {
	return api.TopicSummary{
		Topic: t.Topic, TopicId: topicIDOf(t.TopicID), Partitions: t.Partitions,
		SealedRecords: t.SealedRecords, FreshRecords: t.FreshRecords, Bytes: t.Bytes, Segments: &t.Segments,
		Lag: t.Lag, RatePerSecond: t.RatePerSecond, FirstTimestamp: moment(t.First), LastTimestamp: moment(t.Last),
		Archived: t.Archived, Detail: t.Detail,
	}
}

func partitionOf(p *answer.PartitionCoverage) api.PartitionCoverage {
	out := api.PartitionCoverage{
		Topic: p.Topic, TopicId: topicIDOf(p.TopicID), Partition: p.Partition, Branch: p.Branch,
		ArchivedFrom: p.ArchivedFrom, ArchivedTo: p.ArchivedTo, FreshTo: p.FreshTo, Lag: p.Lag,
		Counts:     api.StatusCounts{Committed: p.Committed, Aborted: p.Aborted, Control: p.Marker},
		GapOffsets: p.GapOffsets, Segments: p.Segments, Commits: p.Commits, LastSealed: moment(p.LastSealed),
		Gaps: each(p.Gaps, func(g *schema.Gap) api.Gap { return api.Gap{Class: string(g.Class), From: g.From, To: g.To} }),
	}
	if p.HighWatermark >= 0 {
		out.HighWatermark = &p.HighWatermark
	}
	return out
}

func segmentOf(s *answer.Segment) api.Segment {
	return api.Segment{
		Key: s.Key, Sha256: s.SHA256.String(), Bytes: s.Bytes, TopicId: optional(topicIDOf(s.TopicID)),
		Partition: s.Partition, Branch: s.Branch, Base: s.Base, Next: s.Next, Rows: s.Rows,
		MinTimestamp: moment(s.MinTimestamp), MaxTimestamp: moment(s.MaxTimestamp),
	}
}
