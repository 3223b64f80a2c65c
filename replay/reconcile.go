package replay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"iter"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// reconcile reads the source again from the segments and the target from
// Kafka, and compares them record by record.
func (a *attempt) reconcile(ctx context.Context) (*answer.Receipt, error) {
	a.claim.readBack.Store(0)
	st := a.claim.state()
	var names []string
	byName := map[string]*target{}
	for i := range st.Targets {
		names = append(names, st.Targets[i].Name)
		byName[st.Targets[i].Name] = &st.Targets[i]
	}
	bounds, err := a.cluster.Offsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	receipt := &answer.Receipt{Produced: a.claim.produced.Load(), Exclusive: true, Matches: true}
	if a.doc.spreads() {
		receipt.Partitions, err = a.compareSpread(ctx, bounds, st)
	} else {
		receipt.Partitions, err = a.compareLanes(ctx, bounds, byName, st.Producers)
	}
	if err != nil {
		return nil, err
	}
	for i := range receipt.Partitions {
		addLine(receipt, &receipt.Partitions[i])
	}
	receipt.Notes = append(receipt.Notes, others(st.Targets, a.lanes, bounds)...)
	receipt.Exclusive = len(receipt.Notes) == 0
	receipt.Matches = receipt.Matches && receipt.Planned == receipt.Read && receipt.Planned == receipt.Produced && receipt.Planned == receipt.ReadBack
	return receipt, nil
}

// compareLanes holds each source partition against the same one of its target.
func (a *attempt) compareLanes(ctx context.Context, bounds map[string]map[int32]kafka.Offsets, targets map[string]*target, producers []offset) ([]answer.ReceiptPartition, error) {
	lines := make([]answer.ReceiptPartition, len(a.lanes))
	group, comparing := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i := range a.lanes {
		l := &a.lanes[i]
		group.Go(func() (err error) {
			b := bounds[l.target][l.stream.Partition]
			if b.Err != nil {
				return schema.Errorf(schema.Unavailable, "list offsets of %s/%d: %w", l.target, l.stream.Partition, b.Err)
			}
			lines[i], err = a.compare(comparing, l, targets[l.target], b.HighWatermark, producers)
			return err
		})
	}
	return lines, group.Wait()
}

// addLine adds a partition to its receipt's totals.
func addLine(r *answer.Receipt, p *answer.ReceiptPartition) {
	r.Planned += p.Planned
	r.Read += p.Read
	r.ReadBack += p.ReadBack
	r.Matches = r.Matches && p.Matches
	if p.Foreign > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("not exclusive: %d records of other producers stand in %s/%d between offsets %d and %d", p.Foreign, p.Target, targetPartition(p), p.From, p.To))
	}
}

// others notes partitions that nothing was replayed into and that grew.
func others(targets []target, lanes []lane, bounds map[string]map[int32]kafka.Offsets) []string {
	var notes []string
	for i, t := range targets {
		if isAgain(targets, i) {
			continue
		}
		for partition, start := range t.Starts {
			planned := slices.ContainsFunc(lanes, func(l lane) bool { return l.target == t.Name && l.mayTake(int32(partition)) })
			if end := bounds[t.Name][int32(partition)].HighWatermark; !planned && end > int64(start) {
				notes = append(notes, fmt.Sprintf("not exclusive: %s/%d, into which nothing was replayed, grew from offset %d to %d", t.Name, partition, start, end))
			}
		}
	}
	return notes
}

// compare holds one partition of the target against its lane. to is where the
// target ends now.
func (a *attempt) compare(ctx context.Context, l *lane, t *target, to int64, producers []offset) (answer.ReceiptPartition, error) {
	line := answer.ReceiptPartition{
		Source: l.topic.Source, Target: l.target, Partition: l.stream.Partition,
		From: int64(t.Starts[l.stream.Partition]), To: to,
	}
	at := schema.Stream{Topic: l.target, TopicID: *t.ID, Partition: l.stream.Partition}
	if err := a.stable(ctx, at, to); err != nil {
		return line, err
	}
	places := &mapper{attempt: a}
	if err := a.match(ctx, l, &line, a.own(ctx, at, &line, producers), places.add); err != nil || !line.Matches {
		return line, err
	}
	err := places.flush(ctx)
	line.Offsets = places.pieces
	return line, err
}

