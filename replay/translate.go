package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/snapshot"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// maxGroupName is the longest name of a consumer group that is asked for, in bytes.
const maxGroupName = 1000

// GroupOffsets says where a consumer group of the replay's source stands in the target:
// for each partition the offset of the first copy of a record that the group has not
// read. With Apply it commits them. Conflict: the replay has no receipt that matches,
// or puts dead letters back, or splits or mixes partitions, or the group is active, or
// an offset has no exact place in the target and Nearest is not set. NotFound: no such
// replay, or no snapshot.
func (s *Service) GroupOffsets(ctx context.Context, who policy.Principal, id string, r answer.GroupOffsetsRequest) (*answer.GroupOffsets, error) {
	if r.Group == "" || len(r.Group) > maxGroupName || len(r.Into) > maxGroupName {
		return nil, schema.InvalidField("group", "name a consumer group, in up to %d bytes", maxGroupName)
	}
	st, err := s.job(ctx, who, id)
	if err != nil {
		return nil, err
	}
	switch {
	case st.Receipt == nil || !st.Receipt.Matches:
		return nil, schema.Errorf(schema.Conflict, "replay %s is %s: its offsets are known when its receipt matches", st.ID, st.State)
	case st.Plan.Redrive != nil:
		return nil, schema.Errorf(schema.Conflict, "replay %s put dead letters back among other records: a group's place among the dead letters is none among those", st.ID)
	case st.Plan.Request.TargetFile != "":
		return nil, schema.Errorf(schema.Conflict, "replay %s wrote files: a group has no place in them", st.ID)
	case !isOneToOne(st.Receipt.Partitions):
		return nil, schema.Errorf(schema.Conflict, "replay %s put records of one partition into several, or of several into one: a group's place in one is none in the other", st.ID)
	}
	to, err := s.destinationNamed(st.Plan.Request.TargetCluster, st.Plan.TargetClusterID)
	if err != nil {
		return nil, err
	}
	if _, err := to.live(ctx); err != nil {
		return nil, err
	}
	t := &translation{Service: s, to: to, id: st.ID, state: st, out: &answer.GroupOffsets{Group: r.Group, Into: cmp.Or(r.Into, r.Group)}}
	if err := t.source(ctx, r.AsOf); err != nil {
		return nil, err
	}
	current, state, err := to.cluster.CommittedBy(ctx, t.out.Into)
	if err != nil {
		return nil, err
	}
	t.out.State = state
	for i := range st.Receipt.Partitions {
		line, err := t.partition(ctx, &st.Receipt.Partitions[i])
		if err != nil {
			return nil, err
		}
		if at, ok := current[line.Target][line.TargetPartition]; ok {
			line.Current = &at
		}
		t.out.Partitions = append(t.out.Partitions, *line)
	}
	if r.Apply {
		err = t.apply(ctx, r.Nearest)
	}
	return t.out, err
}

// isOneToOne tells whether the records of each partition went to one alone, and no
// others there.
func isOneToOne(lines []answer.ReceiptPartition) bool {
	type place struct {
		topic     string
		partition int32
	}
	sources, targets := map[place]bool{}, map[place]bool{}
	for i := range lines {
		from, to := place{lines[i].Source, lines[i].Partition}, place{lines[i].Target, targetPartition(&lines[i])}
		if sources[from] || targets[to] {
			return false
		}
		sources[from], targets[to] = true, true
	}
	return true
}

// translation is a group's offsets while they are translated.
type translation struct {
	*Service
	to        *destination
	id        string
	state     *state
	committed map[string]map[int32]int64 // of the plan's topics
	out       *answer.GroupOffsets
}

