package custody

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// maxSources bounds the segments that one export reads.
const maxSources = 50_000

// plan is what a request means at one state of the ledger.
type plan struct {
	traceID  string // as the records spell it
	streams  []selection
	older    []incarnation
	unsealed *int64 // matched, and not in the ledger yet; nil: not known
	// superseded counts records of a trace that the latest view does not hold.
	superseded int64
}

// selection is one stream's share.
type selection struct {
	view  *ledger.View
	state statement
	picks []pick // by base
}

// pick is a segment to read, and of it the rows at offsets, or if that is nil
// those in the request's window.
type pick struct {
	part    ledger.Segment
	offsets []int64
}

func (e *Exporter) plan(ctx context.Context, who policy.Principal, r *answer.ExportRequest) (*plan, error) {
	var p *plan
	var err error
	if r.TraceID != "" {
		p, err = e.planTrace(ctx, who, r.TraceID)
	} else {
		p, err = e.planTopics(ctx, who, r)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(p.streams, func(a, b selection) int { return compareStreams(a.view.Stream, b.view.Stream) })
	sources := 0
	for i := range p.streams {
		s := &p.streams[i]
		if s.state, err = e.stateOf(ctx, s.view); err != nil {
			return nil, err
		}
		sources += len(s.picks)
	}
	if sources > maxSources {
		return nil, schema.WithHint(schema.Errorf(schema.Exhausted, "export: the selection lies in %d segments, at most %d", sources, maxSources),
			"export less at a time: fewer topics, or a shorter time range")
	}
	return p, nil
}

// planTopics takes the newest incarnation of each topic.
func (e *Exporter) planTopics(ctx context.Context, who policy.Principal, r *answer.ExportRequest) (*plan, error) {
	found := map[string]map[schema.TopicID][]*ledger.View{}
	for s, err := range e.options.Ledger.Streams(ctx) {
		if err != nil {
			return nil, fmt.Errorf("plan export: %w", err)
		}
		if _, wanted := slices.BinarySearch(r.Topics, s.Topic); !wanted || !who.Topics.Allows(s.Topic) {
			continue
		}
		v, err := e.options.Ledger.View(ctx, s, nil)
		if err != nil {
			return nil, fmt.Errorf("plan export: %w", err)
		}
		if others := found[s.Topic][s.TopicID]; len(others) > 0 && others[0].Stream.Cluster != s.Cluster {
			return nil, ledger.TwoClusters(s.Topic, s.TopicID, others[0].Stream.Cluster, s.Cluster)
		}
		if found[s.Topic] == nil {
			found[s.Topic] = map[schema.TopicID][]*ledger.View{}
		}
		found[s.Topic][s.TopicID] = append(found[s.Topic][s.TopicID], v)
	}
	p := &plan{}
	window := windowOf(r)
	var tails []answer.Tail
	for _, topic := range r.Topics {
		chosen, ok := newestOf(found[topic])
		if r.TopicID != nil && ok {
			chosen = *r.TopicID
			_, ok = found[topic][chosen]
		}
		if !ok {
			return nil, schema.WithHint(schema.Errorf(schema.NotFound, "export: the archive has no topic %q that you may see", topic),
				"annals coverage lists the topics that are archived")
		}
		for id, views := range found[topic] {
			if id != chosen {
				p.older = append(p.older, incarnation{topic, id})
				continue
			}
			for _, v := range views {
				p.streams = append(p.streams, selection{view: v, picks: picksIn(v, window)})
				tails = append(tails, answer.Tail{Stream: v.Stream, Branch: v.Branches[len(v.Branches)-1].Number, Next: v.Head.Next})
			}
		}
	}
	slices.SortFunc(p.older, func(a, b incarnation) int {
		return strings.Compare(a.Topic+a.TopicID.String(), b.Topic+b.TopicID.String())
	})
	p.unsealed = e.unsealed(ctx, who, tails, window)
	return p, nil
}

// unsealed counts the records that match and are behind the chains that were
// read, as far as they are indexed. What no index tells is not known: an export of
// topics needs none, and is not kept from being made.
func (e *Exporter) unsealed(ctx context.Context, who policy.Principal, tails []answer.Tail, w window) *int64 {
	if e.options.Fresh == nil {
		return nil
	}
	n, err := e.options.Fresh.Unsealed(ctx, who, tails, w.from, w.to)
	if err != nil {
		e.logger.WarnContext(ctx, "an export cannot say how many records are not sealed yet", "component", "custody", "err", err)
		return nil
	}
	return &n
}

// newestOf is the incarnation whose first chain began last.
func newestOf(incarnations map[schema.TopicID][]*ledger.View) (schema.TopicID, bool) {
	var newest schema.TopicID
	latest := ""
	for id, views := range incarnations {
		began := views[0].Genesis.Clock
		for _, v := range views {
			began = min(began, v.Genesis.Clock)
		}
		if began > latest || began == latest && id.String() > newest.String() {
			newest, latest = id, began
		}
	}
	return newest, len(incarnations) > 0
}

// picksIn are the segments that may hold rows of a time range: by minimum and
// maximum, for timestamps need not rise with offsets.
func picksIn(v *ledger.View, w window) []pick {
	var picks []pick
	for _, part := range v.Current() {
		if w.meets(part.Ref.MinTimestamp, part.Ref.MaxTimestamp) {
			picks = append(picks, pick{part: part})
		}
	}
	return picks
}

func (e *Exporter) planTrace(ctx context.Context, who policy.Principal, traceID string) (*plan, error) {
	if e.options.Traces == nil {
		return nil, schema.WithHint(schema.Errorf(schema.Conflict, "export: traces cannot be looked up here"),
			"ask a server with an index, or export topics with a time range")
	}
	trace, err := e.options.Traces.Trace(ctx, who, answer.TraceRequest{TraceID: traceID, FactsOnly: true, Limit: answer.MaxTraceHops})
	if err != nil {
		return nil, fmt.Errorf("plan export: %w", err)
	}
	if trace.Truncated {
		return nil, schema.WithHint(schema.Errorf(schema.Exhausted, "export: trace %q has more than %d records", traceID, len(trace.Hops)),
			"a part of a trace would look like the whole; export its topics with a time range")
	}
	positions := map[schema.StreamKey][]schema.Position{}
	p := &plan{traceID: trace.TraceID, unsealed: new(int64)}
	for i := range trace.Hops {
		h := &trace.Hops[i]
		if h.Status == schema.Committed && who.Topics.Allows(h.Topic) {
			key := schema.StreamKey{TopicID: h.TopicID, Partition: h.Partition}
			positions[key] = append(positions[key], h.Position())
		}
	}
	taken := map[schema.StreamKey]string{} // of which cluster
	for s, err := range e.options.Ledger.Streams(ctx) {
		if err != nil {
			return nil, fmt.Errorf("plan export: %w", err)
		}
		key := s.Key()
		if !who.Topics.Allows(s.Topic) {
			continue
		}
		if first, ok := taken[key]; ok {
			return nil, ledger.TwoClusters(s.Topic, s.TopicID, first, s.Cluster)
		}
		if positions[key] == nil {
			continue
		}
		v, err := e.options.Ledger.View(ctx, s, nil)
		if err != nil {
			return nil, fmt.Errorf("plan export: %w", err)
		}
		p.pickAt(v, positions[key])
		taken[key] = s.Cluster
		delete(positions, key)
	}
	for _, fresh := range positions { // no chain yet
		*p.unsealed += int64(len(fresh))
	}
	return p, nil
}

// pickAt picks positions from the segments that hold them in the latest view,
// and counts those that none does.
func (p *plan) pickAt(v *ledger.View, positions []schema.Position) {
	s := selection{view: v}
	slices.SortFunc(positions, func(a, b schema.Position) int {
		return cmp.Or(cmp.Compare(a.Branch, b.Branch), cmp.Compare(a.Offset, b.Offset))
	})
	positions = slices.Compact(positions)
	taken := 0
	for _, part := range v.Current() {
		var offsets []int64
		for _, at := range positions {
			if at.Branch == part.Branch && at.Offset >= part.Base && at.Offset < part.Until {
				offsets = append(offsets, at.Offset)
			}
		}
		if len(offsets) > 0 {
			s.picks = append(s.picks, pick{part, offsets})
			taken += len(offsets)
		}
	}
	fresh := 0
	newest := v.Branches[len(v.Branches)-1].Number
	for _, at := range positions {
		if at.Branch > newest || at.Branch == newest && at.Offset >= v.Head.Next {
			fresh++
		}
	}
	*p.unsealed += int64(fresh)
	p.superseded += int64(len(positions) - taken - fresh)
	if taken > 0 {
		p.streams = append(p.streams, s)
	}
}

// nothing explains an export without records.
func (p *plan) nothing(r *answer.ExportRequest) error {
	if r.TraceID != "" && *p.unsealed > 0 {
		return schema.WithHint(schema.Errorf(schema.Conflict, "export: none of the %d records of trace %q is sealed yet", *p.unsealed, r.TraceID),
			"annals seal --wait seals what is held now")
	}
	if r.TraceID != "" {
		return schema.Errorf(schema.NotFound, "export: no sealed record of trace %q that you may see; %d are superseded", r.TraceID, p.superseded)
	}
	var rows, streams int64
	latest := ""
	for i := range p.streams {
		rows += p.streams[i].state.Rows.Committed
		streams++
		latest = max(latest, p.streams[i].state.Head.Clock)
	}
	if p.unsealed != nil && *p.unsealed > 0 {
		return schema.WithHint(schema.Errorf(schema.Conflict, "export: none of the %d records in that time range is sealed yet", *p.unsealed),
			"annals seal --wait seals what is held now")
	}
	return schema.WithHint(schema.Errorf(schema.NotFound,
		"export: no sealed record in that time range; searched %d committed records in %d partitions, sealed up to %s", rows, streams, latest),
		"widen the range; newer records can be sealed with annals seal --wait")
}
