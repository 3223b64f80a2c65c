package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/offsets"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// classPurged stands beside the classes of gaps for what was taken away since.
const classPurged = "purged"

// classGone is of what went with a topic that was deleted: Kafka had it, and it was
// not archived.
const classGone = "gone"

// Verdict says whether everything is there of a trace, or of topics within a
// range of time: gaps in range by class, what is not sealed or not even read,
// and parents that are named and not archived. Of a trace it looks at the topics
// that its hops are in and those that feed them or are fed by them, as far as
// the principal may see them. What cannot be found out is a reason, too.
func (e *Engine) Verdict(ctx context.Context, who policy.Principal, request answer.VerdictRequest) (*answer.Verdict, error) {
	v := &answer.Verdict{TraceID: request.TraceID, From: request.From, To: request.To, Reasons: []string{}}
	topics := request.Topics
	switch {
	case request.TraceID != "":
		if len(topics) > 0 || !request.From.IsZero() || !request.To.IsZero() {
			return nil, schema.InvalidField("trace_id", "a verdict is of a trace, or of topics and a range, not of both")
		}
		var err error
		if topics, err = e.traceScope(ctx, who, v); err != nil {
			return nil, err
		}
	case !v.From.IsZero() && !v.To.IsZero() && !v.From.Before(v.To):
		return nil, schema.InvalidField("to", "to is not after from")
	case len(topics) > maxTopics:
		return nil, schema.InvalidField("topic", "%d topics: at most %d", len(topics), maxTopics)
	}
	wanted := func(topic string) bool {
		return who.Topics.Allows(topic) && (len(topics) == 0 || slices.Contains(topics, topic))
	}
	views, err := e.viewsOf(ctx, func(s schema.Stream) bool { return wanted(s.Topic) })
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		if !slices.ContainsFunc(views, func(v *ledger.View) bool { return v.Stream.Topic == topic }) {
			v.Notes = append(v.Notes, fmt.Sprintf("no topic %.249q is sealed", topic))
			reason(v, answer.ReasonUnknown)
		}
	}
	if err := e.judge(ctx, v, views, wanted); err != nil {
		return nil, err
	}
	v.Complete = len(v.Reasons) == 0
	return v, nil
}

func reason(v *answer.Verdict, word string) {
	if !slices.Contains(v.Reasons, word) {
		v.Reasons = append(v.Reasons, word)
	}
}

