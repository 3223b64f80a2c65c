package index

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// FirstMissing returns the lowest seq of a stream's chain whose commit the
// index does not have, or has under earlier extraction rules than extractVersion;
// what a newer program read counts.
// Everything below it is complete; what follows may be there in part. The
// ledger's length is not known here: an index that has everything answers the
// seq that the next commit will take.
func (x *Index) FirstMissing(ctx context.Context, s schema.Stream, extractVersion int32) (int64, error) {
	var next int64
	gap := false
	err := x.query(ctx, "ask which commits are indexed", `
		SELECT DISTINCT seq FROM segments
		WHERE topic_id = {id:String} AND partition = {partition:Int32} AND cluster = {cluster:String}
		  AND (kind != 'segment' OR bitShiftRight(extract_version, 8) >= {version:Int32})
		ORDER BY seq`, []any{
		clickhouse.Named("id", string(s.TopicID[:])), clickhouse.Named("partition", s.Partition),
		clickhouse.Named("cluster", s.Cluster), clickhouse.Named("version", extractVersion),
	}, func(rows scanner) error {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return err
		}
		if gap = gap || seq != next; !gap {
			next++
		}
		return nil
	})
	return next, err
}
