package replay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"iter"
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
	receipt := &answer.Receipt{Produced: a.claim.produced.Load(), Exclusive: true, Matches: true, Partitions: make([]answer.ReceiptPartition, len(a.lanes))}
	group, comparing := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i := range a.lanes {
		l := &a.lanes[i]
		group.Go(func() (err error) {
			b := bounds[l.target][l.stream.Partition]
			if b.Err != nil {
				return schema.Errorf(schema.Unavailable, "list offsets of %s/%d: %w", l.target, l.stream.Partition, b.Err)
			}
			receipt.Partitions[i], err = a.compare(comparing, l, byName[l.target], b.HighWatermark, st.Producers)
			return err
		})
	}
	if err := group.Wait(); err != nil {
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

// addLine adds a partition to its receipt's totals.
func addLine(r *answer.Receipt, p *answer.ReceiptPartition) {
	r.Planned += p.Planned
	r.Read += p.Read
	r.ReadBack += p.ReadBack
	r.Matches = r.Matches && p.Matches
	if p.Foreign > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("not exclusive: %d records of other producers stand in %s/%d between offsets %d and %d", p.Foreign, p.Target, p.Partition, p.From, p.To))
	}
}

// others notes partitions that nothing was replayed into and that grew.
func others(targets []target, lanes []lane, bounds map[string]map[int32]kafka.Offsets) []string {
	var notes []string
	for _, t := range targets {
		for partition, start := range t.Starts {
			planned := slices.ContainsFunc(lanes, func(l lane) bool { return l.target == t.Name && int(l.stream.Partition) == partition })
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
	own := a.own(ctx, at, &line, producers)
	next, stop := iter.Pull2(own)
	defer stop()
	planned, readBack, places := newRolling(), newRolling(), &mapper{attempt: a}
	differ := func(format string, args ...any) {
		if line.Difference == "" {
			line.Difference = fmt.Sprintf(format, args...)
		}
	}
	err := a.each(ctx, l, 0, false, func(row *segment.Row) error {
		want := planned.add(a.doc.outgoing(a.claim.id, &row.Record))
		record, err, more := next()
		switch {
		case err != nil:
			return err
		case !more:
			differ("the record of source offset %d is missing", row.Offset)
		default:
			a.claim.readBack.Add(1)
			if readBack.add(record) != want {
				differ("offset %d is not the record of source offset %d", record.Offset, row.Offset)
			}
			if line.Difference == "" {
				return places.add(ctx, row.Offset, record.Offset)
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
		readBack.add(record)
		differ("offset %d was not planned", record.Offset)
	}
	if err != nil {
		return line, err
	}
	line.Planned = l.planned()
	line.Read, line.PlannedHash = planned.sum()
	line.ReadBack, line.ReadBackHash = readBack.sum()
	line.Matches = line.Planned == line.Read && line.Read == line.ReadBack && line.PlannedHash == line.ReadBackHash
	if line.Matches {
		err = places.flush(ctx)
		line.Offsets = places.pieces
	}
	return line, err
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
	hash hash.Hash
	one  hash.Hash
	n    int64
}

func newRolling() *rolling { return &rolling{hash: sha256.New(), one: sha256.New()} }

// add takes one record and returns its own digest.
func (h *rolling) add(r *schema.Record) schema.Digest {
	h.one.Reset()
	h.number(r.Timestamp)
	h.bytes(r.Key)
	h.bytes(r.Value)
	h.number(int64(len(r.Headers)))
	for i := range r.Headers {
		h.bytes([]byte(r.Headers[i].Name))
		h.bytes(r.Headers[i].Value)
	}
	var digest schema.Digest
	h.one.Sum(digest[:0])
	h.hash.Write(digest[:])
	h.n++
	return digest
}

func (h *rolling) number(n int64) {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(n))
	h.one.Write(raw[:])
}

// bytes hashes the length first; null is not empty.
func (h *rolling) bytes(b []byte) {
	if b == nil {
		h.number(-1)
		return
	}
	h.number(int64(len(b)))
	h.one.Write(b)
}

func (h *rolling) sum() (n int64, text string) {
	return h.n, schema.Digest(h.hash.Sum(nil)).String()
}
