package index

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// maxClusters bounds the topic IDs whose cluster is remembered.
const maxClusters = 100_000

// ofOneCluster refuses commits of a topic ID that the index has of another
// cluster. It asks once for each topic ID: no other process names another
// cluster's from then on but one that asked at the same moment, and that is said
// by every read (several).
func (x *Index) ofOneCluster(ctx context.Context, rows []SegmentRow) error {
	var unknown []schema.TopicID
	named := map[schema.TopicID]schema.Stream{}
	x.clusters.Lock()
	for i := range rows {
		s := rows[i].Stream
		if known, ok := x.clusters.of[s.TopicID]; ok && known != s.Cluster {
			x.clusters.Unlock()
			return twoClusters(s.TopicID, known, s.Cluster)
		} else if first, there := named[s.TopicID]; there && first.Cluster != s.Cluster {
			x.clusters.Unlock()
			return twoClusters(s.TopicID, first.Cluster, s.Cluster)
		} else if !ok && !there {
			unknown = append(unknown, s.TopicID)
			named[s.TopicID] = s
		}
	}
	x.clusters.Unlock()
	if len(unknown) == 0 {
		return nil
	}
	err := x.query(ctx, "ask of which cluster topics are", `
		SELECT DISTINCT topic_id, cluster FROM segments
		WHERE topic_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))`,
		[]any{clickhouse.Named("ids", topicIDList(unknown))}, func(rows scanner) error {
			var raw, cluster string
			if err := rows.Scan(&raw, &cluster); err != nil {
				return err
			}
			var id schema.TopicID
			copy(id[:], raw)
			if s := named[id]; s.Cluster != cluster {
				return twoClusters(id, cluster, s.Cluster)
			}
			return nil
		})
	if err != nil {
		return err
	}
	x.clusters.Lock()
	defer x.clusters.Unlock()
	if x.clusters.of == nil || len(x.clusters.of)+len(unknown) > maxClusters {
		x.clusters.of = map[schema.TopicID]string{}
	}
	for _, id := range unknown {
		x.clusters.of[id] = named[id].Cluster
	}
	return nil
}

func twoClusters(id schema.TopicID, first, second string) error {
	return schema.WithHint(
		schema.Errorf(schema.Conflict, "the index holds the topic ID %s of cluster %s, and is given it of cluster %s", id, first, second),
		"one cluster was restored from a copy of the other: archive it below an s3.prefix and with a clickhouse.database of its own")
}

// several is the error of a read that meets a topic ID of two clusters.
func several(id schema.TopicID, clusters []string) error {
	return schema.WithHint(
		schema.Errorf(schema.Conflict, "the index holds the topic ID %s of the clusters %v, and cannot tell their records apart", id, clusters),
		"name another clickhouse.database and run annals reindex, which takes the cluster that was archived first")
}
