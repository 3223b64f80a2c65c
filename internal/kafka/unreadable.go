package kafka

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/schema"
)

// Unreadable is what a broker serves at an offset and the client makes no
// records of.
type Unreadable struct {
	// Raw are the bytes as they were fetched: one batch where its length can be
	// believed, else everything from its beginning to the answer's end.
	Raw []byte
	// Header is what was read of the batch's header, for people.
	Header string
	// Err is why it cannot be read.
	Err error
	// Next is the offset behind it, and How from what that follows.
	Next int64
	How  string

	header frame
	rest   []byte // of the answer, behind Raw
	high   int64
}

// Unreadable asks a partition's leader for what stands at an offset, once, and
// tells whether it can be read. Nil: it can, or nothing is served there now.
// Next is not set: see Ends. It holds the answer in memory: the first batch
// whole, and at most a MiB beside it.
//
// ErrOffsetOutOfRange, ErrTopicGone and Unavailable are as of Page.
func (a *Admin) Unreadable(ctx context.Context, s schema.Stream, leader Leader, from int64) (*Unreadable, error) {
	for most := int32(1 << 20); ; most *= 8 {
		got, err := a.fetch(ctx, s, leader, from, most)
		if err != nil {
			return nil, err
		}
		bad, rest, why := suspect(got.RecordBatches, s, from)
		switch {
		case bad == nil:
			return nil, nil
		case !bad.whole && int64(len(got.RecordBatches)) >= int64(most) && most <= 16<<20:
			continue // the answer may have been cut by its limit
		}
		return newUnreadable(bad, rest, why, got.HighWatermark), nil
	}
}

func newUnreadable(bad *frame, rest []byte, why error, high int64) *Unreadable {
	return &Unreadable{Raw: bad.raw, Header: bad.header(), Err: why, header: *bad, rest: rest, high: high}
}

// Batch asks for the batch that holds an offset, as it stands: of a record that
// can be read, and not be archived.
func (a *Admin) Batch(ctx context.Context, s schema.Stream, leader Leader, offset int64) (*Unreadable, error) {
	got, err := a.fetch(ctx, s, leader, offset, 1<<20)
	if err != nil {
		return nil, err
	}
	for in := got.RecordBatches; len(in) > 0; {
		f := firstFrame(in)
		if f.last >= offset || !f.sound {
			f.stretch(in)
			return newUnreadable(&f, in[len(f.raw):], nil, got.HighWatermark), nil
		}
		in = in[len(f.raw):]
	}
	return nil, schema.Errorf(schema.Unavailable, "read %s at %d: no batch was served", s, offset)
}

// Ends finds the offset behind what cannot be read at from, at most the log's
// end, and sets Next and How. What can be known depends on what is broken:
//
//   - the checksum holds: the header is as it was produced, and its last offset
//     delta counts;
//   - it does not: where the next batch begins, in this answer or in another
//     one. The broker finds batches by its own index, so it is asked for higher
//     and higher offsets until one comes that begins behind from;
//   - nothing does: then the log's end is all that is known. How says so.
func (a *Admin) Ends(ctx context.Context, s schema.Stream, leader Leader, from int64, u *Unreadable) error {
	end := max(u.high, from+1)
	set := func(next int64, format string, args ...any) error {
		u.Next, u.How = min(max(next, from+1), end), fmt.Sprintf(format, args...)
		return nil
	}
	h := &u.header
	if h.sound && h.last >= from && h.last < math.MaxInt64 {
		return set(h.last+1, "it ends at %d by its header, whose checksum holds", h.last)
	}
	if next := behind(u.rest, from); next != nil {
		return set(next.base, "the next batch begins at %d", next.base)
	}
	if h.tells && h.base <= from && h.last >= from && h.last < math.MaxInt64 {
		// The broker itself goes by this number when it looks for the next batch.
		if h.last+1 == end {
			return set(end, "it ends at %d by its header, which nothing vouches for, and so does the log", h.last)
		}
		if h.last+1 < end {
			next, err := a.begins(ctx, s, leader, from, h.last+1)
			if err != nil {
				return err
			}
			if next > h.last {
				return set(next, "it ends at %d by its header, and the next batch begins at %d", h.last, next)
			}
		}
	}
	next, err := a.gallop(ctx, s, leader, from, end)
	if err != nil {
		return err
	}
	if next < 0 {
		return set(end, "no batch that begins behind it was served: how far it goes is not known, the log ended at %d", end)
	}
	return set(next, "asked for higher offsets, the broker served a batch that begins at %d: how far it goes is not known better", next)
}

