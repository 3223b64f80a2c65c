package archiver_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// A log with everything that makes offsets go missing: the account of it is
// 100 %, by status and class, and says when each gap was found and why.
func TestCoverageOfWhatKafkaDoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := oddHistory(t, r)
	engine, err := query.New(query.Options{Index: r.index, Store: r.store, Ledger: r.book, Extract: r.rules, Archiver: a.Topics})
	must(t, err)
	coverage, err := engine.Coverage(t.Context(), policy.Everything(), "")
	must(t, err)
	got := map[string]answer.PartitionCoverage{}
	for _, p := range coverage.Partitions {
		got[p.Topic] = p
		if p.Unaccounted != 0 {
			t.Errorf("%s: %d offsets are not accounted for: %+v", p.Topic, p.Unaccounted, p)
		}
		for _, g := range p.Gaps {
			if g.Found.IsZero() || g.Evidence == nil {
				t.Errorf("%s: gap %+v without time or evidence", p.Topic, g)
			}
		}
	}
	if p := got["open"]; p.Committed != 3 || p.Aborted != 3 || p.Marker != 2 || p.GapOffsets != 0 {
		t.Errorf("open: %+v", p.Account)
	}
	p := got["deleted"]
	if p.ArchivedFrom != 5 || p.ArchivedTo != 30 || p.Committed != 18 || p.GapOffsets != 7 || p.Gaps[0].Class != schema.GapBeforeLogStart {
		t.Errorf("deleted: %d–%d %+v %+v", p.ArchivedFrom, p.ArchivedTo, p.Account, p.Gaps)
	}
	if p := got["compacted"]; p.ArchivedTo != 40 || p.GapOffsets == 0 || p.Classes[0].Class != schema.GapCleaned || len(p.Classes) != 1 {
		t.Errorf("compacted: to %d %+v", p.ArchivedTo, p.Account)
	}
	page, err := engine.Gaps(t.Context(), policy.Everything(), answer.GapRequest{Topic: "deleted"})
	must(t, err)
	if n := len(page.Gaps); n != 2 || page.Gaps[1].Class != schema.GapBeforeGenesis || page.Gaps[1].To != 5 || page.Gaps[0].From != 20 || page.Gaps[0].To != 27 {
		t.Errorf("gaps of deleted: %+v", page.Gaps)
	}
	denied := map[string]string{}
	for _, n := range coverage.NotArchived {
		denied[n.Topic] = n.Reason
	}
	if denied["unseen"] == "" || denied["seen"] == "" || len(coverage.Notes) != 1 {
		t.Errorf("not archived: %v, notes %v", denied, coverage.Notes)
	}
}

// oddHistory makes the logs and archives them, with a pause in which Kafka
// deletes and compacts.
func oddHistory(t *testing.T, r *rig) *archiver.Archiver {
	t.Helper()
	all := func(kind kmsg.ACLResourceType, name string) kfake.ACL {
		return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true}
	}
	broker, root := guarded(t, all(kmsg.ACLResourceTypeTopic, "compacted"), all(kmsg.ACLResourceTypeTopic, "deleted"))
	admin := kadm.NewClient(root)
	compact := "compact"
	_, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, "compacted")
	must(t, err)
	_, err = admin.CreateTopic(t.Context(), 1, 1, nil, "deleted")
	must(t, err)
	client := func(extra ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(extra, kgo.SeedBrokers(broker.ListenAddrs()...), kgo.SASL(scram.Auth{User: "root", Pass: "root"}.AsSha256Mechanism()))...)
		must(t, err)
		t.Cleanup(c.Close)
		return c
	}
	send := func(c *kgo.Client, topic string, n int) {
		for i := range n {
			must(t, c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, i%2), Value: []byte("x")}).FirstErr())
		}
	}
	// Nothing takes its place, so that the log starts where it did.
	must(t, root.ProduceSync(t.Context(), &kgo.Record{Topic: "compacted", Key: []byte("keep"), Value: []byte("x")}).FirstErr())
	send(root, "compacted", 9)
	send(root, "deleted", 20)
	offsets := kadm.Offsets{}
	offsets.AddOffset("deleted", 0, 5, -1)
	_, err = admin.DeleteRecords(t.Context(), offsets) // before the archive begins
	must(t, err)
	a, stop := r.archive(t, onGuarded(broker))
	says(t, a, map[string]string{"compacted": "", "deleted": "", "open": "", "unseen": "no Describe", "seen": "no Read"})
	must(t, a.CatchUp(t.Context()))
	_, err = a.Seal(t.Context(), true)
	must(t, err)
	stop()

	send(root, "compacted", 30)
	broker.Compact()
	send(root, "deleted", 10)
	offsets.AddOffset("deleted", 0, 27, -1)
	_, err = admin.DeleteRecords(t.Context(), offsets)
	must(t, err)
	tx := client(kgo.TransactionalID("tx"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		must(t, tx.BeginTransaction())
		send(tx, "open", 3)
		must(t, tx.EndTransaction(t.Context(), end))
	}
	a, _ = r.archive(t, onGuarded(broker))
	must(t, a.CatchUp(t.Context()))
	_, err = a.Seal(t.Context(), true)
	must(t, err)
	return a
}