// match holds what was read back, in order, against a lane, and calls place with the
// offsets of each pair up to the first difference.
func (a *attempt) match(ctx context.Context, l *lane, line *answer.ReceiptPartition, own iter.Seq2[*schema.Record, error], place func(ctx context.Context, source, target int64) error) error {
	next, stop := iter.Pull2(own)
	defer stop()
	planned, readBack := newRolling(), newRolling()
	differ := func(format string, args ...any) {
		if line.Difference == "" {
			line.Difference = fmt.Sprintf(format, args...)
		}
	}
	err := a.each(ctx, l, 0, nil, func(row *segment.Row) error {
		want := planned.add(a.expected(&row.Record))
		record, err, more := next()
		switch {
		case err != nil:
			return err
		case !more:
			differ("the record of source offset %d is missing", row.Offset)
		default:
			a.claim.readBack.Add(1)
			if readBack.add(a.found(record)) != want {
				differ("offset %d is not the record of source offset %d", record.Offset, row.Offset)
			}
			if line.Difference == "" {
				return place(ctx, row.Offset, record.Offset)
			}
		}
		return nil
	})
	for err == nil {
		record, readErr, more := next()
		if err = readErr; err != nil || !more {
			break
		}
		a.claim.readBack.Add(1)
		readBack.add(a.found(record))
		differ("offset %d was not planned", record.Offset)
	}
	if err != nil {
		return err
	}
	line.Planned = l.planned()
	line.Read, line.PlannedHash = planned.sum()
	line.ReadBack, line.ReadBackHash = readBack.sum()
	line.Matches = line.Difference == "" && line.Planned == line.Read && line.Read == line.ReadBack && line.PlannedHash == line.ReadBackHash
	return nil
}

// planned counts a lane's records.
func (l *lane) planned() (n int64) {
	for i := range l.stream.Segments {
		n += l.stream.Segments[i].Records
	}
	return n
}

// own yields the job's records in the target, as readers of committed records
// get them, and counts those of others.
func (a *attempt) own(ctx context.Context, at schema.Stream, line *answer.ReceiptPartition, producers []offset) iter.Seq2[*schema.Record, error] {
	return func(yield func(*schema.Record, error) bool) {
		for record, err := range a.cluster.Range(ctx, at, line.From, line.To, kafka.ReadCommitted) {
			switch {
			case errors.Is(err, kafka.ErrOffsetOutOfRange):
				yield(nil, schema.Errorf(schema.KindOf(err), "everything was produced, and cannot be compared: %s/%d has deleted records from offset %d on meanwhile, as its retention or somebody asked (retention counts by records' own times; a target that a replay makes keeps them): %w",
					at.Topic, at.Partition, line.From, err))
				return
			case err != nil:
				yield(nil, err)
				return
			case record.Status == schema.Control:
			case !slices.Contains(producers, offset(record.ProducerID)):
				line.Foreign++
			default:
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}

// rolling hashes records in order: SHA-256 over the digests of each.
type rolling struct {
	hash    hash.Hash
	scratch []byte // of the record at hand
	n       int64
}

func newRolling() *rolling { return &rolling{hash: sha256.New()} }

// keptScratch bounds what is held between records.
const keptScratch = 1 << 20

// add takes one record and returns its own digest.
func (h *rolling) add(r *schema.Record) schema.Digest {
	b := binary.BigEndian.AppendUint64(h.scratch[:0], uint64(r.Timestamp))
	b = appendSized(b, r.Key)
	b = appendSized(b, r.Value)
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.Headers)))
	for i := range r.Headers {
		name := r.Headers[i].Name
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(name))), name...)
		b = appendSized(b, r.Headers[i].Value)
	}
	digest := schema.Digest(sha256.Sum256(b))
	if h.scratch = b[:0]; cap(b) > keptScratch {
		h.scratch = nil
	}
	h.hash.Write(digest[:])
	h.n++
	return digest
}

// appendSized puts the length first; null is not empty.
func appendSized(to, b []byte) []byte {
	if b == nil {
		return binary.BigEndian.AppendUint64(to, math.MaxUint64)
	}
	return append(binary.BigEndian.AppendUint64(to, uint64(len(b))), b...)
}

func (h *rolling) sum() (n int64, text string) {
	return h.n, schema.Digest(h.hash.Sum(nil)).String()
}
