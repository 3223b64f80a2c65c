package replay_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestPowerCuts takes the power from a worker's machine at random moments, with the
// request at hand never sent, unanswered, or on its way: each planned record is in the
// target once, in order. Others are made beside Kafka itself (test/broker).
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	const machines = 4 // at once: most of a cut is waiting for a lease
	cuts := 60
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		cuts = 1000
	}
	moments := &replaytest.Moments{}
	t.Cleanup(func() { moments.Report(t, cuts/machines*machines) })
	for i := range machines {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			archived := r.topic(t, "orders", 2, 120, 50)
			(&replaytest.Cuts{
				Brokers: r.cluster, Store: r.store, Ledger: r.book, Topic: "orders", Prefix: "cut",
				Options: replay.Options{
					PositionTopic: positions, Worker: "cut", Lease: 80 * time.Millisecond, Poll: 10 * time.Millisecond, Batch: 1 << 10,
				},
				Moments: moments,
				Check:   func(t *testing.T, plan *answer.ReplayPlan) { t.Helper(); r.isExact(t, plan, archived) },
			}).Run(t, cuts/machines)
		})
	}
}
