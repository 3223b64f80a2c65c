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
	to        *destination
	silent    []string // warnings of other target clusters; the others are of what was found last
	warnings  []string
	oversized []answer.ReplayOversized
	// olderRules counts segments whose extracted columns are of another version
	// of the rules than this program's.
	olderRules int
	sieve      *sieve // nil: records are not asked
	named      *schemasNamed
	// What of the selection was not sealed when it was last looked for: records of
	// traces, and partitions of topics. ends are where these end, as first seen.
	fresh    int
	copies   int // by former replays, of the traces' records, that are left out
	unsealed []string
	ends     map[schema.StreamKey]int64
}

// incarnation is one topic ID with the views of its partitions.
type incarnation struct {
	name  string
	id    schema.TopicID
	views []*ledger.View // by partition
}

func (r *resolver) resolve(ctx context.Context) (*document, error) {
	if err := r.expand(ctx); err != nil {
		return nil, err
	}
	r.doc = document{
		Selection: selectionOf(&r.request), Existing: r.request.AllowExisting, Source: r.request.AllowSource,
		Provenance: r.request.ProvenanceHeaders, Redrive: redriveOf(r.request.Redrive), File: r.request.TargetFile,
	}
	if err := r.doc.writeAs(&r.request); err != nil {
		return nil, err
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
	if err := r.elsewhere(ctx); err != nil {
		return nil, err
	}
	if r.request.Redrive != nil {
		return &r.doc, r.redrive(ctx)
	}
	var err error
	if r.sieve, err = r.service.sieveOf(&r.doc.Selection); err != nil {
		return nil, err
	}
	if err := r.sealed(ctx); err != nil {
		return nil, err
	}
	if err := r.count(ctx); err != nil {
		return nil, err
	}
	if err := r.prune(); err != nil {
		return nil, err
	}
	r.provenance()
	if err := r.doc.mayShift(); err != nil {
		return nil, err
	}
	if r.doc.File != "" {
		return &r.doc, nil
	}
	if err := r.oversize(ctx); err != nil {
		return nil, err
	}
	if len(r.oversized) > 0 && r.doc.Oversized == answer.OversizedSkip {
		return &r.doc, r.prune()
	}
	return &r.doc, nil
}

// expand puts the names of archived topics in place of patterns.
func (r *resolver) expand(ctx context.Context) error {
	if !slices.ContainsFunc(r.request.Topics, isPattern) {
		return nil
	}
	if r.request.TopicID != nil {
		return schema.InvalidField("topic_id", "a topic ID goes with one topic's name, not with a pattern")
	}
	var names []string
	for _, asked := range r.request.Topics {
		if !isPattern(asked) {
			names = append(names, asked)
			continue
		}
		set, err := policy.Topics(asked)
		if err != nil {
			return schema.InvalidField("topics", "%w", err)
		}
		found, err := r.streams(ctx, func(s schema.Stream) bool { return set.Allows(s.Topic) })
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return schema.WithHint(schema.Errorf(schema.NotFound, "no archived topic matches %s", asked), "annals coverage lists what is archived")
		}
		for _, stream := range found {
			names = append(names, stream.Topic)
		}
	}
	if names = sorted(names); len(names) > MaxTopics {
		return schema.InvalidField("topics", "%s are %d topics, at most %d", strings.Join(r.request.Topics, ", "), len(names), MaxTopics)
	}
	r.request.Topics = names
	return nil
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

// trace finds the records of traces, and for each its segment.
func (r *resolver) trace(ctx context.Context) error {
	if r.service.traces == nil {
		return schema.WithHint(schema.Errorf(schema.Unavailable, "traces cannot be looked up: this process has no index"), "name topics and a time range")
	}
	found, err := r.service.traces.Traced(ctx, r.who, sorted(tracesOf(&r.request)))
	if schema.KindOf(err) == schema.Unavailable {
		return schema.WithHint(err, "without the index, name topics and a time range")
	}
	if err != nil {
		return err
	}
	byStream := map[schema.StreamKey][]*answer.Hit{}
	var made madeTopics
	if !r.request.IncludeReplays {
		if made, err = r.service.madeTopics(ctx); err != nil {
			return err
		}
	}
	r.copies = 0
	for _, one := range found {
		if one.Truncated {
			return schema.WithHint(schema.Errorf(schema.Exhausted, "trace %s has more than %d records", one.TraceID, answer.MaxTraceHops), "replay its topics over a time range")
		}
		for i := range one.Records {
			record := &one.Records[i]
			if record.Status != schema.Committed || !r.who.Topics.Allows(record.Topic) {
				continue
			}
			if !r.request.IncludeReplays && (record.Stage == schema.StageReplay || made[record.TopicID]) {
				r.copies++
				continue
			}
			if !record.Sealed {
				r.fresh++
				continue
			}
			key := schema.StreamKey{TopicID: record.TopicID, Partition: record.Partition}
			byStream[key] = append(byStream[key], record)
		}
	}
	if r.copies > 0 {
		r.warn("%d records that former replays made are left out: include_replays takes them", r.copies)
	}
	touched := map[schema.TopicID]bool{}
	for key := range byStream {
		touched[key.TopicID] = true
	}
	// Of a topic that the traces touch every partition counts.
	streams, err := r.streams(ctx, func(s schema.Stream) bool { return touched[s.TopicID] })
	if err != nil {
		return err
	}
	partitions := map[schema.TopicID]int32{}
	for _, s := range streams {
		partitions[s.TopicID] = max(partitions[s.TopicID], s.Partition+1)
	}
	byID, err := r.incarnations(ctx, slices.DeleteFunc(streams, func(s schema.Stream) bool { return byStream[s.Key()] == nil }))
	if err != nil {
		return err
	}
	return r.locate(byID, byStream, partitions)
}

// locate puts the records into their segments. partitions is how many each topic
// has, with those that the traces did not touch.
func (r *resolver) locate(byID map[schema.TopicID]*incarnation, byStream map[schema.StreamKey][]*answer.Hit, partitions map[schema.TopicID]int32) error {
	list := make([]*incarnation, 0, len(byID))
	for _, one := range byID {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *incarnation) int {
		return cmp.Or(strings.Compare(a.name, b.name), slices.Compare(a.id[:], b.id[:]))
	})
	for _, one := range list {
		plan := one.plan()
		plan.Partitions = partitions[one.id]
		for _, view := range one.views {
			stream, err := r.positions(view, byStream[view.Stream.Key()])
			if err != nil {
				return err
			}
			delete(byStream, view.Stream.Key())
			plan.Streams = append(plan.Streams, stream)
		}
		r.doc.Topics = append(r.doc.Topics, plan)
	}
	for _, left := range byStream {
		return schema.Errorf(schema.Corrupt, "the index names %s/%d of topic ID %s, which has no chain in the ledger", left[0].Topic, left[0].Partition, left[0].TopicID)
	}
	return nil
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
		r.warn("%s: %d selected records were superseded by a later branch and are left out", view.Stream, superseded)
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
		} else if !r.doc.Selection.byTrace() {
			r.warn("%s: no committed record is in the range, so no target is made", t.Source)
		}
	}
	r.doc.Topics = kept
	if len(kept) == 0 && r.copies > 0 {
		return schema.WithHint(schema.InvalidField("", "nothing to replay: all %d records of %s are copies that former replays made", r.copies, r.doc.Selection.String()),
			"take them with include_replays")
	}
	if len(kept) == 0 {
		return schema.WithHint(
			schema.InvalidField("", "nothing to replay: no sealed, committed record of %s (searched %d topics, %d segments)", r.doc.Selection.String(), searched, segments),
			"annals coverage says what is sealed; times are the records' own")
	}
	return r.targetsKnown()
}

// provenance has the originals named outside the sandbox, where that is asked for: who
// finds such a record among others can tell it from them.
func (r *resolver) provenance() {
	if !r.request.ProvenanceOutside || r.doc.Provenance || r.doc.File != "" {
		return
	}
	outside := r.doc.Cluster != ""
	for i := range r.doc.Topics {
		// Of a target that is named by the plan's ID the digits are not known yet.
		outside = outside || !strings.HasPrefix(r.doc.target("00000000", r.doc.Topics[i].Source), r.service.options.Sandbox)
	}
	if outside {
		r.doc.Provenance = true
		r.warn("headers that name the original record are added: a target is outside the sandbox (names that begin with %s, of the archived cluster)", r.service.options.Sandbox)
	}
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