// source finds what the group has committed of the replayed topics, or had.
func (t *translation) source(ctx context.Context, asOf time.Time) error {
	t.committed = map[string]map[int32]int64{}
	if asOf.IsZero() {
		return t.live(ctx)
	}
	byCluster := map[string]*schema.ConsumerOffsets{}
	for i := range t.state.Plan.Topics {
		topic := &t.state.Plan.Topics[i]
		found := byCluster[topic.Cluster]
		if found == nil {
			var err error
			if found, err = snapshot.AsOf(ctx, t.store, topic.Cluster, asOf); err != nil {
				return err
			}
			byCluster[topic.Cluster] = found
		}
		if taken := time.UnixMilli(found.Taken).UTC(); t.out.Taken.IsZero() || taken.Before(t.out.Taken) {
			t.out.Taken = taken
		}
		at, ok := slices.BinarySearchFunc(found.Groups, t.out.Group, func(g schema.GroupOffsets, name string) int { return cmp.Compare(g.Group, name) })
		if !ok {
			if found.Hidden+found.LeftOut > 0 {
				t.out.Notes = append(t.out.Notes, fmt.Sprintf("the snapshot lacks %d groups that could not be asked about and %d beyond what it holds", found.Hidden, found.LeftOut))
			}
			continue
		}
		for _, c := range found.Groups[at].Topics {
			switch {
			case c.Topic != topic.Source:
			case c.TopicID == nil || *c.TopicID != topic.TopicID:
				t.out.Notes = append(t.out.Notes, fmt.Sprintf("what the group had committed of %s was of another topic of that name than was replayed", c.Topic))
			default:
				t.committed[c.Topic] = map[int32]int64{}
				for _, o := range c.Offsets {
					t.committed[c.Topic][int32(o[0])] = o[1]
				}
			}
		}
	}
	return nil
}

// live takes what Kafka has of the group now, of topics that are the replayed ones.
func (t *translation) live(ctx context.Context) error {
	live, err := t.cluster.Cluster(ctx)
	if err != nil {
		return err
	}
	committed, _, err := t.cluster.CommittedBy(ctx, t.out.Group)
	if err != nil {
		return err
	}
	for i := range t.state.Plan.Topics {
		topic := &t.state.Plan.Topics[i]
		if there := find(live, topic.Source); there != nil && there.ID == topic.TopicID {
			t.committed[topic.Source] = committed[topic.Source]
			continue
		}
		t.out.Notes = append(t.out.Notes, fmt.Sprintf("%s as it was replayed is not in this Kafka: ask with a time for what the group had committed of it", topic.Source))
	}
	return nil
}

// partition translates the offset of one.
func (t *translation) partition(ctx context.Context, p *answer.ReceiptPartition) (*answer.GroupOffset, error) {
	line := &answer.GroupOffset{Source: p.Source, Target: p.Target, Partition: p.Partition, TargetPartition: targetPartition(p), Status: answer.OffsetUncommitted}
	at, ok := t.committed[p.Source][p.Partition]
	if !ok || len(p.Offsets) == 0 {
		return line, nil
	}
	line.Committed = &at
	first, last := p.Offsets[0].SourceFrom, p.Offsets[len(p.Offsets)-1].SourceTo
	from, to, status, exact := last, at, answer.OffsetBeyond, answer.OffsetEnd
	if at < last {
		source, target, err := t.from(ctx, p, at)
		if err != nil {
			return nil, err
		}
		line.TargetOffset = &target
		if source == at {
			line.Status = answer.OffsetExact
			return line, nil
		}
		from, to, status, exact = at, source, answer.OffsetGap, answer.OffsetNext
		if at < first {
			status = answer.OffsetBefore
		}
	} else {
		line.TargetOffset = &p.Offsets[len(p.Offsets)-1].TargetTo
	}
	record, unknown, err := t.between(ctx, p, from, to)
	switch {
	case err != nil:
		return nil, err
	case record >= 0:
		line.Status, line.Note = status, map[string]string{
			answer.OffsetBefore: fmt.Sprintf("the record at offset %d is not read, and is before the replay, which begins at %d", record, first),
			answer.OffsetGap:    fmt.Sprintf("the record at offset %d is not read, and was not replayed; the next one that was is at %d", record, to),
			answer.OffsetBeyond: fmt.Sprintf("the record at offset %d is read, and is behind the replay, which ends before %d", record, last),
		}[status]
	case unknown >= 0:
		line.Status, line.Note = answer.OffsetUnknown, fmt.Sprintf("the archive does not have offset %d, which lies between %d and the replayed record: it may have been a record", unknown, at)
	default:
		line.Status = exact
	}
	return line, nil
}

