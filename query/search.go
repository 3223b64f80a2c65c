package query

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a search.
const (
	DefaultPage = 100
	MaxPage     = 1000
	maxTopics   = 50
	maxByID     = 5000 // records that a search by id sorts
)

// Search gives a page of records, newest first by record time; a limit of 0 is
// DefaultPage. An unknown topic has no records. A filter so wide that the index
// gives up is Exhausted.
func (e *Engine) Search(ctx context.Context, who policy.Principal, request answer.SearchRequest) (*answer.Page, error) {
	if request.Limit == 0 {
		request.Limit = DefaultPage
	}
	filter, err := filterOf(&request)
	if err != nil {
		return nil, err
	}
	digest, err := digestOf(&request)
	if err != nil {
		return nil, err
	}
	if filter.After, err = decodeCursor(request.Cursor, digest); err != nil {
		return nil, err
	}
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	page := &answer.Page{Searched: c.searched(who)}
	for _, topic := range request.Topics {
		if at, ok := c.incarnation(who, topic, nil); ok {
			filter.Topics = append(filter.Topics, at)
		}
	}
	if len(request.Topics) > 0 && len(filter.Topics) == 0 {
		page.Note = "no topic of that name is archived"
		return page, nil
	}
	if filter.Stage != nil {
		filter.Stage.Topics, filter.Stage.Types = e.stages.pairs(filter.Stage.Stage)
		if filter.Stage.Stage == schema.StageDeadLetter {
			filter.Stage.Whole = c.deadLetterTopics()
		}
	}
	var hits []index.Hit
	var more bool
	if request.ID != "" {
		hits, more, page.Note, err = e.searchID(ctx, c, who, request, filter)
	} else {
		hits, more, err = e.options.Index.Search(ctx, filter, c.scope(who), request.Limit)
	}
	if err != nil {
		return nil, err
	}
	if more && len(hits) > 0 {
		page.NextCursor = encodeCursor(digest, hits[len(hits)-1].Mark())
	}
	return page, e.fill(ctx, c, page, hits)
}

func (e *Engine) fill(ctx context.Context, c *catalog, page *answer.Page, hits []index.Hit) error {
	hits, err := e.counting(ctx, c, hits)
	for i := range hits {
		hit := c.hit(&hits[i])
		e.name(&hit)
		page.Records = append(page.Records, hit)
	}
	return err
}

// filterOf checks a request; topics are resolved later.
func filterOf(r *answer.SearchRequest) (index.Filter, error) {
	f := index.Filter{EventType: r.EventType, Service: r.Service, Statuses: r.Statuses}
	if r.Limit < 1 || r.Limit > MaxPage {
		return f, schema.InvalidField("limit", "limit %d: want 1 to %d", r.Limit, MaxPage)
	}
	if len(r.Topics) > maxTopics {
		return f, schema.InvalidField("topic", "%d topics: at most %d", len(r.Topics), maxTopics)
	}
	if len(r.EventType) > extract.MaxIDBytes || len(r.Service) > extract.MaxIDBytes {
		return f, schema.InvalidField("event_type", "event type or service longer than %d bytes", extract.MaxIDBytes)
	}
	if !r.From.IsZero() {
		from := r.From.Add(time.Millisecond - 1).UnixMilli()
		f.From = &from
	}
	if !r.To.IsZero() {
		to := r.To.Add(time.Millisecond - 1).UnixMilli()
		f.To = &to
	}
	if f.From != nil && f.To != nil && *f.From > *f.To {
		return f, schema.InvalidField("to", "to %s is before from %s", r.To.Format(time.RFC3339Nano), r.From.Format(time.RFC3339Nano))
	}
	for _, s := range r.Statuses {
		if s != schema.Committed && s != schema.Aborted && s != schema.Control {
			return f, schema.InvalidField("status", "status %s: want committed, aborted or control", s)
		}
	}
	if r.Stage != "" {
		stage, ok := schema.ParseStage(r.Stage)
		if !ok {
			return f, schema.InvalidField("stage", "stage %.32q: want ingestion, enrichment, transformation, delivery, dead-letter, replay or unknown", r.Stage)
		}
		f.Stage = &index.StageFilter{Stage: stage}
	}
	return f, nil
}

