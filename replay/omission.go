package replay

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// mostWarnings bounds those of a plan; how many more there are is said.
const mostWarnings = 200

// warn adds what a plan says besides what it holds. It is not part of the plan's
// ID: it may depend on the moment.
func (r *resolver) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// boundedWarnings are the first, and how many there are besides.
func boundedWarnings(all []string) []string {
	if len(all) <= mostWarnings {
		return all
	}
	return append(slices.Clip(all[:mostWarnings]), fmt.Sprintf("%d more warnings are left out; fewer topics or partitions have fewer", len(all)-mostWarnings))
}

// omissions warns of what looks as if it were selected and is not replayed: other
// topics of the same name, gaps, what is not sealed yet, and what the archive does
// not have. chosen are the topics that are planned, by name.
func (r *resolver) omissions(ctx context.Context, byID map[schema.TopicID]*incarnation, chosen map[string]*incarnation) error {
	live, err := r.service.cluster.Cluster(ctx)
	if err != nil {
		return err
	}
	var here []string // topics that Kafka holds as the archive knows them
	for name, one := range chosen {
		if there := find(live, name); there != nil && there.ID == one.id {
			here = append(here, name)
		}
	}
	slices.Sort(here)
	ends, err := r.service.cluster.Offsets(ctx, here...)
	if err != nil {
		return fmt.Errorf("ask where the selected topics end: %w", err)
	}
	for _, name := range r.doc.Selection.Topics {
		one := chosen[name]
		r.namesakes(byID, one)
		r.absent(one, ends[name])
		for _, view := range one.views {
			if !r.doc.Selection.takes(name, view.Stream.Partition) {
				continue
			}
			if err := r.gaps(ctx, view); err != nil {
				return err
			}
			r.beyond(view, ends[name])
		}
	}
	return nil
}

// namesakes warns of the topics of a name that are not the planned one, where
// they have records in the range.
func (r *resolver) namesakes(byID map[schema.TopicID]*incarnation, chosen *incarnation) {
	var others []*incarnation
	for _, one := range byID {
		if one.name == chosen.name && one.id != chosen.id {
			others = append(others, one)
		}
	}
	slices.SortFunc(others, func(a, b *incarnation) int { return slices.Compare(a.id[:], b.id[:]) })
	for _, one := range others {
		var records int64
		for _, view := range one.views {
			for _, s := range view.Current() {
				from, next, _ := r.doc.Selection.clip(one.name, view.Stream.Partition, s.Base, s.Until)
				if r.doc.Selection.takes(one.name, view.Stream.Partition) && from < next && r.where(s) == within {
					records += s.Records.Committed
				}
			}
		}
		if records > 0 {
			r.warn("%s: another topic of this name, with the ID %s and archived from %s on, has up to %d records of the range; they are not replayed: plan them with its topic-id",
				one.name, one.id, one.began(), records)
		}
	}
}

// place of a segment beside a range of times.
type place int

const (
	within place = iota
	before
	after
)

func (r *resolver) where(s ledger.Segment) place {
	selected := &r.doc.Selection
	switch {
	case selected.From != nil && s.Ref.MaxTimestamp < *selected.From:
		return before
	case selected.To != nil && s.Ref.MinTimestamp >= *selected.To:
		return after
	}
	return within
}

// extent is where the selection's records can stand in a stream, by offset: what
// lies beside it is known to be of other times.
func (r *resolver) extent(view *ledger.View) (low, high int64) {
	current := view.Current()
	low, high = 0, view.Head.Next
	for len(current) > 0 && r.where(current[0]) == before {
		low, current = current[0].Until, current[1:]
	}
	for len(current) > 0 && r.where(current[len(current)-1]) == after {
		high, current = current[len(current)-1].Base, current[:len(current)-1]
	}
	return low, high
}

// gaps warns of the offsets among the selected ones that the archive has not got
// from Kafka, by class.
func (r *resolver) gaps(ctx context.Context, view *ledger.View) error {
	low, high := r.extent(view)
	first, total, byClass := int64(math.MaxInt64), int64(0), map[schema.GapClass]int64{}
	add := func(class schema.GapClass, from, to int64) {
		if from, to = max(from, low), min(to, high); from >= to {
			return
		}
		ranges := [][2]int64{{from, to}}
		if wanted := r.doc.Selection.asked(view.Stream.Topic, view.Stream.Partition); wanted != nil {
			ranges = ranges[:0]
			for _, o := range wanted {
				ranges = append(ranges, [2]int64{max(from, o.From), min(to, o.To)})
			}
		}
		for _, one := range ranges {
			if one[0] < one[1] {
				first, total = min(first, one[0]), total+one[1]-one[0]
				byClass[class] += one[1] - one[0]
			}
		}
	}
	add(schema.GapBeforeGenesis, 0, view.Genesis.Next)
	for _, g := range view.Gapped {
		if g.Until <= low || g.Commit.Base >= high {
			continue
		}
		gaps, err := r.service.ledger.Gaps(ctx, g.Commit)
		if err != nil {
			return fmt.Errorf("read the gaps of %s: %w", view.Stream, err)
		}
		for _, gap := range gaps {
			add(gap.Class, gap.From, min(gap.To, g.Until))
		}
	}
	if total == 0 {
		return nil
	}
	var parts []string
	for _, class := range []schema.GapClass{schema.GapBeforeGenesis, schema.GapBeforeLogStart, schema.GapCleaned, schema.GapUnreadable, schema.GapUnexplained} {
		if n := byClass[class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, class))
		}
	}
	r.warn("%s: %d offsets of the range are gaps, of which nothing can be replayed: %s; the first is offset %d", view.Stream, total, strings.Join(parts, ", "), first)
	return nil
}