// from finds the first record of the replay at a source offset or behind it, which
// there is.
func (t *translation) from(ctx context.Context, p *answer.ReceiptPartition, at int64) (source, target int64, err error) {
	for _, piece := range p.Offsets {
		if at >= piece.SourceTo {
			continue
		}
		runs, err := t.loadPiece(ctx, t.id, piece.SHA256)
		if err != nil {
			return 0, 0, err
		}
		for _, run := range runs {
			if at < run[0]+run[2] {
				past := max(at-run[0], 0)
				return run[0] + past, run[1] + past, nil
			}
		}
	}
	return 0, 0, schema.Errorf(schema.Corrupt, "the offsets of replay %s end before they say", t.id)
}

// between gives the first committed record of the source in a range of offsets, -1 if
// there is none, and the first offset of which that is not known, because the archive
// does not have it.
func (t *translation) between(ctx context.Context, p *answer.ReceiptPartition, from, to int64) (record, unknown int64, err error) {
	if from >= to {
		return -1, -1, nil
	}
	plan := t.state.Plan.Topics
	i := slices.IndexFunc(plan, func(topic answer.ReplayTopic) bool { return topic.Source == p.Source })
	if i < 0 {
		return 0, 0, schema.Errorf(schema.Corrupt, "the receipt of replay %s names %s, which its plan does not", t.id, p.Source)
	}
	stream := schema.Stream{Cluster: plan[i].Cluster, Topic: p.Source, TopicID: plan[i].TopicID, Partition: p.Partition}
	view, err := t.ledger.View(ctx, stream, nil)
	if err != nil {
		return 0, 0, err
	}
	unknown = -1
	miss := func(at, until int64) {
		if unknown < 0 && at < until {
			unknown = at
		}
	}
	at := from
	for _, s := range view.Current() {
		if s.Until <= at || s.Base >= to {
			continue
		}
		miss(at, s.Base)
		record, err := t.firstCommitted(ctx, s, max(at, s.Base), min(to, s.Until))
		if err != nil || record >= 0 {
			return record, unknown, err
		}
		at = s.Until
	}
	miss(at, to)
	return -1, unknown, nil
}

// firstCommitted gives the first committed record of a segment in a range of offsets;
// -1: there is none.
func (t *translation) firstCommitted(ctx context.Context, s ledger.Segment, from, to int64) (int64, error) {
	p := planOf(s)
	p.From, p.Next = from, to
	reader, err := t.openSegment(ctx, t.store.ReaderAt(ctx, p.Key, p.Size), &p)
	if err != nil {
		return 0, err
	}
	for row, err := range reader.Rows(ctx, from, to, segment.Status) {
		if err != nil {
			return 0, segmentError(&p, err)
		}
		if row.Status == schema.Committed {
			return row.Offset, nil
		}
	}
	return -1, nil
}

// apply commits what was translated: all of it, or nothing.
func (t *translation) apply(ctx context.Context, nearest bool) error {
	offsets := kafka.Committed{}
	inexact, n := 0, 0
	for i := range t.out.Partitions {
		line := &t.out.Partitions[i]
		if line.TargetOffset == nil {
			continue
		}
		if !line.IsExact() {
			inexact++
		}
		if offsets[line.Target] == nil {
			offsets[line.Target] = map[int32]int64{}
		}
		offsets[line.Target][line.TargetPartition] = *line.TargetOffset
		n++
	}
	switch {
	case n == 0:
		return schema.InvalidField("group", "group %s has committed nothing of what was replayed", t.out.Group)
	case inexact > 0 && !nearest:
		return schema.WithHint(schema.Errorf(schema.Conflict, "%d of %d offsets have no exact place in the target", inexact, n),
			"look at them without apply; nearest takes the next copy instead, or the end")
	}
	if err := t.to.cluster.Commit(ctx, t.out.Into, offsets); err != nil {
		return err
	}
	t.out.Applied = n
	t.log.Info("offsets of a consumer group were committed in a replay's target", "replay", t.id, "group", t.out.Group, "into", t.out.Into, "partitions", n)
	return nil
}