// digestOf binds a cursor to everything but the place and the page's size.
func digestOf(r *answer.SearchRequest) (uint64, error) {
	own := *r
	own.Cursor, own.Limit = "", 0
	own.From, own.To = own.From.UTC(), own.To.UTC()
	text, err := json.Marshal(own)
	if err != nil {
		return 0, fmt.Errorf("read search: %w", err)
	}
	return index.Hash(text), nil
}

// searchID finds records by an id of any role, filters them here and gives one
// page. An id that thousands of records share is cut, and said so.
func (e *Engine) searchID(ctx context.Context, c *catalog, who policy.Principal, r answer.SearchRequest, f index.Filter) (hits []index.Hit, more bool, note string, err error) {
	spellings := extract.NormalizeID(r.ID)
	if len(spellings) == 0 {
		return nil, false, "", schema.InvalidField("id", "id %.64q: want printable text of 1 to %d bytes", r.ID, extract.MaxIDBytes)
	}
	scope := c.scope(who)
	hits, cut, err := e.options.Index.Trace(ctx, spellings, scope, maxByID)
	if err != nil {
		return nil, false, "", err
	}
	found, cutToo, err := e.options.Index.Lookup(ctx, roles(spellings), windowOf(&f), scope)
	if err != nil {
		return nil, false, "", err
	}
	for i := range found {
		hits = append(hits, found[i].Hit)
	}
	if cut || cutToo {
		note = fmt.Sprintf("more records than can be sorted have this id: only some of them, at least %d, were looked at; narrow the time", maxByID)
	}
	hits = slices.DeleteFunc(hits, func(h index.Hit) bool { return !e.passes(&h, &f) })
	slices.SortFunc(hits, func(a, b index.Hit) int { return newestFirst(a.Mark(), b.Mark()) })
	hits = slices.CompactFunc(hits, func(a, b index.Hit) bool {
		return a.Position == b.Position && a.ExtractVersion == b.ExtractVersion
	})
	if len(hits) > r.Limit {
		return hits[:r.Limit], true, note, nil
	}
	return hits, false, note, nil
}

// roles asks for ids in every role.
func roles(spellings []string) []index.ID {
	var ids []index.ID
	for _, text := range spellings {
		for _, kind := range []schema.IDKind{
			schema.IDEvent, schema.IDSpan, schema.IDCorrelation, schema.IDAlias,
			schema.RefEvent, schema.RefSpan, schema.RefTrace, schema.RefRecord,
		} {
			ids = append(ids, index.ID{Kind: kind, Text: text})
		}
		if _, err := schema.ParseCoordinates(text); err == nil {
			ids = append(ids, index.ID{Kind: schema.IDRecord, Text: text})
		}
	}
	return ids
}

// newestFirst is the order of index.Search.
func newestFirst(a, b index.Mark) int {
	return cmp.Or(
		cmp.Compare(b.Timestamp, a.Timestamp), bytes.Compare(b.TopicID[:], a.TopicID[:]),
		cmp.Compare(b.Partition, a.Partition), cmp.Compare(b.Branch, a.Branch), cmp.Compare(b.Offset, a.Offset))
}

// passes does for a hit found by id what the index does for the others.
func (e *Engine) passes(h *index.Hit, f *index.Filter) bool {
	switch {
	case f.From != nil && h.Timestamp < *f.From, f.To != nil && h.Timestamp >= *f.To,
		f.EventType != "" && h.EventType != f.EventType, f.Service != "" && h.Service != f.Service,
		f.After != nil && newestFirst(h.Mark(), *f.After) <= 0:
		return false
	}
	if len(f.Topics) > 0 && !slices.Contains(f.Topics, index.Incarnation{Topic: h.Topic, TopicID: h.TopicID}) {
		return false
	}
	if !slices.Contains(f.Statuses, h.Status) && (len(f.Statuses) > 0 || h.Status != schema.Committed) {
		return false
	}
	if f.Stage == nil {
		return true
	}
	hit := answer.Hit{Topic: h.Topic, EventType: h.EventType, Stage: h.Stage}
	e.name(&hit)
	return hit.Stage == f.Stage.Stage
}

// windowOf is the filter's time as a look-up takes it; nil: any.
func windowOf(f *index.Filter) *index.Window {
	if f.From == nil && f.To == nil {
		return nil
	}
	w := &index.Window{From: math.MinInt64, To: math.MaxInt64}
	if f.From != nil {
		w.From = *f.From
	}
	if f.To != nil {
		w.To = *f.To
	}
	return w
}