// beyond warns where the selection reaches further than a stream's archive.
func (r *resolver) beyond(view *ledger.View, ends map[int32]kafka.Offsets) {
	head, newest := view.Head.Next, int64(math.MinInt64)
	for _, s := range view.Current() {
		newest = max(newest, s.Ref.MaxTimestamp)
	}
	selected := &r.doc.Selection
	wanted := selected.asked(view.Stream.Topic, view.Stream.Partition)
	if n := len(wanted); n > 0 && wanted[n-1].To <= head || selected.To != nil && newest >= *selected.To {
		return // the archive has it
	}
	if view.End != nil { // whatever Kafka has under this ID now is not waited for
		r.beyondEnd(view, wanted)
		return
	}
	end, known := ends[view.Stream.Partition]
	if first, seen := r.ends[view.Stream.Key()]; seen {
		end.HighWatermark = first // what came while it was waited for is not asked for
	} else if known && end.Err == nil {
		r.ends[view.Stream.Key()] = end.HighWatermark
	}
	unsealed := end.HighWatermark - head
	switch {
	case known && end.Err != nil:
		r.warn("%s: the archive ends at offset %d; whether Kafka has more of the range cannot be told: %v", view.Stream, head, end.Err)
	case unsealed > 0:
		r.unsealed = append(r.unsealed, fmt.Sprintf("%d offsets of %s from %d on", unsealed, view.Stream, head))
		r.warn("%s: the archive ends at offset %d, %d offsets that Kafka has behind it are not sealed and not replayed: run annals seal --wait and plan again", view.Stream, head, unsealed)
	case len(wanted) > 0:
		r.warn("%s: offsets up to %d are asked for, the archive ends at offset %d", view.Stream, wanted[len(wanted)-1].To, head)
	case !known && selected.To != nil:
		r.warn("%s: the archive ends at offset %d, before the end of the range; whether there was more cannot be told, the topic is not in this Kafka", view.Stream, head)
	}
}

// beyondEnd warns where the selection reaches further than the chain of a topic that
// was deleted.
func (r *resolver) beyondEnd(view *ledger.View, wanted []offsetRange) {
	head := view.Head.Next
	switch went, known := view.Went(); {
	case !known:
		r.warn("%s: the archive ends at offset %d; the topic was deleted, and whether offsets behind it went with it unarchived is not known", view.Stream, head)
	case went > head:
		r.warn("%s: the archive ends at offset %d; the topic was deleted, and %d offsets that Kafka had behind it went with it unarchived", view.Stream, head, went-head)
	case len(wanted) > 0:
		r.warn("%s: offsets up to %d are asked for, the archive ends at offset %d, as the topic did", view.Stream, wanted[len(wanted)-1].To, head)
	}
}

// absent warns of partitions that are asked for, or that Kafka has records in, and
// that are not archived.
func (r *resolver) absent(one *incarnation, ends map[int32]kafka.Offsets) {
	var missing []int32
	look := func(partition int32) {
		if r.doc.Selection.takes(one.name, partition) && !slices.ContainsFunc(one.views, func(v *ledger.View) bool { return v.Stream.Partition == partition }) {
			missing = append(missing, partition)
		}
	}
	for _, partition := range r.doc.Selection.Partitions {
		look(partition)
	}
	for _, o := range r.doc.Selection.Offsets {
		if o.Topic == one.name {
			look(o.Partition)
		}
	}
	for partition, end := range ends {
		if end.HighWatermark > 0 {
			look(partition)
		}
	}
	for _, partition := range sorted(missing) {
		r.warn("%s: partition %d is not archived, nothing of it is replayed", one.name, partition)
	}
}

// warningsOf are those of a plan, then those of its targets.
func (r *resolver) warningsOf(targets []string) []string {
	return boundedWarnings(slices.Concat(r.silent, r.warnings, targets))
}

// asked are the ranges of offsets that are asked for of a partition; nil: there
// are none for its topic.
func (s *selection) asked(topic string, partition int32) []offsetRange {
	var list []offsetRange
	for _, o := range s.Offsets {
		if o.Topic == topic && o.Partition == partition {
			list = append(list, o)
		}
	}
	return list
}
