package index

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// MaxTrace bounds how many hits one read of a trace gives.
const MaxTrace = 50_000

// usualTrace is up to how many records a trace is read as they come.
const usualTrace = 512

// Trace gives the committed records of a trace in the order of their record
// times, at most limit of them, and tells whether there are more. spellings
// are the ways the id may be written, and a record of any of them is given.
func (x *Index) Trace(ctx context.Context, spellings []string, scope Scope, limit int) (hits []Hit, more bool, err error) {
	if scope.empty() || len(spellings) == 0 {
		return nil, false, nil
	}
	limit = max(1, min(limit, MaxTrace))
	hashes := make([]uint64, len(spellings))
	for i, id := range spellings {
		hashes[i] = Hash(id)
	}
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, false, err
	}
	arguments = append(arguments, clickhouse.Named("hashes", hashes), clickhouse.Named("ids", spellings))
	// As they come, which spares a quarter of ClickHouse's time. Only of a trace that
	// is longer than the limit must it say which records are the first; of one that
	// is long it is asked to at once, before all that do not count were read.
	most := min(limit, usualTrace)
	if hits, err = x.traceRows(ctx, visible, "", most+1, arguments); err != nil {
		return nil, false, err
	}
	if len(hits) <= most {
		slices.SortFunc(hits, compareHits)
		return slices.CompactFunc(hits, func(a, b Hit) bool { return compareHits(a, b) == 0 }), false, nil
	}
	hits, err = x.traceRows(ctx, visible, `
		ORDER BY timestamp, topic_id, partition, branch, offset, extract_version
		LIMIT 1 BY timestamp, topic_id, partition, branch, offset, extract_version`, limit+1, arguments)
	if err != nil {
		return nil, false, err
	}
	if len(hits) > limit {
		return hits[:limit], true, nil
	}
	return hits, false, nil
}

func (x *Index) traceRows(ctx context.Context, visible, order string, most int, arguments []any) ([]Hit, error) {
	hits := make([]Hit, 0, min(most, 128))
	arguments = append(slices.Clip(arguments), clickhouse.Named("limit", uint64(most)))
	err := x.query(ctx, "read trace", `
		SELECT `+traceColumns+` FROM records_by_trace
		PREWHERE trace_h IN {hashes:Array(UInt64)}
		WHERE trace_id IN {ids:Array(String)}
		  AND status = 'committed' AND `+visible+order+`
		LIMIT {limit:UInt64}`, arguments, func(rows scanner) error {
		hits = append(hits, Hit{})
		return scanTrace(rows, &hits[len(hits)-1])
	})
	return hits, err
}

// compareHits orders rows by record time, then by what tells them apart.
func compareHits(a, b Hit) int {
	return cmp.Or(
		cmp.Compare(a.Timestamp, b.Timestamp), bytes.Compare(a.TopicID[:], b.TopicID[:]),
		cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Branch, b.Branch),
		cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Version, b.Version))
}

// Locator leads to a row of records_by_trace: what id_index knows.
type Locator struct {
	schema.Position
	Kind      schema.IDKind
	Hash      uint64 // of the id that was looked up
	TraceHash uint64
	Timestamp int64
}

// maxKeys bounds the hashes of one query, which travel in a URL.
const maxKeys = 4000

// rows gives the rows that locators lead to, any order, of any status. Rows
// that the locators do not name are left out.
func (x *Index) rows(ctx context.Context, locators []Locator, scope Scope) ([]Hit, error) {
	var hits []Hit
	want := make(map[schema.Position]bool, len(locators))
	byTrace := make(map[uint64]bool, len(locators))
	for _, l := range locators {
		want[l.Position], byTrace[l.TraceHash] = true, true
	}
	keys := make([]uint64, 0, len(byTrace))
	for key := range byTrace {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	first, last := timeRange(locators)
	for chunk := range slices.Chunk(keys, maxKeys) {
		some, err := x.rowsOf(ctx, chunk, want, first, last, scope)
		if err != nil {
			return nil, err
		}
		hits = append(hits, some...)
	}
	return hits, nil
}

func timeRange(locators []Locator) (first, last int64) {
	for i, l := range locators {
		if i == 0 || l.Timestamp < first {
			first = l.Timestamp
		}
		if i == 0 || l.Timestamp > last {
			last = l.Timestamp
		}
	}
	return first, last
}

func (x *Index) rowsOf(ctx context.Context, keys []uint64, want map[schema.Position]bool, first, last int64, scope Scope) ([]Hit, error) {
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, err
	}
	// Offsets are a coarse sieve that spares reading a big trace for one of its
	// rows; the identities themselves are compared here.
	offsets := make([]int64, 0, len(want))
	for p := range want {
		offsets = append(offsets, p.Offset)
	}
	slices.Sort(offsets)
	offsets = slices.Compact(offsets)
	sieve := "1"
	if len(offsets) <= maxKeys {
		sieve = "offset IN {offsets:Array(Int64)}"
		arguments = append(arguments, clickhouse.Named("offsets", offsets))
	}
	arguments = append(arguments, clickhouse.Named("keys", keys),
		clickhouse.Named("first", first), clickhouse.Named("last", last))
	var hits []Hit
	seen := make(map[schema.Position]Version, len(want))
	err = x.query(ctx, "read records by id", `
		SELECT `+traceColumns+` FROM records_by_trace
		PREWHERE trace_h IN {keys:Array(UInt64)}
		WHERE timestamp BETWEEN {first:Int64} AND {last:Int64}
		  AND `+sieve+` AND `+visible, arguments, func(rows scanner) error {
		var h Hit
		if err := scanTrace(rows, &h); err != nil {
			return err
		}
		if version, ok := seen[h.Position]; !want[h.Position] || ok && version == h.Version {
			return nil
		}
		seen[h.Position] = h.Version
		hits = append(hits, h)
		return nil
	})
	return hits, err
}
