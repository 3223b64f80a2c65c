package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// The bare insert: as many rows as the demo's history makes ids in a second or
// two, in blocks of the size that the archiver sends.
const (
	insertRows  = 1_000_000
	insertBlock = 50_000
)

// bareInsert fills one table of the shape of the index's widest one with random
// keys, and returns the pace in rows a second.
func bareInsert(ctx context.Context, c *embedded.UpClickHouse) (rate float64, err error) {
	address, err := url.Parse(c.URL)
	if err != nil {
		return 0, fmt.Errorf("read ClickHouse's address: %w", err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{address.Host},
		Auth: clickhouse.Auth{Database: c.Database, Username: c.User, Password: c.Password},
	})
	if err != nil {
		return 0, fmt.Errorf("connect to ClickHouse: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	const create = `CREATE TABLE bare_insert (id_h UInt64, kind UInt8, trace_h UInt64, topic_id FixedString(16),
		partition Int32, branch Int32, offset Int64, extract_version UInt16, timestamp Int64)
		ENGINE = MergeTree ORDER BY (id_h, kind)`
	if err := conn.Exec(ctx, create); err != nil {
		return 0, fmt.Errorf("make a table: %w", err)
	}
	var (
		ids, traces       = make([]uint64, insertBlock), make([]uint64, insertBlock)
		kinds             = make([]uint8, insertBlock)
		topics            = make([]string, insertBlock)
		partitions, zeros = make([]int32, insertBlock), make([]int32, insertBlock)
		offsets, times    = make([]int64, insertBlock), make([]int64, insertBlock)
		versions          = make([]uint16, insertBlock)
	)
	began := time.Now()
	for from := 0; from < insertRows; from += insertBlock {
		for i := range ids {
			ids[i], traces[i], kinds[i] = rand.Uint64(), rand.Uint64(), uint8(i%9)
			topics[i], partitions[i], offsets[i] = "0123456789abcdef", int32(i%4), int64(from+i)
			times[i], versions[i] = int64(from+i)*1000, 1
		}
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO bare_insert")
		if err != nil {
			return 0, fmt.Errorf("insert: %w", err)
		}
		for i, column := range []any{ids, kinds, traces, topics, partitions, zeros, offsets, versions, times} {
			if err := batch.Column(i).Append(column); err != nil {
				return 0, errors.Join(fmt.Errorf("insert: %w", err), batch.Close())
			}
		}
		if err := batch.Send(); err != nil {
			return 0, fmt.Errorf("insert: %w", err)
		}
	}
	took := time.Since(began)
	return insertRows / took.Seconds(), conn.Exec(ctx, "DROP TABLE bare_insert")
}
