package replay

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/internal/failure"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// planFormatRedrive is of a plan that puts dead letters back.
const planFormatRedrive = "annals.redrive-plan/1"

// checkRedrive refuses what cannot mean anything.
func checkRedrive(r *answer.ReplayRequest) error {
	d := r.Redrive
	switch {
	case len(d.Records) == 0:
		return schema.InvalidField("records", "no dead letter is selected")
	case len(d.Records) > answer.MaxRedriven:
		return schema.WithHint(schema.Errorf(schema.Exhausted, "%d dead letters, at most %d at once", len(d.Records), answer.MaxRedriven), "narrow the time")
	case d.Limit < 0 || d.Limit > answer.MaxRedriveLimit:
		return schema.InvalidField("limit", "limit %d: a record may be put back 1 to %d times", d.Limit, answer.MaxRedriveLimit)
	case !r.AllowExisting:
		return schema.WithHint(schema.InvalidField("allow_existing", "a redrive produces into topics that exist, and whose consumers see the records again"),
			"set allow_existing if that is meant")
	case r.Oversized != "" && r.Oversized != answer.OversizedFail:
		return schema.InvalidField("oversized", "a redrive leaves no oversized record out, and raises no limit")
	case !isBare(*r):
		return schema.InvalidField("records", "a redrive has no other selection, no other target than where the dead letters come from, and changes no partitions or timestamps")
	}
	return nil
}

// isBare tells whether nothing else is asked for than what a redrive knows.
func isBare(r answer.ReplayRequest) bool {
	r.Redrive, r.AllowExisting, r.ProvenanceHeaders, r.Oversized = nil, false, false, ""
	return reflect.ValueOf(r).IsZero()
}

// redriven is where dead letters of one partition go.
type redriven struct {
	source    schema.StreamKey
	target    string
	partition int32
}

// redriving is a redrive while it is resolved.
type redriving struct {
	*resolver
	live    kafka.Cluster
	putBack map[schema.Position]*schema.Coordinates
	lanes   map[redriven]*streamPlan
	refused []string
	count   int // of refused
}

// redriveOf is what a redrive's plan does; nil: it is none.
func redriveOf(asked *answer.RedriveRequest) *answer.Redrive {
	if asked == nil {
		return nil
	}
	return &answer.Redrive{Limit: cmp.Or(asked.Limit, answer.DefaultRedriveLimit), KeepHeaders: asked.KeepHeaders}
}

// redrive resolves dead letters to their segments, reads them, and plans each for
// the topic and partition that its headers name.
func (r *resolver) redrive(ctx context.Context) error {
	asked := r.request.Redrive
	live, err := r.service.cluster.Cluster(ctx)
	if err != nil {
		return err
	}
	d := &redriving{resolver: r, live: live, putBack: map[schema.Position]*schema.Coordinates{}, lanes: map[redriven]*streamPlan{}}
	byStream := map[schema.StreamKey][]*answer.Hit{}
	for i := range asked.Records {
		p := &asked.Records[i]
		key := schema.StreamKey{TopicID: p.TopicID, Partition: p.Partition}
		byStream[key] = append(byStream[key], &answer.Hit{Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition, Branch: p.Branch, Offset: p.Offset})
		if p.PutBack != nil && !asked.Again {
			d.putBack[schema.Position{TopicID: p.TopicID, Partition: p.Partition, Branch: p.Branch, Offset: p.Offset}] = p.PutBack
		}
	}
	streams, err := r.streams(ctx, func(s schema.Stream) bool { return byStream[s.Key()] != nil })
	if err != nil {
		return err
	}
	byID, err := r.incarnations(ctx, streams)
	if err != nil {
		return err
	}
	for _, one := range byID {
		for _, view := range one.views {
			found, err := r.positions(view, byStream[view.Stream.Key()])
			if err != nil {
				return err
			}
			delete(byStream, view.Stream.Key())
			for i := range found.Segments {
				if err := d.read(ctx, view.Stream, &found.Segments[i]); err != nil {
					return err
				}
			}
		}
	}
	for _, left := range byStream {
		return schema.Errorf(schema.NotFound, "%s is not archived, or may not be seen", left[0].Coordinates())
	}
	return d.finish(ctx, byID)
}

// read looks at the dead letters in one segment.
func (d *redriving) read(ctx context.Context, s schema.Stream, p *segmentPlan) error {
	chosen := choice{selection: &d.doc.Selection}
	found := 0
	for row, err := range d.service.planned(ctx, p, &chosen, p.From, segment.Payload) {
		if err != nil {
			return err
		}
		found++
		to, why := d.judge(&row.Record)
		if why != "" {
			d.refuse(&row.Record, why)
			continue
		}
		if row.Timestamp < kafka.MinTimestamp || row.Timestamp > kafka.MaxTimestamp {
			return unwritable(&row.Record)
		}
		key := redriven{s.Key(), to.Topic, to.Partition}
		if d.lanes[key] == nil {
			d.lanes[key] = &streamPlan{Partition: s.Partition, To: &to.Partition}
		}
		lane := d.lanes[key]
		if n := len(lane.Segments); n == 0 || lane.Segments[n-1].Key != p.Key {
			own := *p
			own.Offsets, own.Records, own.Bytes, own.Exact, own.Largest, own.LargestAt = nil, 0, 0, true, 0, 0
			lane.Segments = append(lane.Segments, own)
		}
		own := &lane.Segments[len(lane.Segments)-1]
		own.add(&row.Record)
		d.named.add(&row.Record)
		own.Offsets = append(own.Offsets, row.Offset)
	}
	if missing := len(p.Offsets) - found; missing > 0 {
		return schema.Errorf(schema.Conflict, "%d of the dead letters in segment %s were not committed", missing, p.Key)
	}
	return nil
}

