package index

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
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

// anyTime is the window that leaves nothing out.
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
// evidence. Where only event ids and coordinates are asked for, the records come
// without causes. Where a limit cuts, records that are what is asked for stay
// before those that name it.
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
	owned, rest := map[uint64][]ID{}, map[uint64][]ID{}
	for hash, list := range asked {
		for _, id := range list {
			if id.Kind == schema.IDEvent || id.Kind == schema.IDRecord {
				owned[hash] = append(owned[hash], id)
			} else {
				rest[hash] = append(rest[hash], id)
			}
		}
	}
	switch {
	case len(rest) == 0:
		return x.lookUpOwn(ctx, owned, within, scope, fullRow)
	case len(owned) == 0:
		return x.lookUpRest(ctx, rest, within, scope)
	case len(asked) <= fewKeys: // two questions, not four
		return x.lookUpRest(ctx, asked, within, scope)
	}
	found, more, err = x.lookUpOwn(ctx, owned, within, scope, fullRow)
	if err != nil {
		return nil, false, err
	}
	others, moreOthers, err := x.lookUpRest(ctx, rest, within, scope)
	return append(found, others...), more || moreOthers, err
}

// fewKeys is up to how many ids all roles are looked up together: an id as it is
// typed, in its spellings. Of many ids a record's own are cheaper by themselves.
const fewKeys = 64

// Resolve is Lookup for ids that are a record's own (IDEvent, IDRecord), many
// at once, where only what identifies the records is wanted: position, topic,
// status, extract version, times, trace, event id and type.
func (x *Index) Resolve(ctx context.Context, ids []ID, within *Window, scope Scope) (found []Found, more bool, err error) {
	return x.resolve(ctx, ids, within, scope, briefRow)
}

// ResolveWhole is Resolve with all that the rows have, causes included.
func (x *Index) ResolveWhole(ctx context.Context, ids []ID, within *Window, scope Scope) (found []Found, more bool, err error) {
	return x.resolve(ctx, ids, within, scope, wholeRow)
}

func (x *Index) resolve(ctx context.Context, ids []ID, within *Window, scope Scope, row rowShape) (found []Found, more bool, err error) {
	if scope.empty() || len(ids) == 0 {
		return nil, false, nil
	}
	asked := map[uint64][]ID{}
	for _, id := range ids {
		if id.Kind != schema.IDEvent && id.Kind != schema.IDRecord {
			return nil, false, schema.Errorf(schema.Invalid, "resolve %s %q: only a record's own ids are resolved", id.Kind, id.Text)
		}
		hash := Hash(id.Text)
		if !slices.Contains(asked[hash], id) {
			asked[hash] = append(asked[hash], id)
		}
	}
	return x.lookUpOwn(ctx, asked, within, scope, row)
}

// rowShape is which columns are read, and how.
type rowShape struct {
	columns string
	scan    func(scanner, *Hit) error
}

var (
	wholeRow = rowShape{traceColumns, scanTrace}
	fullRow  = rowShape{`topic, topic_id, partition, branch, offset, status, extract_version, timestamp, event_time,
		trace_id, event_id, span_id, '' AS no_causes, event_type, event_version, source_service, stage, bytes, null_value`, scanTrace}
	briefRow = rowShape{
		`topic, topic_id, partition, branch, offset, status, extract_version, timestamp, event_time, trace_id, event_id, event_type`,
		scanBrief,
	}
)

func scanBrief(rows scanner, h *Hit) error {
	var raw rawHit
	err := rows.Scan(&h.Topic, &raw.topicID, &h.Partition, &h.Branch, &h.Offset, &raw.status, &raw.version,
		&h.Timestamp, &h.EventTime, &h.TraceID, &h.EventID, &h.EventType)
	raw.into(h)
	return err
}

// lookUpOwn finds records by what is theirs alone: event id and coordinates.
// The index leads to their traces only, of which a few hold hundreds of them;
// the rows themselves say which it was. That reads half as many columns.
func (x *Index) lookUpOwn(ctx context.Context, asked map[uint64][]ID, within *Window, scope Scope, row rowShape) ([]Found, bool, error) {
	if len(asked) == 0 {
		return nil, false, nil
	}
	hashes, kinds := keysOf(asked)
	var found []Found
	more := false
	for chunk := range slices.Chunk(hashes, maxKeys) {
		traces, cut, err := x.tracesOf(ctx, chunk, kinds, within)
		if err != nil {
			return nil, false, err
		}
		more = more || cut
		hits, err := x.ownRows(ctx, traces, chunk, kinds, scope, row)
		if err != nil {
			return nil, false, err
		}
		for i := range hits {
			for _, id := range slices.Concat(asked[Hash(hits[i].EventID)], asked[Hash(hits[i].Coordinates().String())]) {
				if hits[i].bears(id) {
					found = append(found, Found{ID: id, Hit: hits[i]})
				}
			}
		}
	}
	return found, more, nil
}

