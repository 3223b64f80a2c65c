package archiver_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// untilDecided is a ledger that takes no more behind a segment whose marker is
// not archived: the archiver stops there as if it had been killed.
type untilDecided struct{ archiver.Ledger }

func (l untilDecided) Append(ctx context.Context, head ledger.Head, c *schema.Commit) (ledger.Head, error) {
	if head.DecidedBy != nil {
		return ledger.Head{}, schema.Errorf(schema.Invalid, "the test ends at %d", head.Next)
	}
	return l.Ledger.Append(ctx, head, c)
}

// wide is how many records the transaction has: more than the budget holds.
const wide = 200

// begin writes the transaction's records behind what is shared.
func (w *twoHistories) begin(t *testing.T) *kgo.Client {
	t.Helper()
	tx := embeddedtest.KafkaClient(t, w.broker, kgo.TransactionalID("wide"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression())) // or one fetch brings it all
	must(t, tx.BeginTransaction())
	for i := range wide {
		tx.Produce(t.Context(), &kgo.Record{Topic: "log", Value: bytes.Repeat([]byte("x"), 20_000)}, nil)
		if i%20 == 19 {
			must(t, tx.Flush(t.Context()))
		}
	}
	return tx
}

// abortAnew makes the coordinator end the transaction that the copy left open.
func (w *twoHistories) abortAnew(t *testing.T) {
	t.Helper()
	tx := embeddedtest.KafkaClient(t, w.broker, kgo.TransactionalID("wide"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, tx.BeginTransaction())
	must(t, tx.ProduceSync(t.Context(), &kgo.Record{Topic: "log", Value: []byte("next")}).FirstErr())
	must(t, tx.EndTransaction(t.Context(), kgo.TryCommit))
}

// A transaction's marker is lost by an unclean election, its records are not:
// the new leader aborts it. Whether the marker was archived, or rows were
// because it was known ahead, they are archived anew with their new verdict,
// though every one of them is still in the log.
func TestLostMarkerTakesItsVerdictsBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		behind bool // the first archiver ends between the rows and the marker
		elect  bool
	}{
		"behind the cut":             {behind: true, elect: true},
		"behind the cut, same epoch": {behind: true},
		"archived":                   {elect: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			w := newTwoHistories(t)
			tx := w.begin(t)
			must(t, os.CopyFS(w.copy, os.DirFS(w.options.DataDir)))
			if c.behind {
				w.chain = untilDecided{w.book}
			}
			a, stop := w.archive(t, func(o *archiver.Options) { o.Memory = 2 << 20; o.Cut.Bytes = 300_000 })
			time.Sleep(2 * time.Second) // the buffers are full of it by now
			must(t, tx.EndTransaction(t.Context(), kgo.TryCommit))
			embeddedtest.Eventually(t, 20*time.Second, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _ = a.Seal(ctx, true) // it does not go beyond the limit
				head, err := w.book.Head(t.Context(), w.stream)
				if err == nil && head.DecidedBy == nil && head.Next <= shared+wide {
					err = fmt.Errorf("archived up to %d: %v", head.Next, a.Health())
				}
				return err
			})
			stop()
			head, err := w.book.Head(t.Context(), w.stream)
			must(t, err)
			if by := head.DecidedBy; c.behind && (by == nil || by.Offset != shared+wide || by.From != shared || by.Verdict != "committed") {
				t.Fatalf("archived up to %d in the midst of a transaction, decided by %+v", head.Next, by)
			}
			w.setBack(t)
			if c.elect {
				w.elect(t)
			}
			w.abortAnew(t)
			w.chain = nil
			a, _ = w.run(t)
			w.sealed(t, a, w.stream, shared+wide+3)
			current, all, view := w.archivedRows(t)
			if got := points(view.Branches); got != fmt.Sprint(shared) {
				t.Errorf("branches at %q, want one at the transaction's first record", got)
			}
			for _, row := range current {
				want := schema.Committed
				switch {
				case row.Offset >= shared && row.Offset < shared+wide:
					want = schema.Aborted
				case row.Offset == shared+wide, row.Offset == shared+wide+2:
					want = schema.Control
				}
				if row.Status != want {
					t.Fatalf("offset %d is %s, its marker says %s", row.Offset, row.Status, want)
				}
			}
			if len(all) <= len(current) {
				t.Error("what was archived once is gone")
			}
		})
	}
}
