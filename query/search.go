package query

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/nearest"
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
// DefaultPage. An unknown topic has no records, and the page names it. Stages
// are shown as they are filtered by: both go by what was known of topics and
// types at one moment. A filter so wide that the index gives up is Exhausted.
// The query is written in the language of package term; what it names must not
// be given beside it.
func (e *Engine) Search(ctx context.Context, who policy.Principal, request answer.SearchRequest) (*answer.Page, error) {
	if request.Limit == 0 {
		request.Limit = DefaultPage
	}
	digest, err := digestOf(&request)
	if err != nil {
		return nil, err
	}
	from, err := decodeCursor(request.Cursor, digest)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	if from != nil {
		asked = from.asked // ages are of the moment when the first page was asked for
	}
	typed, err := typedOf(&request, asked)
	if err != nil {
		return nil, err
	}
	filter, err := filterOf(&request)
	if err != nil {
		return nil, err
	}
	typed.into(&filter)
	if len(typed.Bytes) > 0 && filter.Violation != "" {
		return nil, schema.InvalidField("violation", "a violation goes with other filters, but not with keys and headers")
	}
	if from != nil {
		filter.After = &from.mark
	}
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	page := &answer.Page{Searched: c.searched(who)}
	if some, err := e.topicsOf(c, who, &request, &typed, &filter, page); err != nil || !some {
		return page, err
	}
	if err := e.findable(c, who, typed.Bytes, &filter, page); err != nil {
		return nil, err
	}
	c, found, counting, err := e.counted(ctx, c, who, request, typed.Bytes, filter)
	if err != nil {
		return nil, err
	}
	if found.more && len(found.hits) > 0 {
		page.NextCursor = encodeCursor(digest, place{asked, found.hits[len(found.hits)-1].Mark()})
	}
	page.Note = joined(page.Note, found.note)
	for i := range counting {
		hit := c.hit(&counting[i])
		hit.Stage = found.stages.of(hit.Topic, hit.EventType, hit.Stage)
		page.Records = append(page.Records, hit)
	}
	return page, nil
}

// topicsOf resolves the topics of a request; false if those that it names are
// all unknown, of which the page tells.
func (e *Engine) topicsOf(c *catalog, who policy.Principal, request *answer.SearchRequest, t *typed, filter *index.Filter, page *answer.Page) (bool, error) {
	for _, topic := range request.Topics {
		if at, ok := c.incarnation(who, topic, request.TopicID); ok {
			filter.Topics = append(filter.Topics, at)
			continue
		}
		page.Unknown = append(page.Unknown, c.unknown(who, topic))
	}
	t.topics(c, who, filter, page)
	page.Note = unknownNote(page.Unknown)
	all := len(request.Topics)+len(t.beginnings) == 0
	if t.Team != "" {
		filter.Owner = e.ownerFilter(c, who, t.Team)
		if len(filter.Owner.Types)+len(filter.Owner.Topics) == 0 {
			page.Note = joined(page.Note, fmt.Sprintf("no topic and no event type is of team %.64q: annals topics and annals catalog say whose they are", t.Team))
			return false, nil
		}
	}
	if len(filter.Topics) > maxTopics {
		return false, schema.InvalidField("q", "topic: these are %d topics, and a search takes at most %d", len(filter.Topics), maxTopics)
	}
	return all || len(filter.Topics) > 0, nil
}

// counted searches, and once more with a new catalog where a record was found
// only by rows that do not count: its range was read again between the two
// questions, and the rows that count came after the first. It gives the catalog
// that was used, all rows found, and those that count.
func (e *Engine) counted(ctx context.Context, c *catalog, who policy.Principal, request answer.SearchRequest, terms named, filter index.Filter) (*catalog, result, []index.Hit, error) {
	for again := false; ; again = true {
		began := time.Now()
		found, err := e.search(ctx, c, who, request, terms, filter)
		if err != nil {
			return nil, found, nil, err
		}
		counting, err := e.counting(ctx, c, slices.Clone(found.hits))
		if err != nil {
			return nil, found, nil, err
		}
		if again || !c.lost(found.hits, counting) {
			return c, found, counting, nil
		}
		if c, err = e.catalogSince(ctx, began); err != nil {
			return nil, found, nil, err
		}
	}
}

