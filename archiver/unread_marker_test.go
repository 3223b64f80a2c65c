package archiver_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
)

// spoiling is a connection to a broker on which one batch never comes sound: a
// bit of its timestamps is flipped in every answer that has it.
type spoiling struct {
	net.Conn
	in   *bufio.Reader
	rest []byte // of the answer that is being read
	base int64  // the batch's
}

func (c *spoiling) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		var length [4]byte
		if _, err := io.ReadFull(c.in, length[:]); err != nil {
			return 0, err
		}
		answer := make([]byte, 4+binary.BigEndian.Uint32(length[:]))
		copy(answer, length[:])
		if _, err := io.ReadFull(c.in, answer[4:]); err != nil {
			return 0, err
		}
		c.spoil(answer)
		c.rest = answer
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// spoil looks for the base offset in front of a batch of one record: magic 2
// stands 16 bytes behind it, 0 for the last offset's delta 23.
func (c *spoiling) spoil(answer []byte) {
	for i := 0; i+61 <= len(answer); i++ {
		if int64(binary.BigEndian.Uint64(answer[i:])) == c.base && answer[i+16] == 2 && binary.BigEndian.Uint32(answer[i+23:]) == 0 {
			answer[i+34] ^= 1
		}
	}
}

// transact writes records as batches of their own, all in one transaction that
// is left open.
func transact(t *testing.T, tx *kgo.Client, n int) {
	t.Helper()
	must(t, tx.BeginTransaction())
	for i := range n {
		must(t, tx.ProduceSync(t.Context(), &kgo.Record{Topic: "log", Value: fmt.Appendf(nil, "record %d", i)}).FirstErr())
	}
}

// A batch that cannot be read stands in the midst of transactions: it is a
// record of one, or a marker. In no case a record takes the verdict of another
// transaction's marker.
func TestTransactionsAroundWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	const commit, abort = kgo.TryCommit, kgo.TryAbort
	for name, c := range map[string]struct {
		spoiled int64
		write   func(t *testing.T, one, two *kgo.Client)
		later   func(t *testing.T, one, two *kgo.Client) // while it is archived
		want    string
	}{
		"an abort marker": {spoiled: 3, want: "aaa-cccm", write: func(t *testing.T, one, _ *kgo.Client) {
			transact(t, one, 3)
			must(t, one.EndTransaction(t.Context(), abort))
			transact(t, one, 3)
			must(t, one.EndTransaction(t.Context(), commit))
		}},
		"a commit marker": {spoiled: 3, want: "ccc-aaam", write: func(t *testing.T, one, _ *kgo.Client) {
			transact(t, one, 3)
			must(t, one.EndTransaction(t.Context(), commit))
			transact(t, one, 3)
			must(t, one.EndTransaction(t.Context(), abort))
		}},
		"a record, and the marker comes": {spoiled: 1, want: "a-am", write: func(t *testing.T, one, _ *kgo.Client) {
			transact(t, one, 3)
			must(t, one.EndTransaction(t.Context(), abort))
		}},
		"a record of an open one": {
			spoiled: 1, want: "c-cm", write: func(t *testing.T, one, _ *kgo.Client) { transact(t, one, 3) },
			later: func(t *testing.T, one, _ *kgo.Client) { must(t, one.EndTransaction(t.Context(), commit)) },
		},
		"a marker behind an older open one": {spoiled: 3, want: "caa-cmm", write: func(t *testing.T, one, two *kgo.Client) {
			transact(t, two, 1)
			transact(t, one, 2)
			must(t, one.EndTransaction(t.Context(), abort))
			transact(t, one, 1)
			must(t, one.EndTransaction(t.Context(), commit))
		}, later: func(t *testing.T, _, two *kgo.Client) { must(t, two.EndTransaction(t.Context(), commit)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			r := newRig(t)
			stream := r.stream("log", r.topic(t, "log", 1), 0)
			var clients [2]*kgo.Client
			for i := range clients {
				clients[i] = embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID(fmt.Sprint("writer-", i)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			}
			c.write(t, clients[0], clients[1])
			a, _ := r.archive(t, func(o *archiver.Options) {
				o.Kafka.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return &spoiling{Conn: conn, in: bufio.NewReader(conn), base: c.spoiled}, nil
				}
			})
			if c.later != nil {
				time.Sleep(4 * time.Second) // five attempts take two
				if head, err := r.book.Head(t.Context(), stream); err == nil && head.Next > c.spoiled {
					t.Fatalf("archived up to %d past an open transaction", head.Next)
				}
				c.later(t, clients[0], clients[1])
			}
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, sealed := a.Seal(ctx, true)
				head, err := r.book.Head(t.Context(), stream)
				if err == nil && head.Next < int64(len(c.want)) {
					err = fmt.Errorf("archived up to %d: %w, %v", head.Next, sealed, a.Health())
				}
				return err
			})
			if got := statuses(t, r, stream); got != c.want {
				t.Errorf("archived %q, want %q", got, c.want)
			}
		})
	}
}

// statuses are a letter for each offset of a stream: committed, aborted, marker,
// or - for a gap.
func statuses(t *testing.T, r *rig, s schema.Stream) string {
	t.Helper()
	var out strings.Builder
	next := int64(0)
	for _, row := range r.rows(t, s) {
		for ; next < row.Offset; next++ {
			out.WriteByte('-')
		}
		out.WriteByte(map[schema.Status]byte{schema.Committed: 'c', schema.Aborted: 'a', schema.Control: 'm'}[row.Status])
		next++
	}
	return out.String()
}
