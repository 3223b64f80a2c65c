package archiver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// TestRightsGoBeforeTheTopic: who takes a topic down takes its rights away first.
// What was read of it by then is sealed.
func TestRightsGoBeforeTheTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 12)
	a, _ := r.archive(t, endsSoon)
	must(t, a.CatchUp(t.Context()))
	allow := r.answers(t, func(*kmsg.MetadataRequest) bool { return true },
		func(*kmsg.MetadataRequestTopic) int16 { return kerr.TopicAuthorizationFailed.Code })
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		for _, known := range a.Topics().Topics {
			if known.Topic == "orders" && !known.Archived {
				return nil
			}
		}
		return fmt.Errorf("not refused: %+v", a.Topics())
	})
	r.deleteTopic(t, "orders")
	allow()
	time.Sleep(4 * time.Second)
	if head, err := r.book.Head(t.Context(), s); err != nil || head.Next != 12 {
		t.Errorf("12 records were read and decided, the chain goes on at %d: %v", head.Next, err)
	}
}
