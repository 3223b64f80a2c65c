package index

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// Footprint is what the index takes on its disks, over all its tables.
type Footprint struct {
	Records int64 // rows of records, one for each record that is indexed
	Rows    int64
	Bytes   int64
}

// Footprint asks the engine for the size of the database's parts.
func (x *Index) Footprint(ctx context.Context) (Footprint, error) {
	var records, rows, bytes uint64
	err := x.query(ctx, "measure index",
		"SELECT sumIf(rows, table = 'records'), sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = {database:String}",
		[]any{clickhouse.Named("database", x.options.Database)}, func(row scanner) error { return row.Scan(&records, &rows, &bytes) })
	return Footprint{int64(records), int64(rows), int64(bytes)}, err
}

// TopicSize is what the archive has of a topic, by the index's account: how
// many records and bytes its segments hold, and how many bytes the records had
// that the rollups count, which go back as far as the retention.
type TopicSize struct {
	Segments, Records, StoredBytes int64
	CountedRecords, RawBytes       int64
}

// TopicSizes returns it of every topic.
func (x *Index) TopicSizes(ctx context.Context) (map[schema.TopicID]TopicSize, error) {
	sizes := map[schema.TopicID]TopicSize{}
	for _, ask := range []struct {
		query string
		set   func(*TopicSize, [3]int64)
	}{
		{
			"SELECT topic_id, toInt64(count()), sum(committed + aborted + control), sum(bytes) FROM segments FINAL WHERE object_key != '' GROUP BY topic_id",
			func(s *TopicSize, n [3]int64) { s.Segments, s.Records, s.StoredBytes = n[0], n[1], n[2] },
		},
		{
			"SELECT topic_id, toInt64(0), sum(records), sum(bytes) FROM rollups FINAL GROUP BY topic_id",
			func(s *TopicSize, n [3]int64) { s.CountedRecords, s.RawBytes = n[1], n[2] },
		},
	} {
		err := x.query(ctx, "measure topics", ask.query, nil, func(rows scanner) error {
			var raw string
			var n [3]int64
			if err := rows.Scan(&raw, &n[0], &n[1], &n[2]); err != nil {
				return err
			}
			var id schema.TopicID
			copy(id[:], raw)
			size := sizes[id]
			ask.set(&size, n)
			sizes[id] = size
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return sizes, nil
}
