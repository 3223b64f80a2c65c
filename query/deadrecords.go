package query

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of looking through dead letters of services.
const (
	MaxDeadRecords = 10_000 // looked at for one answer
	deadBatch      = 200    // asked of the index at once
	deadBytes      = maxContentBytes / 2
)

// DeadRecords gives a page of the records that services could not process, newest
// first; a limit of 0 is DefaultDeadLetters. What they are narrowed by stands in
// their headers, which are read from the archive: at most MaxDeadRecords a page,
// and the cursor goes on from there.
func (e *Engine) DeadRecords(ctx context.Context, who policy.Principal, request answer.DeadRecordRequest) (*answer.DeadRecordPage, error) {
	if err := bound(&request.Limit, DefaultDeadLetters, MaxDeadLetters); err != nil {
		return nil, err
	}
	digest, err := deadDigest(&request)
	if err != nil {
		return nil, err
	}
	from, err := decodeCursor(request.Cursor, digest)
	if err != nil {
		return nil, err
	}
	page := &answer.DeadRecordPage{}
	w := &deadWalk{engine: e, who: who, request: request}
	if from != nil {
		w.from = &from.mark
	}
	err = w.run(ctx, func(r *answer.DeadRecord) bool {
		page.Records = append(page.Records, *r)
		return len(page.Records) < request.Limit
	})
	if err != nil {
		return nil, err
	}
	page.Examined, page.Unread, page.Note, page.Searched = w.examined, w.unread, w.note(), w.searched
	if w.more && w.last != nil {
		page.NextCursor = encodeCursor(digest, place{time.Now(), *w.last})
	}
	return page, nil
}

func deadDigest(r *answer.DeadRecordRequest) (uint64, error) {
	own := *r
	own.Cursor, own.Limit = "", 0
	own.From, own.To = own.From.UTC(), own.To.UTC()
	text, err := json.Marshal(own)
	if err != nil {
		return 0, fmt.Errorf("read request: %w", err)
	}
	return index.Hash(append([]byte("dead records "), text...)), nil
}

// deadWalk goes through dead letters, newest first.
type deadWalk struct {
	engine  *Engine
	who     policy.Principal
	request answer.DeadRecordRequest
	from    *index.Mark // begin behind it

	examined int
	unread   int
	why      string // the first was not read
	unknown  string
	stopped  string // by what, before the end
	err      error
	last     *index.Mark
	more     bool // there may be others behind last
	searched answer.Searched
}

// run calls visit for each that is asked for, until it returns false, all were
// seen, or a bound is reached.
func (w *deadWalk) run(ctx context.Context, visit func(*answer.DeadRecord) bool) error {
	e := w.engine
	filter, err := filterOf(&answer.SearchRequest{From: w.request.From, To: w.request.To, Limit: 1})
	if err != nil {
		return err
	}
	c, err := e.catalog(ctx)
	if err != nil {
		return err
	}
	w.searched = c.searched(w.who)
	if len(w.request.Records) > 0 {
		return w.named(ctx, c, visit)
	}
	if some, err := w.topics(c, &filter); err != nil || !some {
		return err
	}
	filter.After = w.from
	for until := time.Now().Add(e.options.ScanTime); ; {
		hits, more, err := e.options.Index.Search(ctx, filter, c.scope(w.who), deadBatch+maxCopies)
		if err != nil {
			return err
		}
		hits, more = whole(hits, more, deadBatch)
		if len(hits) == 0 {
			w.more = false
			return nil
		}
		counting, err := e.counting(ctx, c, slices.Clone(hits))
		if err != nil {
			return err
		}
		end := hits[len(hits)-1].Mark()
		if on := w.batch(ctx, c, counting, visit); !on {
			w.more = more || w.last != nil && *w.last != end
			return cmp.Or(w.err, ctx.Err())
		}
		w.last, filter.After, w.more = &end, &end, more
		switch {
		case !more:
			return nil
		case w.examined >= MaxDeadRecords:
			w.stopped = fmt.Sprintf("the newest %d dead letters of the range were looked at", w.examined)
			return nil
		case time.Now().After(until):
			w.stopped = fmt.Sprintf("%s passed, in which the newest %d dead letters of the range were looked at", e.options.ScanTime, w.examined)
			return nil
		}
	}
}

// named looks at the records that are named.
func (w *deadWalk) named(ctx context.Context, c *catalog, visit func(*answer.DeadRecord) bool) error {
	r := &w.request
	if r.Topic+r.Original+r.Error+r.Service+r.Signature != "" || !r.From.IsZero() || !r.To.IsZero() {
		return schema.InvalidField("records", "records that are named are not narrowed by anything else")
	}
	if len(r.Records) > answer.MaxNamedDeadRecords {
		return schema.InvalidField("records", "%d records, at most %d", len(r.Records), answer.MaxNamedDeadRecords)
	}
	ids := make([]index.ID, len(r.Records))
	for i, at := range r.Records {
		ids[i] = index.ID{Kind: schema.IDRecord, Text: at.String()}
	}
	found, _, err := w.engine.options.Index.Lookup(ctx, ids, nil, c.scope(w.who))
	if err != nil {
		return err
	}
	newest := map[schema.Coordinates]index.Hit{}
	for i := range found {
		h := found[i].Hit
		at, ok := c.incarnation(w.who, h.Topic, nil)
		if one, there := newest[h.Coordinates()]; ok && at.TopicID == h.TopicID && h.Status == schema.Committed && (!there || one.Branch <= h.Branch) {
			newest[h.Coordinates()] = h
		}
	}
	var hits []index.Hit
	for _, at := range r.Records {
		h, ok := newest[at]
		if !ok {
			return w.engine.missing(c, w.who, "%s is not archived, or no committed record", at)
		}
		hits = append(hits, h)
	}
	if hits, err = w.engine.counting(ctx, c, hits); err != nil {
		return err
	}
	w.batch(ctx, c, hits, visit)
	w.last = nil
	return cmp.Or(w.err, ctx.Err())
}