// judge tells where a dead letter goes, or why it does not.
func (d *redriving) judge(r *schema.Record) (to schema.Coordinates, why string) {
	f := failure.Of(r)
	switch back := d.putBack[schema.Position{TopicID: r.TopicID, Partition: r.Partition, Branch: r.Branch, Offset: r.Offset}]; {
	case f.Dialect == failure.Own:
		return to, "it is a notice of Annals' own, not the record, which is archived"
	case f.Dialect == "":
		return to, "its headers do not say where it comes from"
	case f.Original == nil:
		return to, f.Problem
	case !d.who.Topics.Allows(f.Original.Topic):
		return to, "the topic that it comes from may not be seen"
	case f.Redriven >= d.doc.Redrive.Limit:
		return to, fmt.Sprintf("it was put back %d times already, the limit is %d", f.Redriven, d.doc.Redrive.Limit)
	case back != nil:
		return to, fmt.Sprintf("it was put back already, to %s", back)
	default:
		to = *f.Original
	}
	there := find(d.live, to.Topic)
	switch {
	case there == nil:
		return to, fmt.Sprintf("the topic that it comes from, %s, is not in this Kafka", to.Topic)
	case int(to.Partition) >= len(there.Partitions):
		return to, fmt.Sprintf("it comes from partition %d, and %s has %d", to.Partition, to.Topic, len(there.Partitions))
	case there.ID == r.TopicID:
		return to, "it comes from the dead letter topic itself"
	}
	return to, ""
}

func (d *redriving) refuse(r *schema.Record, why string) {
	if d.count++; d.count <= mostWarnings {
		d.refused = append(d.refused, fmt.Sprintf("%s/%d/%d is not put back: %s", r.Topic, r.Partition, r.Offset, why))
	}
}

// finish puts the lanes into the plan, in an order that depends on them alone.
func (d *redriving) finish(ctx context.Context, byID map[schema.TopicID]*incarnation) error {
	slices.Sort(d.refused)
	if d.count > 0 && (!d.request.Redrive.SkipRefused || len(d.lanes) == 0) {
		named := d.refused[:min(len(d.refused), mostNamed)]
		more := ""
		if d.count > len(named) {
			more = fmt.Sprintf("; and %d more", d.count-len(named))
		}
		return schema.WithHint(schema.Errorf(schema.Conflict, "%d of %d dead letters cannot be put back: %s%s", d.count, len(d.request.Redrive.Records), strings.Join(named, "; "), more),
			"set skip_refused to leave them out; what was put back already goes with again, and beyond the limit with a higher one")
	}
	for _, refused := range d.refused {
		d.warn("%s", refused)
	}
	keys := make([]redriven, 0, len(d.lanes))
	for key := range d.lanes {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b redriven) int {
		return cmp.Or(strings.Compare(byID[a.source.TopicID].name, byID[b.source.TopicID].name), slices.Compare(a.source.TopicID[:], b.source.TopicID[:]),
			strings.Compare(a.target, b.target), cmp.Compare(a.source.Partition, b.source.Partition), cmp.Compare(a.partition, b.partition))
	})
	for _, key := range keys {
		n := len(d.doc.Topics) - 1
		if n < 0 || d.doc.Topics[n].TopicID != key.source.TopicID || d.doc.Topics[n].Target != key.target {
			plan := byID[key.source.TopicID].plan()
			plan.Target, plan.Partitions = key.target, 0
			d.doc.Topics, n = append(d.doc.Topics, plan), n+1
		}
		t := &d.doc.Topics[n]
		t.Streams, t.Partitions = append(t.Streams, *d.lanes[key]), max(t.Partitions, key.partition+1)
		d.doc.Selection.Topics = append(d.doc.Selection.Topics, t.Source)
	}
	d.doc.Selection.Topics = sorted(d.doc.Selection.Topics)
	return d.oversize(ctx)
}

// targetOf names the topic that one of a plan goes to.
func (d *document) targetOf(id string, t *topicPlan) string {
	if t.Target != "" {
		return t.Target
	}
	if d.File != "" {
		return d.folder(id, t)
	}
	return d.target(id, t.Source)
}

// headers are a record's own in the target, before those of its provenance; the list
// is the caller's.
func (d *document) headers(r *schema.Record) []schema.Header {
	if d.Redrive == nil {
		return slices.Clone(r.Headers)
	}
	redriven := failure.Of(r).Redriven
	return append(slices.Clone(failure.Restore(r.Headers, d.Redrive.KeepHeaders)),
		schema.Header{Name: failure.HeaderRedriven, Value: strconv.AppendInt(nil, int64(redriven)+1, 10)})
}
