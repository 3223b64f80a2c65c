package index

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// Claim gives a version under which a run may read a stream again by the rules
// of this program, and under which nobody else does: above all that is named of
// the stream, and all that runs before have claimed, whether they came to an end
// or not. So what a run that was stopped has left is of an earlier version, and
// goes with the rest of those (Forget). Run is any text that no other run has.
// Nothing is named and nothing claimed: Fresh, for what it reads is what the
// archiver's own first reading is.
//
// A claim is a row, looked at again after it was put: of two that meet, at least
// one goes on to the next number. That needs a ClickHouse that shows a row once
// it has taken it; of two runs that ask different replicas, which do not, both
// may get one version. Then what they read by the same rules is the same.
// Exhausted after 255 claims of a stream under one version of the rules.
func (x *Index) Claim(ctx context.Context, s schema.Stream, run string) (Version, error) {
	for range claimAttempts {
		version, err := x.unclaimed(ctx, s)
		if err != nil {
			return 0, err
		}
		if err := x.putClaim(ctx, s, version, run); err != nil {
			return 0, err
		}
		alone, err := x.claimedAlone(ctx, s, version, run)
		if err != nil || alone {
			return version, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Duration(1+rand.IntN(50)) * time.Millisecond):
		}
	}
	return 0, schema.Errorf(schema.Conflict, "claim a version of %s: %d times another reindex took the same", s, claimAttempts)
}

const claimAttempts = 20

// inStream is the condition on a stream's rows of segments and claims.
const inStream = "topic_id = {id:String} AND partition = {partition:Int32} AND cluster = {cluster:String}"

func streamArguments(s schema.Stream) []any {
	return []any{
		clickhouse.Named("id", string(s.TopicID[:])), clickhouse.Named("partition", s.Partition), clickhouse.Named("cluster", s.Cluster),
	}
}

// unclaimed is the lowest version under this program's rules above all that is
// named or claimed.
func (x *Index) unclaimed(ctx context.Context, s schema.Stream) (Version, error) {
	var named, claimed uint16
	err := x.writes.QueryRow(ctx, `
		SELECT (SELECT max(extract_version) FROM segments WHERE `+inStream+` AND kind = 'segment' AND bitShiftRight(extract_version, 8) = {rules:Int32}),
			(SELECT max(version) FROM claims WHERE `+inStream+` AND bitShiftRight(version, 8) = {rules:Int32})`,
		append(streamArguments(s), clickhouse.Named("rules", Fresh.Rules()))...).Scan(&named, &claimed)
	switch {
	case err != nil:
		return 0, fault("ask which versions of a stream are taken", err)
	case named == 0 && claimed == 0:
		return Fresh, nil
	case claimed == 0:
		// The one above what is named may have rows of a run that was stopped,
		// by a program that claimed nothing.
		next, err := Version(named).Again()
		if err != nil {
			return 0, err
		}
		return next.Again()
	}
	return max(Version(named), Version(claimed)).Again()
}

func (x *Index) putClaim(ctx context.Context, s schema.Stream, version Version, run string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := x.writes.Exec(ctx, `INSERT INTO claims (cluster, topic_id, partition, version, run)
		SELECT {cluster:String}, toFixedString({id:String}, 16), {partition:Int32}, {version:UInt16}, {run:String}`,
		append(streamArguments(s), clickhouse.Named("version", uint16(version)), clickhouse.Named("run", run))...)
	return fault("claim a version of a stream", err)
}

func (x *Index) claimedAlone(ctx context.Context, s schema.Stream, version Version, run string) (bool, error) {
	var others uint64
	err := x.writes.QueryRow(ctx, "SELECT count() FROM claims WHERE "+inStream+" AND version = {version:UInt16} AND run != {run:String}",
		append(streamArguments(s), clickhouse.Named("version", uint16(version)), clickhouse.Named("run", run))...).Scan(&others)
	return others == 0, fault("ask who claimed a version of a stream", err)
}
