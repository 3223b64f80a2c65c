package broker_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/verify"
)

// TestReplayPowerCuts takes the power from workers at random moments, as the test of
// that name in package replay does beside the embedded broker.
func TestReplayPowerCuts(t *testing.T) {
	t.Parallel()
	const machines = 2
	cuts := 40
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		cuts = 400
	}
	cluster := single.of(t)
	embeddedtest.ClickHouse(t) // or each of the machines is skipped, and no moment counted
	moments := &replaytest.Moments{}
	t.Cleanup(func() { moments.Report(t, cuts/machines*machines) })
	for i := range machines {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, cluster)
			s := r.topic(t, "source", 2, map[string]string{"retention.ms": "-1"})
			for partition := range int32(2) {
				r.produce(t, at(s, partition), 90)
			}
			a, stop := r.archive(t, nil)
			sources := []*verify.Held{r.archived(t, a, s), r.archived(t, a, at(s, 1))}
			stop()
			brokers, err := replay.Connect(r.kafka())
			must(t, err)
			t.Cleanup(brokers.Close)
			(&replaytest.Cuts{
				Brokers: brokers, Store: r.store, Ledger: r.book, Topic: s.Topic, Prefix: fmt.Sprintf("cut%d-", i),
				Options: replay.Options{
					PositionTopic: positionTopic, Worker: "cut", Lease: 150 * time.Millisecond, Poll: 20 * time.Millisecond, Batch: 2 << 10,
				},
				Moments: moments,
				Check: func(t *testing.T, plan *answer.ReplayPlan) {
					t.Helper()
					for partition, source := range sources {
						r.isReplayed(t, plan.Topics[0].Target, int32(partition), source.Rows)
					}
				},
			}).Run(t, cuts/machines)
		})
	}
}