// result is what the index gave, with the stages that chose it.
type result struct {
	hits   []index.Hit
	more   bool
	note   string
	stages stages
}

// search looks until nothing was learned of the stages in what it found, so
// that a filter and what is shown agree from the first page on.
func (e *Engine) search(ctx context.Context, c *catalog, who policy.Principal, request answer.SearchRequest, terms named, filter index.Filter) (f result, err error) {
	patience, late := learnPatience, 0
	if filter.Stage != nil { // what would be found without it has to be known first
		patience = stagePatience
		probe := filter
		probe.Stage = nil
		hits, _, _, err := e.look(ctx, c, who, request, terms, probe, e.stagesNow(), learnFrom)
		if err != nil {
			return f, err
		}
		_, late = e.learn(ctx, who, hits, patience)
		older, err := e.learnKinds(ctx, c, who, &filter, patience)
		if err != nil {
			return f, err
		}
		late = max(late, older)
	}
	for round := 1; ; round++ {
		f.stages = e.stagesNow()
		if filter.Stage != nil {
			f.stages.choose(filter.Stage, c)
		}
		f.hits, f.more, f.note, err = e.look(ctx, c, who, request, terms, filter, f.stages, request.Limit)
		if err != nil {
			return f, err
		}
		learned, lateNow := e.learn(ctx, who, f.hits, patience)
		late = max(late, lateNow)
		if filter.Stage != nil && (!learned || round == maxRounds) {
			f.note = joined(f.note, lateNote(late))
		}
		if round == maxRounds || !learned {
			return f, nil
		}
		if filter.Stage == nil { // nothing was chosen by what has changed
			f.stages = e.stagesNow()
			return f, nil
		}
	}
}

// lateNote says that records may be missing of whose stage nothing is known yet.
func lateNote(late int) string {
	if late == 0 {
		return ""
	}
	return fmt.Sprintf("what %d event types do was not found out in time: records of them may be missing; ask again", late)
}

// look asks the index once.
func (e *Engine) look(ctx context.Context, c *catalog, who policy.Principal, request answer.SearchRequest, terms named, filter index.Filter, s stages, limit int) (hits []index.Hit, more bool, note string, err error) {
	if request.ID != "" || len(terms) > 0 {
		return e.searchID(ctx, c, who, request, terms, filter, s, limit)
	}
	hits, more, err = e.options.Index.Search(ctx, filter, c.scope(who), limit+maxCopies)
	hits, more = whole(hits, more, limit)
	return hits, more, "", err
}

// maxCopies is how many rows of one record, of versions that its range was read
// with, may lie beside one another until they are deleted.
const maxCopies = 8

// whole cuts hits after limit records, each with all of its rows: which of them
// counts is seen later, and a cursor between them would skip it.
func whole(hits []index.Hit, more bool, limit int) ([]index.Hit, bool) {
	records, last := 0, 0 // where the last record begins
	for i := range hits {
		if i > 0 && hits[i].Position == hits[i-1].Position {
			continue
		}
		if records++; records > limit {
			return hits[:i], true
		}
		last = i
	}
	if more && records > 1 { // rows of the last one may be among those that were cut
		return hits[:last], true
	}
	return hits, more
}

