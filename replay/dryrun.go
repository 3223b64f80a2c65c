package replay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Dry runs that are under way at once, and lanes that each reads at once.
const (
	mostDryRuns  = 2
	dryRunsLanes = 4
)

// DryRun reads everything that a plan names, held against its hashes, and what
// the targets take, and produces nothing. What speaks against running the plan
// now is in the answer's problems. Its hashes are those that the receipt will
// have. Exhausted: others are under way.
func (s *Service) DryRun(ctx context.Context, who policy.Principal, id string) (*answer.DryRun, error) {
	id, err := s.whole(ctx, id)
	if err != nil {
		return nil, err
	}
	_, d, err := s.loadPlan(ctx, id)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(d.Topics, func(t topicPlan) bool { return !who.Topics.Allows(t.Source) }) {
		return nil, schema.Errorf(schema.NotFound, "no plan %s", id)
	}
	select {
	case s.dry <- struct{}{}:
		defer func() { <-s.dry }()
	default:
		return nil, schema.Errorf(schema.Exhausted, "%d dry runs are under way", mostDryRuns)
	}
	began := time.Now()
	to, err := s.destinationOf(d)
	if err != nil {
		return nil, err
	}
	a := &attempt{destination: to, claim: &claim{id: id}, doc: d, lanes: d.lanes(id)}
	out := &answer.DryRun{ID: id, Partitions: make([]answer.DryRunPartition, len(a.lanes))}
	targets, _, err := s.targetsOf(ctx, d, id)
	if err := noted(out, err); err != nil {
		return nil, err
	}
	limits := map[string]int64{}
	for i := range targets {
		if d.File != "" {
			break // it takes records of any size
		}
		if limits[targets[i].Name] = maxRecordBytes; targets[i].Existed && d.Oversized != answer.OversizedRaise {
			if limits[targets[i].Name], err = to.limitOf(ctx, targets[i].Name); err != nil {
				return nil, err
			}
		}
	}
	if err := noted(out, a.checkSources(ctx)); err != nil {
		return nil, err
	}
	if err := a.rehearse(ctx, out, limits); err != nil {
		return nil, err
	}
	for i := range d.Topics {
		records, _, segments := d.Topics[i].totals()
		out.Planned, out.Segments = out.Planned+records, out.Segments+segments
	}
	for i := range out.Partitions {
		out.Records, out.Bytes = out.Records+out.Partitions[i].Records, out.Bytes+out.Partitions[i].Bytes
	}
	out.Seconds = time.Since(began).Seconds()
	out.Matches = out.Planned == out.Records && len(out.Problems) == 0
	return out, nil
}

// rehearse reads the lanes.
func (a *attempt) rehearse(ctx context.Context, out *answer.DryRun, limits map[string]int64) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(dryRunsLanes)
	problems := make([]error, len(a.lanes))
	for i := range a.lanes {
		l := &a.lanes[i]
		group.Go(func() error {
			line := &out.Partitions[i]
			*line = answer.DryRunPartition{Source: l.topic.Source, Target: l.target, Partition: l.stream.Partition}
			limit, has := limits[l.target]
			over := answer.ReplayOversized{Source: l.topic.Source, Target: l.target, Limit: limit}
			hash := newRolling()
			err := a.each(reading, l, 0, &memory{}, func(row *segment.Row) error {
				if a.doc.File == "" && (row.Timestamp < kafka.MinTimestamp || row.Timestamp > kafka.MaxTimestamp) {
					return unwritable(&row.Record)
				}
				if size := l.chosen.size(&row.Record); has && size > limit {
					name(&over, &row.Record, size)
				}
				line.Bytes += row.Bytes()
				hash.add(a.expected(&row.Record))
				return nil
			})
			line.Records, line.Hash = hash.sum()
			if err == nil && over.Records > 0 {
				err = tooMany(&over)
			}
			if err != nil && isTransient(err) {
				return err
			}
			problems[i] = err
			return nil
		})
	}
	err := group.Wait()
	for _, problem := range problems {
		if problem != nil {
			out.Problems = append(out.Problems, fmt.Sprint(problem))
		}
	}
	return err
}

// noted makes a problem of what speaks against the plan, and gives other errors
// back.
func noted(out *answer.DryRun, err error) error {
	if err == nil || isTransient(err) {
		return err
	}
	out.Problems = append(out.Problems, err.Error())
	return nil
}

// isTransient tells errors that say nothing of the plan.
func isTransient(err error) bool {
	kind := schema.KindOf(err)
	return kind == schema.Unavailable || kind == schema.Exhausted || kind == schema.Internal
}
