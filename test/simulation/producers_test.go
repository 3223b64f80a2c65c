//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producers are a plain one, an idempotent one and some transactional ones.
type producers struct {
	kafka *cluster
	draw  *dice
	big   int  // the largest value
	dense bool // values cannot be compressed much

	plain, idempotent *kgo.Client
	transactional     []*writer
	made              int // records, to name them
}

// transaction is one that a producer was told has ended, or not.
type transaction struct {
	ended     bool // and how is known
	committed bool
	// torn: not all of it was acknowledged. Whoever commits then may commit what
	// came later alone, since the client can have begun anew meanwhile.
	torn bool
	// expires is when its coordinator aborts it: whether a commit after that is
	// refused, or is of what the client has begun since, is the coordinator's to say.
	expires time.Time
}

type writer struct {
	id      string
	client  *kgo.Client
	timeout time.Duration // of the client's transactions
	open    *transaction
}

func (p *producers) connect(transactional int) error {
	var err error
	if p.plain, err = p.kafka.client(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())); err != nil {
		return err
	}
	if p.idempotent, err = p.kafka.client(); err != nil {
		return err
	}
	p.transactional = nil
	for i := range transactional {
		p.transactional = append(p.transactional, &writer{id: fmt.Sprintf("writer-%d", i)})
	}
	return nil
}

func (p *producers) close() {
	if p.plain != nil {
		p.plain.Close()
		p.idempotent.Close()
		p.plain, p.idempotent = nil, nil
	}
	for _, w := range p.transactional {
		w.drop()
	}
}

// drop lets go of a writer's client, as a crash does.
func (w *writer) drop() {
	if w.client != nil {
		w.client.Close()
	}
	w.client, w.open = nil, nil
}

// send produces n records one way or another and notes which of them were
// acknowledged.
func (p *producers) send(ctx context.Context, client *kgo.Client, s stream, n int, txn *transaction) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	var records []*kgo.Record
	for range n {
		p.made++
		r := &kgo.Record{
			Topic: s.topic, Partition: s.partition,
			Value:     fmt.Appendf(nil, `{"eventId":"e%d","traceId":"t%d","pad":"%s"}`, p.made, p.made%7, p.pad(p.draw.below(p.big))),
			Timestamp: time.Now().Add(-time.Duration(p.draw.below(5000)) * time.Millisecond),
		}
		if p.draw.chance(0.5) {
			r.Key = fmt.Appendf(nil, "k%d", p.draw.below(5))
		}
		if p.draw.chance(0.3) {
			r.Headers = []kgo.RecordHeader{{Key: "n", Value: []byte{byte(p.made)}}, {Key: "n"}}
		}
		records = append(records, r)
	}
	h := p.kafka.truth[s]
	for _, result := range client.ProduceSync(ctx, records...) {
		if result.Err == nil {
			h.acks = append(h.acks, ack{result.Record.Offset, string(result.Record.Value), txn})
		} else if txn != nil {
			txn.torn = true
		}
	}
}

func (p *producers) pad(n int) string {
	if !p.dense {
		return strings.Repeat("x", n)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = 'A' + byte(p.draw.below(26))
	}
	return string(b)
}

// begin opens a transaction.
func (p *producers) begin(w *writer) error {
	if w.client == nil {
		var err error
		w.timeout = time.Duration(p.draw.within(5, 60)) * time.Second
		w.client, err = p.kafka.client(kgo.TransactionalID(w.id), kgo.TransactionTimeout(w.timeout))
		if err != nil {
			return err
		}
	}
	if w.client.BeginTransaction() != nil {
		w.drop()
		return nil
	}
	w.open = &transaction{expires: time.Now().Add(w.timeout)}
	return nil
}

// end commits or aborts. What fails leaves the outcome to the coordinator.
func (p *producers) end(ctx context.Context, w *writer, commit bool) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if err := w.client.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		w.drop()
		return
	}
	known := !commit || !w.open.torn && time.Now().Before(w.open.expires)
	w.open.ended, w.open.committed = known, commit
	w.open = nil
}
