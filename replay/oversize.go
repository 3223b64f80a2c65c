package replay

import (
	"context"
	"fmt"
	"strings"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// mostNamed bounds how many records are named where all are counted.
const mostNamed = 5

// provenanceBytes bounds what provenance headers add to a record.
const provenanceBytes = 1024

// choice says which committed rows of a topic's segments are planned.
type choice struct {
	*selection
	skipOver int64  // larger ones are left out; 0: none is
	added    int64  // what the replay adds to each, in bytes
	sieve    *sieve // while a filter's choice is made, nil otherwise; wants does not ask it
}

// choice gives a topic's.
func (d *document) choice(t *topicPlan) choice {
	c := choice{selection: &d.Selection, skipOver: t.SkipOver}
	if d.Provenance {
		c.added = provenanceBytes
	}
	return c
}

// wants tells whether a committed row is planned. It needs the columns that
// columns gives.
func (c *choice) wants(row *segment.Row) bool {
	return c.selects(row) && (c.skipOver == 0 || c.size(&row.Record) <= c.skipOver)
}

// size bounds the batch that a record takes in its target.
func (c *choice) size(r *schema.Record) int64 { return batchBytes(r) + c.added }

// columns are those that wants needs.
func (c *choice) columns() segment.Columns {
	columns := segment.Times | segment.Status | c.selection.columns()
	if c.skipOver > 0 {
		columns |= segment.Payload
	}
	return columns
}

// oversize finds the records that are larger than their target takes, before
// the plan has its ID. To skip them makes the limit part of the plan. A target
// whose name is made of the ID does not exist: its limit is the client's.
func (r *resolver) oversize(ctx context.Context) error {
	live, err := r.to.live(ctx)
	if err != nil {
		return err
	}
	for i := range r.doc.Topics {
		t := &r.doc.Topics[i]
		target, limit := r.doc.targetOf(strings.Repeat("0", 64), t), int64(maxRecordBytes)
		if named := t.Target != "" || r.doc.Prefix != nil || r.doc.Targets[t.Source] != ""; named && find(live, target) != nil {
			if limit, err = r.to.limitOf(ctx, target); err != nil {
				return err
			}
		}
		largest, _ := t.largest(&r.doc)
		if largest <= limit {
			if r.doc.Oversized == answer.OversizedSkip && !t.isExact() {
				return schema.WithHint(schema.Errorf(schema.Exhausted, "plan of %s: to skip records that are too large every record must be read for the plan, and the selection is larger than that", t.Source),
					"narrow the selection, or choose fail or raise: then the records are read before the first one is produced")
			}
			continue
		}
		over, err := r.service.countOver(ctx, &r.doc, t, limit)
		if err != nil {
			return err
		}
		over.Target = target
		if t.Target == "" && r.doc.Prefix == nil && r.doc.Targets[t.Source] == "" {
			over.Target = "any topic"
		}
		if err := r.decide(ctx, t, over); err != nil {
			return err
		}
	}
	return nil
}

// decide does with a topic's oversized records what was asked for.
func (r *resolver) decide(ctx context.Context, t *topicPlan, over *answer.ReplayOversized) error {
	switch {
	case r.doc.Oversized == answer.OversizedSkip:
		t.SkipOver = over.Limit
		chosen := r.doc.choice(t)
		for i := range t.Streams {
			for k := range t.Streams[i].Segments {
				p := &t.Streams[i].Segments[k]
				if p.Largest+chosen.added <= over.Limit {
					continue
				}
				if err := r.countSegment(ctx, p, &chosen, true); err != nil {
					return err
				}
			}
		}
	case r.doc.Oversized == "" || over.Limit >= maxRecordBytes:
		return tooMany(over)
	}
	over.Action = r.doc.Oversized
	r.oversized = append(r.oversized, *over)
	return nil
}

// tooMany refuses oversized records: how many, which, and what may be done.
func tooMany(over *answer.ReplayOversized) error {
	named := make([]string, len(over.First))
	for i, at := range over.First {
		named[i] = fmt.Sprintf("partition %d offset %d (%d bytes)", at.Partition, at.Offset, at.Bytes)
	}
	more := ""
	if over.Records > int64(len(named)) {
		more = fmt.Sprintf(" and %d more", over.Records-int64(len(named)))
	}
	hint := "choose oversized skip, which leaves them out and lists them, or raise, which raises the target's " + messageBytes + ", or a target that does not exist"
	if over.Limit >= maxRecordBytes {
		hint = "choose oversized skip, which leaves them out and lists them"
	}
	return schema.WithHint(schema.Errorf(schema.Conflict, "%d records of %s are larger than the %d bytes that %s takes: %s%s",
		over.Records, over.Source, over.Limit, over.Target, strings.Join(named, ", "), more), hint)
}

// countOver counts a topic's planned records that are larger than a limit, and
// names the first. Segments whose largest record is known to fit are not read.
func (s *Service) countOver(ctx context.Context, d *document, t *topicPlan, limit int64) (*answer.ReplayOversized, error) {
	over := &answer.ReplayOversized{Source: t.Source, Limit: limit}
	chosen := d.choice(t)
	for i := range t.Streams {
		l := lane{topic: t, stream: &t.Streams[i], chosen: &chosen}
		for k := range l.stream.Segments {
			p := &l.stream.Segments[k]
			if p.Exact && p.Largest+chosen.added <= limit {
				continue
			}
			_, err := s.eachOf(ctx, &l, p, func(row *segment.Row) error {
				if size := chosen.size(&row.Record); size > limit {
					name(over, &row.Record, size)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return over, nil
}

// name counts an oversized record, and names it if it is among the first.
func name(over *answer.ReplayOversized, r *schema.Record, size int64) {
	if over.Records++; len(over.First) < mostNamed {
		over.First = append(over.First, answer.ReplayPlace{Partition: r.Partition, Offset: r.Offset, Bytes: size})
	}
}

// limitOf is the largest batch that a topic takes.
func (s *destination) limitOf(ctx context.Context, name string) (int64, error) {
	config, err := s.config(ctx, name)
	if schema.KindOf(err) == schema.Permission {
		return maxRecordBytes, nil // what is said of the target tells so
	}
	if err != nil {
		return 0, err
	}
	if n, ok := number(config[messageBytes]); ok {
		return min(n, maxRecordBytes), nil
	}
	return maxRecordBytes, nil
}

// isExact tells whether every record was read for the plan.
func (t *topicPlan) isExact() bool {
	for i := range t.Streams {
		for k := range t.Streams[i].Segments {
			if !t.Streams[i].Segments[k].Exact {
				return false
			}
		}
	}
	return true
}

// measure reads what the plan was too large to read: the largest record of
// each topic, and those that its target will not take. Nothing was produced
// yet. It fills in the targets' Largest.
func (a *attempt) measure(ctx context.Context, targets []target) error {
	for i := range targets {
		t, out := &a.doc.Topics[i], &targets[i]
		if out.Largest > 0 {
			continue
		}
		largest, _ := t.largest(a.doc)
		if !t.isExact() {
			limit := int64(maxRecordBytes)
			if out.Existed && a.doc.Oversized != answer.OversizedRaise {
				var err error
				if limit, err = a.limitOf(ctx, out.Name); err != nil {
					return err
				}
			}
			over := answer.ReplayOversized{Source: t.Source, Target: out.Name, Limit: limit}
			var err error
			if largest, err = a.measureTopic(ctx, t, &over); err != nil {
				return err
			}
			if over.Records > 0 {
				return tooMany(&over)
			}
		}
		out.Largest = offset(largest)
	}
	return nil
}

func (a *attempt) measureTopic(ctx context.Context, t *topicPlan, over *answer.ReplayOversized) (largest int64, err error) {
	chosen := a.doc.choice(t)
	for i := range t.Streams {
		l := lane{topic: t, stream: &t.Streams[i], chosen: &chosen}
		for k := range l.stream.Segments {
			p := &l.stream.Segments[k]
			if p.Exact {
				largest = max(largest, p.Largest+chosen.added)
				continue
			}
			_, err := a.eachOf(ctx, &l, p, func(row *segment.Row) error {
				if row.Timestamp < kafka.MinTimestamp || row.Timestamp > kafka.MaxTimestamp {
					return unwritable(&row.Record)
				}
				size := chosen.size(&row.Record)
				largest = max(largest, size)
				if size > over.Limit {
					name(over, &row.Record, size)
				}
				return nil
			})
			if err != nil {
				return 0, err
			}
		}
	}
	return largest, nil
}
