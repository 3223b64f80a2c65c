package replay

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// inParallel bounds reads that planning does at once.
const inParallel = 8

// resolver holds one selection against the ledger.
type resolver struct {
	service   *Service
	who       policy.Principal
	request   answer.ReplayRequest
	doc       document
	warnings  []string
	oversized []answer.ReplayOversized
	// olderRules counts segments whose extracted columns are of another version
	// of the rules than this program's.
	olderRules int
}

// incarnation is one topic ID with the views of its partitions.
type incarnation struct {
	name  string
	id    schema.TopicID
	views []*ledger.View // by partition
}

func (r *resolver) resolve(ctx context.Context) (*document, error) {
	r.doc = document{
		Selection: selectionOf(&r.request), Existing: r.request.AllowExisting, Source: r.request.AllowSource,
		Provenance: r.request.ProvenanceHeaders,
	}
	if r.request.Oversized != answer.OversizedFail {
		r.doc.Oversized = r.request.Oversized
	}
	if len(r.request.TargetTopics) > 0 {
		r.doc.Targets = r.request.TargetTopics
	}
	if r.request.TargetPrefix != "" {
		r.doc.Prefix = &r.request.TargetPrefix
	}
	var err error
	if r.doc.Selection.TraceID != nil {
		err = r.trace(ctx)
	} else {
		err = r.topics(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := r.count(ctx); err != nil {
		return nil, err
	}
	if err := r.prune(); err != nil {
		return nil, err
	}
	if err := r.oversize(ctx); err != nil {
		return nil, err
	}
	if len(r.oversized) > 0 && r.doc.Oversized == answer.OversizedSkip {
		return &r.doc, r.prune()
	}
	return &r.doc, nil
}

// streams lists the archived streams that the principal may see and that want
// chooses.
func (r *resolver) streams(ctx context.Context, want func(schema.Stream) bool) ([]schema.Stream, error) {
	var list []schema.Stream
	for stream, err := range r.service.ledger.Streams(ctx) {
		if err != nil {
			return nil, err
		}
		if r.who.Topics.Allows(stream.Topic) && want(stream) {
			list = append(list, stream)
		}
	}
	return list, nil
}

// incarnations reads the chains of streams, grouped by topic ID.
func (r *resolver) incarnations(ctx context.Context, streams []schema.Stream) (map[schema.TopicID]*incarnation, error) {
	views := make([]*ledger.View, len(streams))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for i, stream := range streams {
		group.Go(func() (err error) {
			views[i], err = r.service.ledger.View(reading, stream, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	byID := map[schema.TopicID]*incarnation{}
	for i, stream := range streams {
		one := byID[stream.TopicID]
		if one == nil {
			one = &incarnation{name: stream.Topic, id: stream.TopicID}
			byID[stream.TopicID] = one
		}
		if len(one.views) > 0 && one.views[0].Stream.Cluster != stream.Cluster {
			return nil, ledger.TwoClusters(stream.Topic, stream.TopicID, one.views[0].Stream.Cluster, stream.Cluster)
		}
		one.views = append(one.views, views[i])
	}
	for _, one := range byID {
		slices.SortFunc(one.views, func(a, b *ledger.View) int { return cmp.Compare(a.Stream.Partition, b.Stream.Partition) })
	}
	return byID, nil
}

// topics resolves names to their newest incarnations, and those to the
// segments whose times touch the range.
func (r *resolver) topics(ctx context.Context) error {
	wanted := r.doc.Selection.Topics
	id := r.doc.Selection.TopicID
	streams, err := r.streams(ctx, func(s schema.Stream) bool {
		return slices.Contains(wanted, s.Topic) && (id == nil || *id == s.TopicID)
	})
	if err != nil {
		return err
	}
	byID, err := r.incarnations(ctx, streams)
	if err != nil {
		return err
	}
	chosen := map[string]*incarnation{}
	for _, name := range wanted {
		newest := newestOf(byID, name)
		if newest == nil {
			return schema.WithHint(schema.Errorf(schema.NotFound, "topic %s is not archived", name), "annals coverage lists what is archived")
		}
		chosen[name] = newest
		plan := newest.plan()
		for _, view := range newest.views {
			if r.doc.Selection.takes(name, view.Stream.Partition) {
				plan.Streams = append(plan.Streams, r.overlapping(view))
			}
		}
		r.doc.Topics = append(r.doc.Topics, plan)
	}
	return r.omissions(ctx, byID, chosen)
}

// newestOf finds the incarnation of a name whose archive began last.
func newestOf(byID map[schema.TopicID]*incarnation, name string) *incarnation {
	var newest *incarnation
	for _, one := range byID {
		if one.name != name {
			continue
		}
		if newest == nil || cmp.Or(strings.Compare(one.began(), newest.began()), slices.Compare(one.id[:], newest.id[:])) > 0 {
			newest = one
		}
	}
	return newest
}

func (t *incarnation) began() string { return t.views[0].Genesis.Clock }

func (t *incarnation) plan() topicPlan {
	last := t.views[len(t.views)-1].Stream
	return topicPlan{Cluster: last.Cluster, Source: t.name, TopicID: t.id, Partitions: last.Partition + 1}
}

func (r *resolver) overlapping(view *ledger.View) streamPlan {
	out := streamPlan{Partition: view.Stream.Partition}
	selected := &r.doc.Selection
	for _, s := range view.Current() {
		p := planOf(s)
		from, next, whole := selected.clip(view.Stream.Topic, out.Partition, p.From, p.Next)
		if r.where(s) != within || s.Records.Committed == 0 || from >= next {
			continue
		}
		p.cut = p.cut || from > p.From || next < p.Next || !whole
		p.From, p.Next = from, next
		out.Segments = append(out.Segments, p)
		if selected.extracted() && s.Extract != schema.ExtractVersion {
			r.olderRules++
		}
	}
	for _, purge := range view.Purged {
		if from, next, _ := selected.clip(view.Stream.Topic, out.Partition, purge.Base, purge.Next); from >= next {
			continue
		}
		r.warn("%s: commit %d purged offsets %d to %d; what stood there is not replayed",
			view.Stream, purge.Seq, purge.Base, purge.Next)
	}
	return out
}

// planOf takes a segment's current rows, before they are counted.
func planOf(s ledger.Segment) segmentPlan {
	return segmentPlan{
		Key: s.Ref.Key, SHA256: s.Ref.SHA256, RecordRoot: s.Ref.RecordRoot, Size: s.Ref.Bytes, Branch: s.Branch,
		From: s.Base, Next: s.Until, cut: s.Until < s.Next, Records: s.Records.Committed,
		MinTimestamp: s.Ref.MinTimestamp, MaxTimestamp: s.Ref.MaxTimestamp,
	}
}

// trace finds the records of a trace, and for each its segment.
func (r *resolver) trace(ctx context.Context) error {
	if r.service.traces == nil {
		return schema.WithHint(schema.Errorf(schema.Unavailable, "traces cannot be looked up: this process has no index"), "name topics and a time range")
	}
	found, err := r.service.traces.Trace(ctx, r.who, answer.TraceRequest{TraceID: r.request.TraceID, FactsOnly: true, Limit: answer.MaxTraceHops})
	if err != nil {
		return err
	}
	if found.Truncated {
		return schema.WithHint(schema.Errorf(schema.Exhausted, "the trace has more than %d records", answer.MaxTraceHops), "replay its topics over a time range")
	}
	byStream := map[streamKey][]*answer.Hit{}
	fresh := 0
	for i := range found.Hops {
		record := &found.Hops[i].Hit
		if record.Status != schema.Committed || !r.who.Topics.Allows(record.Topic) {
			continue
		}
		if !record.Sealed {
			fresh++
		}
		key := streamKey{record.TopicID, record.Partition}
		byStream[key] = append(byStream[key], record)
	}
	if fresh > 0 {
		return schema.WithHint(schema.Errorf(schema.Conflict, "%d records of the trace are not sealed yet, and a replay takes what is in the ledger", fresh),
			"run annals seal --wait and plan again")
	}
	streams, err := r.streams(ctx, func(s schema.Stream) bool { return byStream[keyOf(s)] != nil })
	if err != nil {
		return err
	}
	byID, err := r.incarnations(ctx, streams)
	if err != nil {
		return err
	}
	return r.locate(ctx, byID, byStream)
}

// streamKey names a stream within the archive.
type streamKey struct {
	topicID   schema.TopicID
	partition int32
}

func keyOf(s schema.Stream) streamKey { return streamKey{s.TopicID, s.Partition} }

func (r *resolver) locate(ctx context.Context, byID map[schema.TopicID]*incarnation, byStream map[streamKey][]*answer.Hit) error {
	list := make([]*incarnation, 0, len(byID))
	for _, one := range byID {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *incarnation) int {
		return cmp.Or(strings.Compare(a.name, b.name), slices.Compare(a.id[:], b.id[:]))
	})
	for _, one := range list {
		plan := one.plan()
		if n, err := r.partitions(ctx, one.id); err != nil {
			return err
		} else if n > plan.Partitions {
			plan.Partitions = n
		}
		for _, view := range one.views {
			stream, err := r.positions(view, byStream[keyOf(view.Stream)])
			if err != nil {
				return err
			}
			delete(byStream, keyOf(view.Stream))
			plan.Streams = append(plan.Streams, stream)
		}
		r.doc.Topics = append(r.doc.Topics, plan)
	}
	for _, left := range byStream {
		return schema.Errorf(schema.Corrupt, "the index names %s/%d of topic ID %s, which has no chain in the ledger", left[0].Topic, left[0].Partition, left[0].TopicID)
	}
	return nil
}

// partitions counts an incarnation's partitions, also those that the trace did
// not touch.
func (r *resolver) partitions(ctx context.Context, id schema.TopicID) (n int32, err error) {
	streams, err := r.streams(ctx, func(s schema.Stream) bool { return s.TopicID == id })
	for _, s := range streams {
		n = max(n, s.Partition+1)
	}
	return n, err
}

// positions puts records into the segments that hold them.
func (r *resolver) positions(view *ledger.View, records []*answer.Hit) (streamPlan, error) {
	out := streamPlan{Partition: view.Stream.Partition}
	slices.SortFunc(records, func(a, b *answer.Hit) int { return cmp.Compare(a.Offset, b.Offset) })
	current, superseded := view.Current(), 0
	for _, record := range records {
		if view.Superseded(record.Branch, record.Offset) {
			superseded++
			continue
		}
		at := slices.IndexFunc(current, func(s ledger.Segment) bool { return s.Base <= record.Offset && record.Offset < s.Until })
		if at < 0 || current[at].Branch != record.Branch {
			return out, missingAt(view, record.Offset)
		}
		found := current[at]
		if n := len(out.Segments); n == 0 || out.Segments[n-1].Key != found.Ref.Key {
			out.Segments = append(out.Segments, planOf(found))
		}
		p := &out.Segments[len(out.Segments)-1]
		if n := len(p.Offsets); n == 0 || p.Offsets[n-1] != record.Offset {
			p.Offsets = append(p.Offsets, record.Offset)
		}
	}
	if superseded > 0 {
		r.warn("%s: %d records of the trace were superseded by a later branch and are left out", view.Stream, superseded)
	}
	return out, nil
}

func missingAt(view *ledger.View, offset int64) error {
	for _, purge := range view.Purged {
		if purge.Base <= offset && offset < purge.Next {
			return schema.Errorf(schema.NotFound, "%s offset %d was purged by commit %d", view.Stream, offset, purge.Seq)
		}
	}
	return schema.Errorf(schema.Corrupt, "%s offset %d is in no current segment, though the index says it is sealed", view.Stream, offset)
}

// prune leaves out what holds nothing. A selection of nothing is Invalid.
func (r *resolver) prune() error {
	segments, searched := 0, len(r.doc.Topics)
	kept := r.doc.Topics[:0]
	for _, t := range r.doc.Topics {
		streams := t.Streams[:0]
		for _, stream := range t.Streams {
			segments += len(stream.Segments)
			stream.Segments = slices.DeleteFunc(stream.Segments, func(s segmentPlan) bool { return s.Records == 0 })
			if len(stream.Segments) > 0 {
				streams = append(streams, stream)
			}
		}
		if t.Streams = streams; len(streams) > 0 {
			kept = append(kept, t)
		} else if r.doc.Selection.TraceID == nil {
			r.warn("%s: no committed record is in the range, so no target is made", t.Source)
		}
	}
	r.doc.Topics = kept
	if len(kept) == 0 {
		return schema.WithHint(
			schema.InvalidField("", "nothing to replay: no sealed, committed record of %s (searched %d topics, %d segments)", r.doc.Selection.String(), searched, segments),
			"annals coverage says what is sealed; times are the records' own")
	}
	return r.targetsKnown()
}

// targetsKnown refuses a name for a topic that is not replayed: it is a typing
// error whose effect would be another target than meant.
func (r *resolver) targetsKnown() error {
	for source := range r.doc.Targets {
		named := slices.Contains(r.doc.Selection.Topics, source) ||
			slices.ContainsFunc(r.doc.Topics, func(t topicPlan) bool { return t.Source == source })
		if !named {
			return schema.InvalidField("target_topics", "the trace has no record in topic %q", source)
		}
	}
	return nil
}