// putBack finds copies of records, by what they are a copy of.
func (w *deadWalk) putBack(ctx context.Context, c *catalog, hits []index.Hit) (map[schema.Coordinates][]schema.Coordinates, error) {
	ids := make([]index.ID, len(hits))
	for i := range hits {
		ids[i] = index.ID{Kind: schema.RefRecord, Text: hits[i].Coordinates().String()}
	}
	found, _, err := w.engine.options.Index.Lookup(ctx, ids, nil, c.scope(w.who))
	if err != nil {
		return nil, err
	}
	back := map[schema.Coordinates][]schema.Coordinates{}
	for i := range found {
		of, err := schema.ParseCoordinates(found[i].Text)
		if err == nil && found[i].Hit.Status == schema.Committed {
			back[of] = append(back[of], found[i].Hit.Coordinates())
		}
	}
	return back, nil
}

// inOriginal gives the copy that stands in the topic that a dead letter comes from.
func inOriginal(r *answer.DeadRecord, copies []schema.Coordinates) *schema.Coordinates {
	for _, at := range copies {
		if r.Failure.Original != nil && at.Topic == r.Failure.Original.Topic {
			return &at
		}
	}
	return nil
}

// topics chooses what is looked at; false if no such topic is archived.
func (w *deadWalk) topics(c *catalog, filter *index.Filter) (bool, error) {
	if w.request.Topic == "" {
		filter.Stage = &index.StageFilter{Stage: schema.StageDeadLetter, Always: c.chosen(w.engine.hasDeadLetters)}
		return true, nil
	}
	named, err := policy.Topics(w.request.Topic)
	if err != nil {
		return false, schema.InvalidField("topic", "%w", err)
	}
	for name, id := range c.newest {
		if named.Allows(name) && w.who.Topics.Allows(name) {
			filter.Topics = append(filter.Topics, index.Incarnation{Topic: name, TopicID: id})
		}
	}
	if len(filter.Topics) > maxTopics {
		return false, schema.InvalidField("topic", "these are %d topics, at most %d", len(filter.Topics), maxTopics)
	}
	if len(filter.Topics) == 0 {
		w.unknown = unknownNote([]answer.UnknownTopic{c.unknown(w.who, w.request.Topic)})
	}
	return len(filter.Topics) > 0, nil
}

// batch reads hits, as many at once as an answer may hold, and passes on those that
// are asked for; false: visit wants no more.
func (w *deadWalk) batch(ctx context.Context, c *catalog, hits []index.Hit, visit func(*answer.DeadRecord) bool) bool {
	for len(hits) > 0 && ctx.Err() == nil {
		n, bytes := 1, hits[0].Bytes
		for n < len(hits) && bytes+hits[n].Bytes <= deadBytes {
			bytes += hits[n].Bytes
			n++
		}
		contents := w.engine.contents(ctx, c, hits[:n], segment.Payload)
		back, err := w.putBack(ctx, c, hits[:n])
		if err != nil && w.err == nil {
			w.err = err
		}
		for i := range hits[:n] {
			mark := hits[i].Mark()
			w.last = &mark
			if found := w.read(c, &hits[i], contents[hits[i].Position]); found != nil {
				found.PutBack = inOriginal(found, back[found.Hit.Coordinates()])
				if !visit(found) {
					return false
				}
			}
		}
		hits = hits[n:]
	}
	return ctx.Err() == nil && w.err == nil
}

// read looks at one; nil: it is not asked for, or could not be read.
func (w *deadWalk) read(c *catalog, h *index.Hit, entry *content) *answer.DeadRecord {
	w.examined++
	if entry.err != nil {
		if w.unread++; w.why == "" {
			w.why = fmt.Sprintf("%s: %v", h.Coordinates(), entry.err)
		}
		return nil
	}
	found := &answer.DeadRecord{Hit: c.hit(h), Failure: failureOf(w.who, entry.record)}
	w.engine.name(&found.Hit)
	if !w.wants(found) {
		return nil
	}
	return found
}

// failureOf reads what may be shown of a record's failure. Where it came from is
// not named to who may not see that topic.
func failureOf(who policy.Principal, r *schema.Record) answer.Failure {
	f := failure.Of(r)
	out := answer.Failure{
		Framework: string(f.Dialect), Original: f.Original, Last: f.Last, Class: f.Class, Message: f.Message, Stage: f.Stage,
		By: f.By, Redriven: f.Redriven, Back: f.Back, Signature: f.Signature().ID, Problem: f.Problem,
	}
	for _, at := range []**schema.Coordinates{&out.Original, &out.Last} {
		if *at != nil && !who.Topics.Allows((*at).Topic) {
			*at, out.Problem = nil, "the topic that it comes from may not be seen"
		}
	}
	return out
}

func (w *deadWalk) wants(r *answer.DeadRecord) bool {
	f, asked := &r.Failure, &w.request
	contains := func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(asked.Error)) }
	switch {
	case asked.Original != "" && (f.Original == nil || f.Original.Topic != asked.Original),
		asked.Service != "" && f.By != asked.Service && r.Hit.Service != asked.Service,
		asked.Signature != "" && f.Signature != asked.Signature,
		asked.Error != "" && !contains(f.Class) && !contains(f.Message):
		return false
	}
	return true
}

// note says what was left out, and why.
func (w *deadWalk) note() string {
	unread := ""
	if w.unread > 0 {
		unread = fmt.Sprintf("%d could not be read, the first: %s", w.unread, w.why)
	}
	return joined(w.unknown, unread, w.stopped)
}