// gallop finds the lowest batch that begins behind from, below end; -1: none.
func (a *Admin) gallop(ctx context.Context, s schema.Stream, leader Leader, from, end int64) (int64, error) {
	low, high, found := from, end, int64(-1)
	for step := int64(1); low+step < end && step > 0; step *= 2 {
		next, err := a.begins(ctx, s, leader, from, low+step)
		if err != nil {
			return -1, err
		}
		if next >= 0 {
			high, found = min(low+step, next), next
			break
		}
		low += step
	}
	for found >= 0 && low+1 < high {
		middle := low + (high-low)/2
		next, err := a.begins(ctx, s, leader, from, middle)
		if err != nil {
			return -1, err
		}
		if next < 0 {
			low = middle
			continue
		}
		high, found = min(middle, next), min(found, next)
	}
	return found, nil
}

// begins is where the first batch begins that is served for an offset and lies
// behind from; -1: there is none. Where an answer begins a batch begins, and
// need not be sound: that is its own affair. What follows must be.
func (a *Admin) begins(ctx context.Context, s schema.Stream, leader Leader, from, offset int64) (int64, error) {
	got, err := a.fetch(ctx, s, leader, offset, 64<<10)
	if err != nil {
		return -1, err
	}
	first := true
	for in := got.RecordBatches; len(in) > 0; first = false {
		f := firstFrame(in)
		switch {
		case f.base > from && (f.sound || first && f.magic >= 0 && f.magic <= 2 && f.base < got.HighWatermark):
			return f.base, nil
		case !f.whole:
			return -1, nil
		}
		in = in[len(f.raw):]
	}
	return -1, nil
}

// The isolation levels of a fetch.
const (
	readUncommitted int8 = iota
	readCommitted
)

// fetch asks once, read uncommitted, and waits for nothing.
func (a *Admin) fetch(ctx context.Context, s schema.Stream, leader Leader, from int64, most int32) (*kmsg.FetchResponseTopicPartition, error) {
	return a.fetchAs(ctx, readUncommitted, s, leader, from, most)
}

func (a *Admin) fetchAs(ctx context.Context, isolation int8, s schema.Stream, leader Leader, from int64, most int32) (*kmsg.FetchResponseTopicPartition, error) {
	doing := fmt.Sprintf("read %s at %d", s, from)
	request := kmsg.NewPtrFetchRequest()
	// The partition's bound counts: where the request's is met, kfake says nothing
	// of aborted transactions.
	request.MinBytes, request.MaxBytes, request.MaxWaitMillis = 0, math.MaxInt32, 0
	request.SessionEpoch = -1 // no fetch session
	request.IsolationLevel = isolation
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = s.Topic, s.TopicID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.PartitionMaxBytes = s.Partition, leader.Epoch, from, most
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	answer, err := a.client.Broker(int(leader.Node)).RetriableRequest(ctx, request)
	if err != nil {
		return nil, unavailable(doing, err)
	}
	response, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return nil, schema.Errorf(schema.Unavailable, "%s: the answer is no fetch", doing)
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, historyError(doing, err)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, schema.Errorf(schema.Unavailable, "%s: the answer is not about this partition", doing)
	}
	got := &response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return nil, historyError(doing, err)
	}
	return got, nil
}
