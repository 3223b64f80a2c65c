package query

import (
	"context"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Record reads one record's exact bytes: from its segment if it is sealed, else
// from Kafka. Without the index it asks the ledger, which takes longer and
// knows sealed records only. NotFound says what of the partition is archived.
func (e *Engine) Record(ctx context.Context, who policy.Principal, request answer.RecordRequest) (*answer.Record, error) {
	if request.Topic == "" || request.Partition < 0 || request.Offset < 0 {
		return nil, schema.InvalidField("offset", "record %s: want a topic, a partition and an offset from 0", request.Coordinates)
	}
	began := time.Now()
	c, err := e.catalog(ctx)
	if schema.KindOf(err) == schema.Unavailable {
		e.logger.Warn("the index does not answer: a record is looked for in the ledger", "err", err)
		return e.recordByLedger(ctx, who, request)
	}
	if err != nil {
		return nil, err
	}
	at, p, err := e.resolve(c, who, request)
	if schema.KindOf(err) == schema.NotFound {
		if c, err = e.catalogSince(ctx, began); err == nil {
			at, p, err = e.resolve(c, who, request)
		}
	}
	if err != nil {
		return nil, err
	}
	hit := index.Hit{Position: p, Topic: at.Topic}
	sealed, _ := c.isSealed(p)
	if !sealed {
		if hit, err = e.freshHit(ctx, c, who, p, at.Topic); err != nil {
			return nil, err
		}
	}
	entry := e.contents(ctx, c, []index.Hit{hit}, segment.All)[p]
	if schema.KindOf(entry.err) == schema.NotFound && sealed {
		return nil, e.missing(c, who, "%s is a gap: Kafka did not serve that offset (annals coverage says why)", request.Coordinates)
	}
	if entry.err != nil {
		return nil, entry.err
	}
	return e.recordOf(entry, entry.source != sourceKafka), nil
}

func (e *Engine) missing(c *catalog, who policy.Principal, format string, args ...any) error {
	return &answer.NotFoundError{Searched: c.searched(who), Err: schema.Errorf(schema.NotFound, format, args...)}
}

// resolve finds the incarnation and the position that a request names.
func (e *Engine) resolve(c *catalog, who policy.Principal, request answer.RecordRequest) (index.Incarnation, schema.Position, error) {
	at, ok := c.incarnation(who, request.Topic, request.TopicID)
	if !ok {
		return at, schema.Position{}, e.missing(c, who, "no topic %q is archived", request.Topic)
	}
	p, err := e.positionOf(c, who, at, request)
	return at, p, err
}

// positionOf finds the branch that holds the offset.
func (e *Engine) positionOf(c *catalog, who policy.Principal, at index.Incarnation, request answer.RecordRequest) (schema.Position, error) {
	p := schema.Position{TopicID: at.TopicID, Partition: request.Partition, Offset: request.Offset}
	branches := c.streams[schema.StreamKey{TopicID: at.TopicID, Partition: request.Partition}]
	if len(branches) == 0 {
		return p, e.missing(c, who, "partition %d of %q is not archived", request.Partition, request.Topic)
	}
	for _, b := range slices.Backward(branches) {
		if request.Branch != nil && *request.Branch != b.Branch {
			continue
		}
		end := b.FreshNext
		if b != branches[len(branches)-1] {
			end = b.Next // what was indexed above it was never sealed
		}
		if b.Start <= request.Offset && request.Offset < end {
			p.Branch = b.Branch
			return p, nil
		}
	}
	first, last := branches[0], branches[len(branches)-1]
	return p, e.missing(c, who, "%s is not archived: the archive has offsets %d to %d of that partition, %d of them not sealed yet",
		request.Coordinates, first.Start, last.FreshNext-1, last.FreshNext-last.Next)
}

// freshHit finds a record that is not sealed in the index, whose verdict
// Kafka's answer does not hold.
func (e *Engine) freshHit(ctx context.Context, c *catalog, who policy.Principal, p schema.Position, topic string) (index.Hit, error) {
	at := schema.Coordinates{Topic: topic, Partition: p.Partition, Offset: p.Offset}
	found, _, err := e.options.Index.Lookup(ctx, []index.ID{{Kind: schema.IDRecord, Text: at.String()}}, nil, index.Scope{Topics: []schema.TopicID{p.TopicID}})
	if err != nil {
		return index.Hit{}, err
	}
	for _, f := range found {
		if f.Hit.Position == p {
			return f.Hit, nil
		}
	}
	return index.Hit{}, e.missing(c, who, "%s is not archived yet", at)
}

// recordOf makes the answer from the bytes alone, so that it says what they
// say, not what the index kept of them.
func (e *Engine) recordOf(entry *content, sealed bool) *answer.Record {
	r := entry.record
	x := &schema.Extraction{}
	e.options.Extract.Extract(entry.raw, x)
	// What was extracted when the segment was written may be withheld by now.
	if entry.x != nil && !entry.limited {
		ids := x.Identifiers // a segment has no column for them
		x = entry.x
		x.Identifiers = ids
	}
	hit := hitOf(r, x, sealed)
	e.name(&hit)
	return &answer.Record{
		Hit: hit, Record: r, Extraction: x, Source: entry.source, Withheld: entry.withheld, Decoded: e.decoding(entry),
	}
}

// hitOf is a record as answers show it, by its bytes and what was extracted of
// them.
func hitOf(r *schema.Record, x *schema.Extraction, sealed bool) answer.Hit {
	return answer.Hit{
		Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, Branch: r.Branch, Offset: r.Offset,
		Timestamp: r.Timestamp, EventTime: x.EventTime, HasEventTime: x.HasEventTime, Status: r.Status, Sealed: sealed,
		Stage: x.Stage, EventType: x.EventType, EventVersion: x.EventVersion, Service: x.SourceService,
		TraceID: x.TraceID, EventID: x.EventID, SpanID: x.SpanID, Errors: x.Errors, Bytes: r.Bytes(),
	}
}

// recordByLedger finds a record without the index.
func (e *Engine) recordByLedger(ctx context.Context, who policy.Principal, request answer.RecordRequest) (*answer.Record, error) {
	if !who.Topics.Allows(request.Topic) {
		return nil, schema.Errorf(schema.NotFound, "no topic %q is archived", request.Topic)
	}
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool {
		return s.Topic == request.Topic && s.Partition == request.Partition && (request.TopicID == nil || *request.TopicID == s.TopicID)
	})
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, schema.Errorf(schema.NotFound, "partition %d of %q is not archived", request.Partition, request.Topic)
	}
	newest := newestOf(views)
	s, ok := holding(newest, request)
	if !ok {
		return nil, schema.Errorf(schema.NotFound, "%s is not sealed: the ledger has offsets up to %d, and the index, which would know newer ones, does not answer",
			request.Coordinates, newest.Head.Next)
	}
	reader, done, err := e.segments.openForRows(ctx, e.options.Store, segmentRef{s.Ref.Key, s.Ref.Bytes})
	if err != nil {
		return nil, err
	}
	defer done()
	row, err := reader.Lookup(ctx, request.Offset)
	if err != nil {
		return nil, err
	}
	found := &content{record: &row.Record, x: &row.X, source: s.Ref.Key}
	e.withhold(found)
	return e.recordOf(found, true), nil
}

// holding gives the segment that holds the offset, on the newest branch unless
// another was asked for.
func holding(v *ledger.View, request answer.RecordRequest) (ledger.Segment, bool) {
	var best ledger.Segment
	found := false
	for _, s := range v.All() {
		if request.Offset < s.Base || request.Offset >= s.Next || request.Branch != nil && *request.Branch != s.Branch {
			continue
		}
		if !found || s.Branch > best.Branch {
			best, found = s, true
		}
	}
	return best, found
}
