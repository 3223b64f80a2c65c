package index

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// HourVolume is how many sealed, committed records of a topic, service and stage
// have record times in an hour.
type HourVolume struct {
	Hour    time.Time
	Topic   string
	Service string
	Stage   schema.Stage
	Records int64
}

// MaxHours bounds what Hours gives.
const MaxHours = 200_000

// Hours gives the volumes of some hours, as the rollups have them, and tells
// whether there are more. What is not sealed yet is in none.
func (x *Index) Hours(ctx context.Context, hours []time.Time, scope Scope) (found []HourVolume, more bool, err error) {
	if scope.empty() || len(hours) == 0 {
		return nil, false, nil
	}
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, false, err
	}
	starts := make([]int64, len(hours))
	for i, h := range hours {
		starts[i] = h.Unix()
	}
	arguments = append(arguments, clickhouse.Named("hours", starts), clickhouse.Named("limit", uint64(MaxHours+1)))
	err = x.query(ctx, "ask for volumes by the hour", `
		SELECT hour, topic, source_service, toInt8(stage), sum(records) FROM rollups FINAL
		WHERE status = 'committed' AND hour IN (SELECT toDateTime(arrayJoin({hours:Array(Int64)}), 'UTC')) AND `+visible+`
		GROUP BY hour, topic, source_service, stage ORDER BY topic, hour, source_service, stage LIMIT {limit:UInt64}`, arguments,
		func(rows scanner) error {
			var v HourVolume
			var stage int8
			err := rows.Scan(&v.Hour, &v.Topic, &v.Service, &stage, &v.Records)
			v.Stage = schema.Stage(stage)
			found = append(found, v)
			return err
		})
	return found[:min(len(found), MaxHours)], len(found) > MaxHours, err
}
