package index

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/fx-risk-ai/annals/schema"
)

// ID is an id to look up in one role.
type ID struct {
	Kind schema.IDKind
	Text string
}

// MaxFound bounds how many candidates one Lookup looks at, the newest first.
const MaxFound = 20_000

// Window narrows a look-up to records of these times, milliseconds since the
// Unix epoch, both inclusive, so that few partitions are opened.
type Window struct{ From, To int64 }

// AnyTime is the window that leaves nothing out.
var anyTime = Window{From: -1 << 63, To: 1<<63 - 1}

// Found is a record that has an id in some role.
type Found struct {
	ID
	Hit Hit
}

// Lookup gives the records of any status that have one of the ids in the role
// asked for, and tells whether a limit cut the answer. Hashes lead to
// candidates; only records whose row bears the id out are given, except for
// the roles whose ids no row keeps (correlation, alias, linked trace, and a
// span other than the record's own): for those the 64-bit hash is the
// evidence.
func (x *Index) Lookup(ctx context.Context, ids []ID, within *Window, scope Scope) (found []Found, more bool, err error) {
	if scope.empty() || len(ids) == 0 {
		return nil, false, nil
	}
	asked := map[uint64][]ID{}
	for _, id := range ids {
		hash := Hash(id.Text)
		if !slices.Contains(asked[hash], id) {
			asked[hash] = append(asked[hash], id)
		}
	}
	locators, more, err := x.locate(ctx, asked, within, scope)
	if err != nil || len(locators) == 0 {
		return nil, more, err
	}
	hits, err := x.rows(ctx, locators, scope)
	if err != nil {
		return nil, false, err
	}
	byPosition := make(map[schema.Position][]*Hit, len(hits))
	for i := range hits {
		byPosition[hits[i].Position] = append(byPosition[hits[i].Position], &hits[i])
	}
	for _, l := range locators {
		for _, id := range asked[l.Hash] {
			if id.Kind != l.Kind {
				continue
			}
			for _, h := range byPosition[l.Position] {
				if h.bears(id) {
					found = append(found, Found{ID: id, Hit: *h})
				}
			}
		}
	}
	return found, more, nil
}

// bears tells whether the row confirms that its record has the id.
func (h *Hit) bears(id ID) bool {
	switch id.Kind {
	case schema.IDRecord:
		return h.Coordinates().String() == id.Text
	case schema.IDEvent:
		return h.EventID == id.Text
	case schema.RefEvent:
		return h.names(schema.CauseEvent, id.Text)
	case schema.RefRecord:
		return h.names(schema.CauseRecord, id.Text) || h.names(schema.CauseCopy, id.Text)
	default:
		return true
	}
}

func (h *Hit) names(kind schema.CauseKind, id string) bool {
	return slices.Contains(h.Causes, schema.Cause{Kind: kind, ID: id})
}

// locate looks hashes up in id_index.
func (x *Index) locate(ctx context.Context, asked map[uint64][]ID, within *Window, scope Scope) ([]Locator, bool, error) {
	hashes := make([]uint64, 0, len(asked))
	var kinds []uint16 // []uint8 would be sent as text
	for hash, ids := range asked {
		hashes = append(hashes, hash)
		for _, id := range ids {
			if !slices.Contains(kinds, uint16(id.Kind)) {
				kinds = append(kinds, uint16(id.Kind))
			}
		}
	}
	slices.Sort(hashes)
	if within == nil {
		within = &anyTime
	}
	var locators []Locator
	for chunk := range slices.Chunk(hashes, maxKeys) {
		some, err := x.locateSome(ctx, chunk, kinds, *within, MaxFound-len(locators)+1, scope)
		if err != nil {
			return nil, false, err
		}
		locators = append(locators, some...)
		if len(locators) > MaxFound {
			return locators[:MaxFound], true, nil
		}
	}
	return locators, false, nil
}

func (x *Index) locateSome(ctx context.Context, hashes []uint64, kinds []uint16, within Window, limit int, scope Scope) ([]Locator, error) {
	arguments, err := scope.arguments()
	if err != nil {
		return nil, err
	}
	arguments = append(arguments,
		clickhouse.Named("hashes", hashes), clickhouse.Named("kinds", kinds),
		clickhouse.Named("from", within.From), clickhouse.Named("to", within.To),
		clickhouse.Named("limit", uint64(limit)))
	var locators []Locator
	err = x.query(ctx, "look up ids", `
		SELECT DISTINCT id_h, kind, trace_h, topic_id, partition, branch, offset, timestamp FROM id_index
		WHERE id_h IN {hashes:Array(UInt64)} AND kind IN {kinds:Array(UInt8)}
		  AND timestamp BETWEEN {from:Int64} AND {to:Int64} AND `+scopeCondition+`
		ORDER BY timestamp DESC
		LIMIT {limit:UInt64}`, arguments, func(rows scanner) error {
		var l Locator
		var topicID string
		var kind uint8
		if err := rows.Scan(&l.Hash, &kind, &l.TraceHash, &topicID, &l.Partition, &l.Branch, &l.Offset, &l.Timestamp); err != nil {
			return err
		}
		copy(l.TopicID[:], topicID)
		l.Kind = schema.IDKind(kind)
		locators = append(locators, l)
		return nil
	})
	return locators, err
}