// lookUpRest finds records by ids of any role, their own included.
func (x *Index) lookUpRest(ctx context.Context, asked map[uint64][]ID, within *Window, scope Scope) ([]Found, bool, error) {
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
	var found []Found
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

// tracesOf gives which traces hold records with one of the ids, by hash, as
// locators without a position.
func (x *Index) tracesOf(ctx context.Context, hashes []uint64, kinds []uint16, within *Window) ([]Locator, bool, error) {
	if within == nil {
		within = &anyTime
	}
	arguments := []any{
		clickhouse.Named("hashes", hashes), clickhouse.Named("kinds", kinds),
		clickhouse.Named("from", within.From), clickhouse.Named("to", within.To),
	}
	// Row by row, which spares a third of ClickHouse's time; only where ids have
	// more records than that does it group them.
	traces, more, err := x.tracesIn(ctx, "SELECT trace_h, timestamp, timestamp FROM id_index", "", arguments)
	if err != nil || !more {
		return traces, false, err
	}
	return x.tracesIn(ctx, "SELECT trace_h, min(timestamp), max(timestamp) FROM id_index",
		"GROUP BY trace_h ORDER BY max(timestamp) DESC", arguments)
}

// tracesIn reads a trace's hash, least and greatest time from each of maxKeys
// rows, and tells whether there are more.
func (x *Index) tracesIn(ctx context.Context, from, group string, arguments []any) (traces []Locator, more bool, err error) {
	count := 0
	arguments = append(slices.Clip(arguments), clickhouse.Named("limit", uint64(maxKeys+1)))
	err = x.query(ctx, "look up ids", from+`
		PREWHERE kind IN {kinds:Array(UInt8)} AND id_h IN {hashes:Array(UInt64)}
		WHERE timestamp BETWEEN {from:Int64} AND {to:Int64}
		`+group+` LIMIT {limit:UInt64}`, arguments, func(rows scanner) error {
		var first, last Locator
		if err := rows.Scan(&first.TraceHash, &first.Timestamp, &last.Timestamp); err != nil {
			return err
		}
		if count++; count > maxKeys {
			return nil
		}
		last.TraceHash = first.TraceHash
		traces = append(traces, first, last)
		return nil
	})
	return traces, count > maxKeys, err
}

// The conditions on a row that bears an id of its own.
const (
	eventCondition  = "sipHash64(event_id) IN {hashes:Array(UInt64)}"
	recordCondition = "sipHash64(concat(topic, '/', toString(partition), '/', toString(offset))) IN {hashes:Array(UInt64)}"
)

// ownCondition asks for no more than the roles looked up: writing coordinates
// out costs more than everything else that is done to a row.
func ownCondition(kinds []uint16) string {
	switch {
	case !slices.Contains(kinds, uint16(schema.IDRecord)):
		return eventCondition
	case !slices.Contains(kinds, uint16(schema.IDEvent)):
		return recordCondition
	default:
		return "(" + eventCondition + " OR " + recordCondition + ")"
	}
}

// ownRows gives the rows of some traces whose event id or coordinates have one
// of the hashes, without their causes.
func (x *Index) ownRows(ctx context.Context, traces []Locator, hashes []uint64, kinds []uint16, scope Scope, row rowShape) ([]Hit, error) {
	if len(traces) == 0 {
		return nil, nil
	}
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, err
	}
	keys := make([]uint64, len(traces))
	for i, l := range traces {
		keys[i] = l.TraceHash
	}
	slices.Sort(keys)
	first, last := timeRange(traces)
	arguments = append(arguments, clickhouse.Named("keys", slices.Compact(keys)), clickhouse.Named("hashes", hashes),
		clickhouse.Named("first", first), clickhouse.Named("last", last))
	type versioned struct {
		schema.Position
		version Version
	}
	seen := map[versioned]bool{}
	var hits []Hit
	err = x.query(ctx, "read records by id", `
		SELECT `+row.columns+` FROM records_by_trace
		PREWHERE trace_h IN {keys:Array(UInt64)} AND `+ownCondition(kinds)+`
		WHERE timestamp BETWEEN {first:Int64} AND {last:Int64} AND `+visible, arguments, func(rows scanner) error {
		var h Hit
		if err := row.scan(rows, &h); err != nil {
			return err
		}
		if key := (versioned{h.Position, h.Version}); !seen[key] {
			seen[key] = true
			hits = append(hits, h)
		}
		return nil
	})
	return hits, err
}

