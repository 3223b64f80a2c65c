package replay

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// strand is what goes from one lane to one partition of its target, in order. Both
// sides are read once, and hashed strand by strand: what the target has by the
// headers that name the original record. There may be many, most of them empty: what
// they hold is made when it is needed, planned by who reads the lane, the rest by who
// reads the partition.
type strand struct {
	planned  *rolling
	readBack *rolling
	places   *mapper
	last     int64  // offset of the source, and one more
	differs  string // the first difference, in words
}

func (s *strand) differ(format string, args ...any) {
	if s.differs == "" {
		s.differs = fmt.Sprintf(format, args...)
	}
}

// bundle is a lane and its strands: one for each partition that it may go to.
type bundle struct {
	*lane
	strands []strand
}

func bundleOf(l *lane) bundle {
	if l.spread.byKey {
		return bundle{l, make([]strand, l.spread.partitions)}
	}
	return bundle{l, make([]strand, 1)}
}

// to gives the strand of a partition that the lane may go to.
func (b *bundle) to(partition int32) *strand {
	if b.spread.byKey {
		return &b.strands[partition]
	}
	return &b.strands[0]
}

// goes is the partition of the n-th strand.
func (b *bundle) goes(n int) int32 {
	if b.spread.byKey {
		return int32(n)
	}
	return b.only()
}

// mostSpreadRuns bounds the runs of offset maps in memory: of two partitions that
// are read at once, all lanes.
const mostSpreadRuns = 1_000_000

// compareSpread holds targets of a replay that chooses partitions against its lanes.
func (a *attempt) compareSpread(ctx context.Context, bounds map[string]map[int32]kafka.Offsets, st *state) ([]answer.ReceiptPartition, error) {
	var lines []answer.ReceiptPartition
	for i := range st.Targets {
		t := &st.Targets[i]
		if isAgain(st.Targets, i) {
			continue
		}
		var bundles []bundle
		for k := range a.lanes {
			if a.lanes[k].target == t.Name {
				bundles = append(bundles, bundleOf(&a.lanes[k]))
			}
		}
		some, err := a.compareTarget(ctx, t, bundles, bounds[t.Name], st.Producers)
		if err != nil {
			return nil, err
		}
		lines = append(lines, some...)
	}
	return lines, nil
}

// isAgain tells whether a target is one of those before it: dead letters of several
// topics may come from one.
func isAgain(targets []target, i int) bool {
	return slices.ContainsFunc(targets[:i], func(t target) bool { return t.Name == targets[i].Name })
}