// unknown tells of a topic that has no records, with the nearest that the
// principal may see.
func (c *catalog) unknown(who policy.Principal, topic string) answer.UnknownTopic {
	var known []string
	for name := range c.newest {
		if who.Topics.Allows(name) {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	return answer.UnknownTopic{Topic: topic, DidYouMean: nearest.Name(topic, known)}
}

func unknownNote(unknown []answer.UnknownTopic) string {
	var notes []string
	for _, u := range unknown {
		note := fmt.Sprintf("no topic %.249q is archived", u.Topic)
		if u.DidYouMean != "" {
			note += "; did you mean " + u.DidYouMean + "?"
		}
		notes = append(notes, note)
	}
	return joined(notes...)
}

// joined puts notes into one.
func joined(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}

// filterOf checks a request; topics are resolved later.
func filterOf(r *answer.SearchRequest) (index.Filter, error) {
	f := index.Filter{EventType: r.EventType, Service: r.Service, Statuses: r.Statuses, Violation: r.Violation}
	if r.Violation != "" && (r.ID != "" || len(r.Violation) > extract.MaxIDBytes) {
		return f, schema.InvalidField("violation", "a violation of up to %d bytes goes with other filters, but not with an id", extract.MaxIDBytes)
	}
	if r.Limit < 1 || r.Limit > MaxPage {
		return f, schema.InvalidField("limit", "limit %d: want 1 to %d", r.Limit, MaxPage)
	}
	if r.TopicID != nil && len(r.Topics) != 1 {
		return f, schema.InvalidField("topic_id", "a topic ID goes with the one topic that it is of")
	}
	if len(r.Topics) > maxTopics {
		return f, schema.InvalidField("topic", "%d topics: at most %d", len(r.Topics), maxTopics)
	}
	if len(r.EventType) > extract.MaxIDBytes || len(r.Service) > extract.MaxIDBytes {
		return f, schema.InvalidField("event_type", "event type or service longer than %d bytes", extract.MaxIDBytes)
	}
	f.From, f.To = milliOf(r.From), milliOf(r.To)
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

// searchID finds records by an id of any role, and by keys and headers, filters them
// here and gives one page. What thousands of records share is cut, and said so.
func (e *Engine) searchID(ctx context.Context, c *catalog, who policy.Principal, r answer.SearchRequest, terms named, f index.Filter, s stages, limit int) (hits []index.Hit, more bool, note string, err error) {
	hits, cut, err := e.byIDs(ctx, r.ID, terms, &f, c.scope(who))
	if err != nil {
		return nil, false, "", err
	}
	if cut {
		note = fmt.Sprintf("more records than can be sorted have this id: only some of them, at least %d, were looked at; narrow the time", maxByID)
	}
	hits = slices.DeleteFunc(hits, func(h index.Hit) bool { return !passes(&h, &f, s) })
	slices.SortFunc(hits, func(a, b index.Hit) int { return newestFirst(a.Mark(), b.Mark()) })
	hits = slices.CompactFunc(hits, func(a, b index.Hit) bool {
		return a.Position == b.Position && a.Version == b.Version
	})
	hits, unread := e.withHeaders(ctx, c, hits, terms, limit)
	hits, more = whole(hits, false, limit)
	return hits, more, joined(note, unread), nil
}

// roles asks for ids in every role.
func roles(spellings []string) []index.ID {
	var ids []index.ID
	for _, text := range spellings {
		for _, kind := range []schema.IDKind{
			schema.IDEvent, schema.IDSpan, schema.IDCorrelation, schema.IDKey, schema.IDAlias, schema.IDHeader,
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
func passes(h *index.Hit, f *index.Filter, s stages) bool {
	switch {
	case f.From != nil && h.Timestamp < *f.From, f.To != nil && h.Timestamp >= *f.To,
		f.EventType != "" && h.EventType != f.EventType, f.Service != "" && h.Service != f.Service,
		!strings.HasPrefix(h.EventType, f.TypePrefix), !strings.HasPrefix(h.Service, f.ServicePrefix),
		f.Version != "" && h.EventVersion != f.Version, f.Partition != nil && h.Partition != *f.Partition,
		f.After != nil && newestFirst(h.Mark(), *f.After) <= 0:
		return false
	}
	if !happened(h.EventTime, h.HasEventTime, f.EventFrom, f.EventTo) {
		return false
	}
	if len(f.Topics) > 0 && !slices.Contains(f.Topics, index.Incarnation{Topic: h.Topic, TopicID: h.TopicID}) {
		return false
	}
	if !slices.Contains(f.Statuses, h.Status) && (len(f.Statuses) > 0 || h.Status != schema.Committed) {
		return false
	}
	if f.Owner != nil && !f.Owner.Passes(h.Topic, h.EventType) {
		return false
	}
	return f.Stage == nil || s.passes(h, f.Stage.Stage)
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
