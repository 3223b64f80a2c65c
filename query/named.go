package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/term"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Bounds of a search by headers: how many records are read to see whether they bear
// one, the newest first, and how many at a time.
const (
	maxHeaderReads = 2000
	headerReads    = 200
)

// named are the terms of a search about keys and headers. The index has their values
// as ids, where the topic's policy lets them in.
type named []term.Bytes

// isIndexed refuses terms about payloads, of which the index has none.
func (t *typed) isIndexed() error {
	for _, b := range t.Bytes {
		if b.Part != term.Key && b.Part != term.Header {
			return schema.InvalidField("q", "%w", unindexed(b))
		}
	}
	return nil
}

// unindexed says why a search cannot answer a term, and what does.
func unindexed(b term.Bytes) error {
	what := map[term.Part]string{
		term.Key: "keys are", term.Header: "headers are", term.Payload: "payloads are", term.Pointer: "payloads are",
	}[b.Part]
	how := map[term.Part]string{
		term.Key: " of these topics (index_keys of their policy lets them in)", term.Header: " of these topics by that name (index_headers of their policy lets them in)",
	}[b.Part]
	return &term.Error{At: b.At, Message: what + " not in the index" + how + ": they are read from the archive itself, within bounds (annals search --scan, GET /records/scan). A header that is an id, such as traceId or correlationId, is found by its value alone"}
}

// finds tells whether the index has records of a topic by a term.
func (e *Engine) finds(topic string, b *term.Bytes) bool {
	if b.Part == term.Key {
		return e.options.Extract.FindsByKey(topic)
	}
	return e.options.Extract.FindsByHeader(topic, b.Name)
}

// findable holds the terms against the topics in question: an error where the index
// has none of them by a term, a note where it lacks some.
func (e *Engine) findable(c *catalog, who policy.Principal, terms named, filter *index.Filter, page *answer.Page) error {
	var topics []string
	for _, at := range filter.Topics {
		topics = append(topics, at.Topic)
	}
	if len(topics) == 0 {
		for topic := range c.newest {
			if who.Topics.Allows(topic) {
				topics = append(topics, topic)
			}
		}
	}
	slices.Sort(topics)
	for i := range terms {
		without := slices.DeleteFunc(slices.Clone(topics), func(topic string) bool { return e.finds(topic, &terms[i]) })
		if len(without) == len(topics) && len(topics) > 0 {
			return schema.InvalidField("q", "%w", unindexed(terms[i]))
		}
		if n := len(without); n > 0 {
			const most = 3
			what := "keys are"
			if terms[i].Part == term.Header {
				what = fmt.Sprintf("headers %.64q are", terms[i].Name)
			}
			list := strings.Join(without[:min(n, most)], ", ")
			if n > most {
				list += ", …"
			}
			page.Note = joined(page.Note, fmt.Sprintf("%s not in the index of %d topics (%s), where nothing was looked for: a scan reads them", what, n, list))
		}
	}
	return nil
}

// byIDs gives the records that an id of any role, if one is asked for, and all terms
// lead to, and tells whether a limit cut the look-ups.
func (e *Engine) byIDs(ctx context.Context, id string, terms named, f *index.Filter, scope index.Scope) (hits []index.Hit, cut bool, err error) {
	type versioned struct {
		schema.Position
		version index.Version
	}
	first := true
	narrow := func(trace []string, ids []index.ID) error {
		found, more, err := e.bearing(ctx, trace, ids, f, scope)
		if err != nil {
			return err
		}
		cut = cut || more
		if first {
			hits, first = found, false
			return nil
		}
		there := map[versioned]bool{}
		for i := range found {
			there[versioned{found[i].Position, found[i].Version}] = true
		}
		hits = slices.DeleteFunc(hits, func(h index.Hit) bool { return !there[versioned{h.Position, h.Version}] })
		return nil
	}
	if id != "" {
		spellings, _ := extract.Spellings(id)
		if len(spellings) == 0 {
			return nil, false, schema.InvalidField("id", "id %.64q: want printable text of 1 to %d bytes", id, extract.MaxIDBytes)
		}
		if err := narrow(spellings, roles(spellings)); err != nil {
			return nil, false, err
		}
	}
	for i := range terms {
		b := &terms[i]
		var trace []string
		ids := []index.ID{{Kind: schema.IDKey, Text: b.Value}}
		if b.Part == term.Header {
			trace, _ = extract.Spellings(b.Value)
			ids = append(roles(trace), index.ID{Kind: schema.IDHeader, Text: b.Value})
		}
		if err := narrow(trace, ids); err != nil {
			return nil, false, err
		}
		// What the index has of a topic that may not be looked into any more is not told.
		hits = slices.DeleteFunc(hits, func(h index.Hit) bool { return !e.finds(h.Topic, b) })
	}
	return hits, cut, nil
}

// bearing gives records that have one of some ids, or are in a trace of one of some
// spellings.
func (e *Engine) bearing(ctx context.Context, trace []string, ids []index.ID, f *index.Filter, scope index.Scope) ([]index.Hit, bool, error) {
	hits, cut, err := e.options.Index.Trace(ctx, trace, scope, maxByID)
	if err != nil {
		return nil, false, err
	}
	found, more, err := e.options.Index.Lookup(ctx, ids, windowOf(f), scope)
	for i := range found {
		hits = append(hits, found[i].Hit)
	}
	return hits, cut || more, err
}

// withHeaders leaves of hits, newest first, those that bear the headers asked for, as
// many records as a page needs: which header a value is of only the record knows. The
// note says what a limit cut, and what could not be read.
func (e *Engine) withHeaders(ctx context.Context, c *catalog, hits []index.Hit, terms named, limit int) (kept []index.Hit, note string) {
	if !slices.ContainsFunc(terms, func(b term.Bytes) bool { return b.Part == term.Header }) {
		return hits, ""
	}
	records, unread, last := 0, 0, schema.Position{Offset: -1}
	for at := 0; at < len(hits) && records <= limit; at += headerReads {
		if at >= maxHeaderReads {
			note = fmt.Sprintf("only the newest %d records that could bear these headers were read: narrow the time", maxHeaderReads)
			break
		}
		some := hits[at:min(len(hits), at+headerReads)]
		contents := e.contents(ctx, c, some, segment.Payload)
		for i := range some {
			h := &some[i]
			read := contents[h.Position]
			switch {
			case read.err != nil || read.record == nil:
				unread++
			case terms.bears(read.record):
				if h.Position != last {
					last = h.Position
					records++
				}
				kept = append(kept, *h)
			}
		}
	}
	if unread > 0 {
		note = joined(note, fmt.Sprintf("%d records could not be read, and may be missing", unread))
	}
	return kept, note
}

// bears tells whether a record, without what policy withholds, has all headers that
// are asked for.
func (terms named) bears(r *schema.Record) bool {
	for i := range terms {
		b := &terms[i]
		if b.Part == term.Header && !slices.ContainsFunc(r.Headers, func(h schema.Header) bool {
			return strings.EqualFold(h.Name, b.Name) && h.Value != nil && string(h.Value) == b.Value
		}) {
			return false
		}
	}
	return true
}