// traceScope reads the trace, takes from it what its own answer says, and gives
// the topics to look at.
func (e *Engine) traceScope(ctx context.Context, who policy.Principal, v *answer.Verdict) ([]string, error) {
	t, err := e.Trace(ctx, who, answer.TraceRequest{TraceID: v.TraceID, FactsOnly: true, Limit: answer.MaxTraceHops})
	if err != nil {
		return nil, err
	}
	v.TraceID, v.From, v.To = t.TraceID, t.From, t.To.Add(time.Millisecond)
	v.Hops, v.Ghosts, v.UnsealedHop = len(t.Hops), t.Ghosts, len(t.Hops)-t.Sealed
	if t.Truncated {
		reason(v, answer.ReasonTruncated)
	}
	if t.Ghosts > 0 {
		reason(v, answer.ReasonGhosts)
	}
	if v.UnsealedHop > 0 {
		reason(v, answer.ReasonUnsealed)
	}
	feeds, err := e.topology(ctx)
	if err != nil {
		return nil, err
	}
	c, err := e.catalog(ctx)
	if err != nil {
		return nil, err
	}
	topics := slices.Clone(t.Topics)
	for child, parents := range feeds.parents {
		for parent := range parents {
			if slices.Contains(t.Topics, child) {
				topics = append(topics, parent)
			}
			if slices.Contains(t.Topics, parent) {
				topics = append(topics, child)
			}
		}
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	return slices.DeleteFunc(topics, func(topic string) bool {
		_, known := c.incarnation(who, topic, nil)
		return !known
	}), nil
}

// judge looks at each partition, also at those that are indexed and have no chain
// in the ledger yet.
func (e *Engine) judge(ctx context.Context, v *answer.Verdict, views []*ledger.View, wanted func(string) bool) error {
	c, err := e.catalogSince(ctx, time.Now())
	if err != nil {
		e.logger.Warn("the index does not answer: a verdict goes without what is fresh", "err", err)
		v.Notes = append(v.Notes, "the index does not answer: how much is not sealed is not known")
		reason(v, answer.ReasonUnknown)
		c = nil
	}
	var marks watermarks
	if c != nil {
		marks = e.bounds(ctx, views, c)
	}
	v.Partitions = make([]answer.VerdictStream, len(views))
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i, view := range views {
		group.Go(func() (err error) {
			v.Partitions[i], err = e.judgeStream(all, v, view, c, marks)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if c != nil {
		unknown := c.unheard(v.Partitions, views)
		v.Partitions = append(v.Partitions, c.unchained(views, marks, wanted)...)
		for i, view := range views {
			if view.End != nil && v.Partitions[i].Behind < 0 {
				v.Notes = append(v.Notes, fmt.Sprintf("%s was deleted: whether offsets went with it unarchived is not known", view.Stream))
				reason(v, answer.ReasonUnknown)
			}
		}
		if unknown > 0 && len(marks) > 0 {
			v.Notes = append(v.Notes, fmt.Sprintf("Kafka does not answer for %d partitions: how much of them was not read yet is not known", unknown))
			reason(v, answer.ReasonUnknown)
		}
	}
	if c != nil {
		if err := e.withinRange(ctx, v, c); err != nil {
			return err
		}
	}
	slices.SortFunc(v.Partitions, func(a, b answer.VerdictStream) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), slices.Compare(a.TopicID[:], b.TopicID[:]), cmp.Compare(a.Partition, b.Partition))
	})
	for i := range v.Partitions {
		sumUp(v, &v.Partitions[i])
	}
	slices.SortFunc(v.Gaps, func(a, b answer.VerdictGap) int { return strings.Compare(a.Class, b.Class) })
	goesOn := func(view *ledger.View) bool { return view.End == nil }
	if len(marks) == 0 && slices.ContainsFunc(views, goesOn) {
		v.Notes = append(v.Notes, "Kafka does not answer: how much was not read yet is not known")
		reason(v, answer.ReasonUnknown)
	}
	return nil
}

// withinRange counts again what is not sealed, where a verdict is of a range: newer
// records that flow in the same partitions say nothing of it.
func (e *Engine) withinRange(ctx context.Context, v *answer.Verdict, c *catalog) error {
	if v.From.IsZero() && v.To.IsZero() {
		return nil
	}
	from, to := milliOf(v.From), milliOf(v.To)
	group, all := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i := range v.Partitions {
		s := &v.Partitions[i]
		list := c.streams[schema.StreamKey{TopicID: s.TopicID, Partition: s.Partition}]
		if s.Unsealed <= 0 || len(list) == 0 {
			continue
		}
		tail := index.Tail{Stream: list[len(list)-1].Stream, Branch: list[len(list)-1].Branch, Next: s.SealedTo}
		group.Go(func() (err error) {
			s.Unsealed, err = e.options.Index.CountBehind(all, []index.Tail{tail}, from, to)
			return err
		})
	}
	return group.Wait()
}

// unheard counts the partitions, of topics that go on, for which Kafka gave no
// answer though it may have more.
func (c *catalog) unheard(list []answer.VerdictStream, views []*ledger.View) (n int) {
	for i, v := range views {
		if list[i].Behind < 0 && v.End == nil && c.newest[v.Stream.Topic] == v.Stream.TopicID {
			n++
		}
	}
	return n
}

// unchained gives the partitions of which nothing was ever sealed: those that are
// indexed, and of topics that have others those that Kafka alone has.
func (c *catalog) unchained(views []*ledger.View, marks watermarks, wanted func(string) bool) (list []answer.VerdictStream) {
	chained := make(map[schema.StreamKey]bool, len(views))
	names := map[schema.TopicID]string{}
	for _, v := range views {
		chained[v.Stream.Key()] = true
		names[v.Stream.TopicID] = v.Stream.Topic
	}
	for key, branches := range c.streams {
		b := branches[len(branches)-1]
		if chained[key] || b.Commits > 0 || !wanted(b.Stream.Topic) {
			continue
		}
		chained[key] = true
		s := answer.VerdictStream{
			Topic: b.Stream.Topic, TopicID: key.TopicID, Partition: key.Partition,
			SealedTo: b.Next, Unsealed: b.FreshNext - b.Next, Behind: -1,
		}
		if o, ok := marks[key]; ok {
			s.Behind = max(0, o.HighWatermark-b.FreshNext)
		}
		list = append(list, s)
	}
	for key, o := range marks {
		if behind := o.HighWatermark - o.LogStart; !chained[key] && behind > 0 {
			list = append(list, answer.VerdictStream{Topic: names[key.TopicID], TopicID: key.TopicID, Partition: key.Partition, Behind: behind})
		}
	}
	return list
}

func sumUp(v *answer.Verdict, s *answer.VerdictStream) {
	for _, g := range s.Gaps {
		reason(v, answer.ReasonGaps)
		v.Gaps = addGap(v.Gaps, g)
	}
	if v.Unsealed += max(0, s.Unsealed); s.Unsealed > 0 {
		reason(v, answer.ReasonUnsealed)
	}
	if v.Behind += max(0, s.Behind); s.Behind > 0 {
		reason(v, answer.ReasonBehind)
	}
	if !s.LastSealed.IsZero() && (v.SealedTo.IsZero() || s.LastSealed.Before(v.SealedTo)) {
		v.SealedTo = s.LastSealed
	}
}

func addGap(list []answer.VerdictGap, g answer.VerdictGap) []answer.VerdictGap {
	if i := slices.IndexFunc(list, func(has answer.VerdictGap) bool { return has.Class == g.Class }); i >= 0 {
		list[i].Ranges += g.Ranges
		list[i].Offsets += g.Offsets
		return list
	}
	return append(list, g)
}

func (e *Engine) judgeStream(ctx context.Context, verdict *answer.Verdict, v *ledger.View, c *catalog, marks watermarks) (answer.VerdictStream, error) {
	s := answer.VerdictStream{
		Topic: v.Stream.Topic, TopicID: v.Stream.TopicID, Partition: v.Stream.Partition,
		SealedTo: v.Head.Next, LastSealed: v.Head.Commit.Written(), Unsealed: -1, Behind: -1,
	}
	s.From, s.To = offsetsOf(v, verdict.From, verdict.To)
	fresh := v.Head.Next
	if c != nil {
		s.Unsealed = 0
		if list := c.streams[schema.StreamKey{TopicID: s.TopicID, Partition: s.Partition}]; len(list) > 0 {
			fresh = max(fresh, list[len(list)-1].FreshNext)
			s.Unsealed = fresh - v.Head.Next
		}
	}
	if v.End != nil {
		s.Behind, s.Unsealed = 0, min(s.Unsealed, 0)
		switch end, known := v.Went(); {
		case !known:
			s.Behind = -1
		case end > v.Head.Next:
			s.Gaps = addGap(s.Gaps, answer.VerdictGap{Class: classGone, Ranges: 1, Offsets: end - v.Head.Next})
		}
	} else if o, ok := marks[schema.StreamKey{TopicID: s.TopicID, Partition: s.Partition}]; ok {
		s.Behind = max(0, o.HighWatermark-fresh)
	}
	if begins := offsets.Beginning(v); s.From == begins && begins > 0 {
		s.From = 0 // what was there before the archive began may be of that time
		s.Gaps = addGap(s.Gaps, answer.VerdictGap{Class: string(schema.GapBeforeGenesis), Ranges: 1, Offsets: begins})
	}
	for _, g := range v.Gapped {
		if g.Commit.Base >= s.To || g.Until <= s.From {
			continue
		}
		gaps, err := e.options.Ledger.Gaps(ctx, g.Commit)
		if err != nil {
			return s, err
		}
		for _, gap := range gaps {
			if from, to := max(gap.From, s.From), min(gap.To, s.To, g.Until); from < to {
				s.Gaps = addGap(s.Gaps, answer.VerdictGap{Class: string(gap.Class), Ranges: 1, Offsets: to - from})
			}
		}
	}
	for _, r := range v.Removed {
		if from, to := max(r.Base, s.From), min(r.Until, s.To); from < to {
			s.Gaps = addGap(s.Gaps, answer.VerdictGap{Class: classPurged, Ranges: 1, Offsets: to - from})
		}
	}
	slices.SortFunc(s.Gaps, func(a, b answer.VerdictGap) int { return strings.Compare(a.Class, b.Class) })
	return s, nil
}

// offsetsOf gives the offsets that records of a range of time can have: those of
// the segments whose times overlap with it, and what lies between these and
// their neighbours, since what is missing there has no time that could be asked.
func offsetsOf(v *ledger.View, begin, end time.Time) (first, next int64) {
	from, to := milliOf(begin), milliOf(end)
	first, next = offsets.Beginning(v), v.Head.Next
	current := v.Current()
	least, greatest := len(current), -1 // of those that overlap
	before := -1                        // the last that lies wholly before the range
	for i, s := range current {
		early := from != nil && s.Ref.MaxTimestamp < *from
		late := to != nil && s.Ref.MinTimestamp >= *to
		switch {
		case early:
			before = i
		case !late:
			least, greatest = min(least, i), max(greatest, i)
		}
	}
	if greatest < 0 {
		least, greatest = before+1, before
	}
	if least > 0 {
		first = current[least-1].Until
	}
	if greatest+1 < len(current) {
		next = current[greatest+1].Base
	}
	return first, max(first, next)
}