// compareTarget gives a line for each strand that has or should have records, and of
// a partition into which only others wrote an empty one.
func (a *attempt) compareTarget(ctx context.Context, t *target, bundles []bundle, bounds map[int32]kafka.Offsets, producers []offset) ([]answer.ReceiptPartition, error) {
	ends := make([]answer.ReceiptPartition, len(t.Starts))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for p := range int32(len(t.Starts)) {
		if !slices.ContainsFunc(bundles, func(b bundle) bool { return b.mayTake(p) }) {
			continue // a record that went there is missing where it belongs
		}
		group.Go(func() error {
			if b := bounds[p]; b.Err != nil {
				return schema.Errorf(schema.Unavailable, "list offsets of %s/%d: %w", t.Name, p, b.Err)
			}
			ends[p] = answer.ReceiptPartition{Target: t.Name, TargetPartition: &p, From: int64(t.Starts[p]), To: bounds[p].HighWatermark}
			return a.readStrands(reading, t, p, bundles, &ends[p], producers)
		})
	}
	for i := range bundles {
		b := &bundles[i]
		group.Go(func() error {
			return a.each(reading, b.lane, 0, nil, func(row *segment.Row) error {
				s := b.to(b.partition(&row.Record))
				if s.planned == nil {
					s.planned = newRolling()
				}
				s.planned.add(a.expected(&row.Record))
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var lines []answer.ReceiptPartition
	last := map[int32]int{} // bundle that may have records of a partition
	for i := range bundles {
		for n := range bundles[i].strands {
			last[bundles[i].goes(n)] = i
		}
	}
	for i := range bundles {
		b := &bundles[i]
		for n := range b.strands {
			s, p := &b.strands[n], b.goes(n)
			counted := ends[p].Foreign == 0 || i < last[p]
			if s.planned == nil && s.readBack == nil && counted {
				continue
			}
			lines = append(lines, s.line(b.lane, ends[p]))
			ends[p].Foreign = 0 // they are counted once
		}
	}
	return lines, nil
}

// readStrands reads one partition of a target, to which lanes go.
func (a *attempt) readStrands(ctx context.Context, t *target, p int32, bundles []bundle, end *answer.ReceiptPartition, producers []offset) error {
	at := schema.Stream{Topic: t.Name, TopicID: *t.ID, Partition: p}
	if err := a.stable(ctx, at, end.To); err != nil {
		return err
	}
	var strands []*strand
	bySource := map[schema.StreamKey]*strand{}
	for i := range bundles {
		if b := &bundles[i]; b.mayTake(p) {
			s := b.to(p)
			strands, bySource[schema.StreamKey{TopicID: b.topic.TopicID, Partition: b.stream.Partition}] = append(strands, s), s
		}
	}
	for record, err := range a.own(ctx, at, end, producers) {
		if err != nil {
			return err
		}
		a.claim.readBack.Add(1)
		from, source, known := a.originOf(record)
		s, planned := bySource[from]
		if !known || !planned {
			s, planned = strands[0], false // which has one too many then
		}
		if s.readBack == nil {
			s.readBack, s.places = newRolling(), &mapper{attempt: a, most: min(mostRuns, max(1000, mostSpreadRuns/len(strands)))}
		}
		s.readBack.add(a.found(record))
		switch {
		case !planned:
			s.differ("offset %d names no planned record", record.Offset)
		case source < s.last:
			s.differ("offset %d is the record of source offset %d, behind that of %d", record.Offset, source, s.last-1)
		default:
			s.last = source + 1
			if err := s.places.add(ctx, source, record.Offset); err != nil {
				return err
			}
		}
	}
	for _, s := range strands {
		if s.places != nil {
			if err := s.places.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// originOf reads the headers that this job added: they are the last ones.
func (a *attempt) originOf(r *schema.Record) (from schema.StreamKey, offset int64, ok bool) {
	at := len(r.Headers) - 5
	if at < 0 {
		return from, 0, false
	}
	own := r.Headers[at:]
	for i, name := range []string{extract.HeaderReplayID, extract.HeaderSourceTopic, extract.HeaderSourceTopicID, extract.HeaderSourcePartition, extract.HeaderSourceOffset} {
		if own[i].Name != name {
			return from, 0, false
		}
	}
	if string(own[0].Value) != a.claim.id || from.TopicID.UnmarshalText(own[2].Value) != nil {
		return from, 0, false
	}
	n, err := strconv.ParseInt(string(own[3].Value), 10, 32)
	if err != nil {
		return from, 0, false
	}
	from.Partition = int32(n)
	offset, err = strconv.ParseInt(string(own[4].Value), 10, 64)
	return from, offset, err == nil
}

// line is a strand's in the receipt. end has what is known of the partition.
func (s *strand) line(l *lane, end answer.ReceiptPartition) answer.ReceiptPartition {
	end.Source, end.Partition = l.topic.Source, l.stream.Partition
	for _, side := range []**rolling{&s.planned, &s.readBack} {
		if *side == nil {
			*side = newRolling()
		}
	}
	end.Planned, end.PlannedHash = s.planned.sum()
	end.Read = end.Planned
	end.ReadBack, end.ReadBackHash = s.readBack.sum()
	end.Matches = s.differs == "" && end.Planned == end.ReadBack && end.PlannedHash == end.ReadBackHash
	switch {
	case end.Matches && s.places != nil:
		end.Offsets = s.places.pieces
	case end.Matches:
	case s.differs != "":
		end.Difference = s.differs
	default:
		end.Difference = "a record is missing, is not planned, or is not as the source's"
	}
	return end
}
