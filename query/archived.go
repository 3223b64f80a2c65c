package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// archiveGraph reads a trace out of the segments of a range of time, and needs no
// index: it reads whole those whose filters of trace ids say that they may have
// it. What the index alone knows is missing, and said.
func (e *Engine) archiveGraph(ctx context.Context, who policy.Principal, spellings []string, request answer.TraceRequest) (*graph, error) {
	switch {
	case request.From.IsZero() || request.To.IsZero() || !request.From.Before(request.To):
		return nil, schema.InvalidField("from", "a look into the archive itself is of a range of time: give from, and a later to")
	case request.Flow:
		return nil, schema.InvalidField("flow", "a flow is followed by the index: it does not go with a look into the archive itself")
	}
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool { return who.Topics.Allows(s.Topic) })
	if err != nil {
		return nil, err
	}
	g := &graph{who: who, catalog: catalogOf(views), bytes: map[schema.Position]*content{}, archive: &answer.ArchiveLook{From: request.From, To: request.To}}
	look := &archiveLook{graph: g, engine: e, spellings: spellings, limit: request.Limit, began: time.Now()}
	if err := look.run(ctx, views); err != nil {
		return nil, err
	}
	slices.SortFunc(g.hits, oldestFirst)
	if len(g.hits) == 0 {
		searched := g.catalog.searched(who)
		return nil, &answer.NotFoundError{Searched: searched, Err: schema.Errorf(schema.NotFound,
			"no record of trace %q in %d segments with times from %s to %s, of which %d were read%s",
			request.TraceID, g.archive.OfSegments, clock(request.From), clock(request.To), g.archive.Segments, stopped(g.archive.Stopped))}
	}
	g.traceID = g.hits[0].TraceID
	g.declare()
	g.dropOutside()
	g.choosePrimary()
	if request.Diffs {
		g.compare()
	}
	e.decideStages(ctx, g)
	return g, nil
}

func stopped(by string) string {
	if by == "" {
		return ""
	}
	return "; the rest was not, for its " + by
}

// catalogOf is a catalog of what the ledger alone knows.
func catalogOf(views []*ledger.View) *catalog {
	var branches []index.Branch
	for _, v := range views {
		byBranch := map[int32]*index.Branch{}
		for _, s := range v.Current() {
			b := byBranch[s.Branch]
			if b == nil {
				b = &index.Branch{Stream: v.Stream, Branch: s.Branch, SealedAt: v.Head.Commit.Written()}
				byBranch[s.Branch] = b
			}
			b.Commits++
			b.Next = max(b.Next, s.Until)
			b.FreshNext = b.Next
			b.Records.Committed += s.Records.Committed
		}
		for _, b := range byBranch {
			branches = append(branches, *b)
		}
	}
	slices.SortFunc(branches, func(a, b index.Branch) int {
		return cmp.Or(cmp.Compare(a.Stream.Topic, b.Stream.Topic), slices.Compare(a.Stream.TopicID[:], b.Stream.TopicID[:]),
			cmp.Compare(a.Stream.Partition, b.Stream.Partition), cmp.Compare(a.Branch, b.Branch))
	})
	return newCatalog(time.Now(), branches)
}

// dropOutside leaves out the edges to parents that are not among the hops: whether
// they are archived, the index would say.
func (g *graph) dropOutside() {
	g.edges = slices.DeleteFunc(g.edges, func(e answer.Edge) bool {
		if e.Parent < 0 {
			g.archive.ParentsOutside++
		}
		return e.Parent < 0
	})
	g.outside = nil
}

// archiveLook is one look into the archive while it runs.
type archiveLook struct {
	*graph
	engine    *Engine
	spellings []string
	limit     int
	began     time.Time
	read      int64 // bytes of segments
	budget    int64 // bytes of payloads kept
}

func (l *archiveLook) run(ctx context.Context, views []*ledger.View) error {
	from, to := *milliOf(l.archive.From), *milliOf(l.archive.To)
	l.budget = maxContentBytes
	var pieces []piece
	for _, v := range views {
		for _, s := range v.Current() {
			if s.Ref.MaxTimestamp >= from && s.Ref.MinTimestamp < to {
				pieces = append(pieces, piece{Segment: s, stream: v.Stream})
			}
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.Ref.MinTimestamp, b.Ref.MinTimestamp), cmp.Compare(a.Ref.Key, b.Ref.Key))
	})
	l.archive.OfSegments = len(pieces)
	for _, p := range pieces {
		if time.Since(l.began) > l.engine.options.ScanTime {
			l.archive.Stopped, l.truncate = answer.StoppedByTime, true
			return nil
		}
		reader, err := l.engine.segments.open(ctx, l.engine.options.Store, segmentRef{p.Ref.Key, p.Ref.Bytes})
		if err != nil {
			return fmt.Errorf("look into %s: %w", p.Ref.Key, err)
		}
		l.archive.Looked++
		if !slices.ContainsFunc(l.spellings, func(id string) bool { return reader.MayHold("trace_id", id) }) {
			continue
		}
		if l.read > 0 && l.read+p.Ref.Bytes > l.engine.options.ScanBytes {
			l.archive.Stopped, l.truncate = answer.StoppedByBytes, true
			return nil
		}
		l.read += p.Ref.Bytes
		l.archive.Segments++
		for row, err := range reader.Rows(ctx, p.Base, p.Until, segment.All) {
			if err != nil {
				return fmt.Errorf("look into %s: %w", p.Ref.Key, err)
			}
			if l.take(row, p.Ref.Key, from, to); l.truncate {
				l.archive.Stopped = answer.StoppedByLimit
				return nil
			}
		}
	}
	return nil
}

// take keeps a row that is of the trace. Where policy limits what may be read,
// it is extracted anew, as it is in a scan.
func (l *archiveLook) take(row *segment.Row, key string, from, to int64) {
	r := &row.Record
	if r.Status != schema.Committed || r.Timestamp < from || r.Timestamp >= to {
		return
	}
	x := &row.X
	if _, limited := l.engine.limits(r); limited {
		x = &schema.Extraction{}
		l.engine.options.Extract.Extract(r, x)
	}
	if !slices.Contains(l.spellings, x.TraceID) {
		return
	}
	if len(l.hits) == l.limit {
		l.truncate = true
		return
	}
	own, found := *r, *x
	own.Key, own.Value, own.Headers = slices.Clone(r.Key), slices.Clone(r.Value), slices.Clone(r.Headers)
	at := schema.Position{TopicID: r.TopicID, Partition: r.Partition, Branch: r.Branch, Offset: r.Offset}
	l.hits = append(l.hits, index.Hit{
		Position: at, Topic: r.Topic, Status: r.Status, Timestamp: r.Timestamp, EventTime: found.EventTime, HasEventTime: found.HasEventTime,
		TraceID: found.TraceID, EventID: found.EventID, SpanID: found.SpanID, Causes: slices.Clone(found.Causes),
		EventType: found.EventType, EventVersion: found.EventVersion, Service: found.SourceService, Stage: found.Stage,
		Bytes: r.Bytes(), Tombstone: r.Value == nil, Errors: slices.Clone(found.Errors),
	})
	c := &content{status: r.Status, source: key}
	if l.budget -= r.Bytes(); l.budget < 0 {
		c.err = schema.Errorf(schema.Exhausted, "an answer holds %d MiB of payloads at most", maxContentBytes>>20)
	} else {
		c.record = &own
		l.engine.withhold(c)
	}
	l.bytes[at] = c
}