func keysOf(asked map[uint64][]ID) (hashes []uint64, kinds []uint16) { // []uint8 would be sent as text
	for hash, ids := range asked {
		hashes = append(hashes, hash)
		for _, id := range ids {
			if !slices.Contains(kinds, uint16(id.Kind)) {
				kinds = append(kinds, uint16(id.Kind))
			}
		}
	}
	slices.Sort(hashes)
	return hashes, kinds
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
	hashes, kinds := keysOf(asked)
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

// locateSome gives the newest of the rows that have one of the hashes, at most
// limit, and what an id is before what names it, where both are asked for: ids that
// many records share must not hide the one that has it.
func (x *Index) locateSome(ctx context.Context, hashes []uint64, kinds []uint16, within Window, limit int, scope Scope) ([]Locator, error) {
	visible, arguments, err := scope.where()
	if err != nil {
		return nil, err
	}
	arguments = append(arguments,
		clickhouse.Named("hashes", hashes), clickhouse.Named("kinds", kinds),
		clickhouse.Named("from", within.From), clickhouse.Named("to", within.To),
		clickhouse.Named("limit", uint64(limit)))
	// As they come, which spares a seventh of ClickHouse's time. Only of more than the
	// limit must it sort them, and leave out what is there twice.
	locators, err := x.locators(ctx, "SELECT", visible, "", arguments)
	if err == nil && len(locators) == limit {
		locators, err = x.locators(ctx, "SELECT DISTINCT", visible, "ORDER BY "+ownFirst(kinds)+"timestamp DESC", arguments)
	}
	own := func(l Locator) int {
		if l.Kind == schema.IDEvent || l.Kind == schema.IDRecord {
			return 0
		}
		return 1
	}
	slices.SortFunc(locators, func(a, b Locator) int {
		return cmp.Or(cmp.Compare(own(a), own(b)), cmp.Compare(b.Timestamp, a.Timestamp), a.compare(b))
	})
	return slices.Compact(locators), err
}

// compare orders what is as old and of the same role.
func (l Locator) compare(o Locator) int {
	return cmp.Or(
		cmp.Compare(l.Kind, o.Kind), cmp.Compare(l.Hash, o.Hash), cmp.Compare(l.TraceHash, o.TraceHash),
		bytes.Compare(l.TopicID[:], o.TopicID[:]), cmp.Compare(l.Partition, o.Partition),
		cmp.Compare(l.Branch, o.Branch), cmp.Compare(l.Offset, o.Offset))
}

func ownFirst(kinds []uint16) string {
	if slices.Contains(kinds, uint16(schema.IDEvent)) || slices.Contains(kinds, uint16(schema.IDRecord)) {
		return fmt.Sprintf("kind IN (%d, %d) DESC, ", schema.IDRecord, schema.IDEvent)
	}
	return ""
}

// locators reads rows of id_index; a row may come again.
func (x *Index) locators(ctx context.Context, selected, visible, order string, arguments []any) (list []Locator, err error) {
	err = x.query(ctx, "look up ids", selected+` id_h, kind, trace_h, topic_id, partition, branch, offset, timestamp FROM id_index
		PREWHERE kind IN {kinds:Array(UInt8)} AND id_h IN {hashes:Array(UInt64)}
		WHERE timestamp BETWEEN {from:Int64} AND {to:Int64} AND `+visible+`
		`+order+` LIMIT {limit:UInt64}`, arguments, func(rows scanner) error {
		var l Locator
		var topicID string
		var kind uint8
		if err := rows.Scan(&l.Hash, &kind, &l.TraceHash, &topicID, &l.Partition, &l.Branch, &l.Offset, &l.Timestamp); err != nil {
			return err
		}
		copy(l.TopicID[:], topicID)
		l.Kind = schema.IDKind(kind)
		list = append(list, l)
		return nil
	})
	return list, err
}
