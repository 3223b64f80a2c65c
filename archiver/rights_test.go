package archiver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// unauthorized makes the broker answer as to a user who may Describe no topic.
func (r *rig) unauthorized(t *testing.T) (allow func()) {
	t.Helper()
	c := r.broker.Cluster()
	over := make(chan struct{})
	host, port, _ := strings.Cut(r.broker.Addr(), ":")
	number := int32(0)
	_, err := fmt.Sscan(port, &number)
	must(t, err)
	id := r.broker.ClusterID()
	c.ControlKey(kmsg.Metadata.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-over:
			return nil, nil, false
		default:
		}
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		response.ClusterID, response.ControllerID = &id, c.CurrentNode()
		response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: c.CurrentNode(), Host: host, Port: number}}
		for _, topic := range request.(*kmsg.MetadataRequest).Topics {
			answer := kmsg.NewMetadataResponseTopic()
			answer.Topic, answer.TopicID, answer.ErrorCode = topic.Topic, topic.TopicID, kerr.TopicAuthorizationFailed.Code
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	return func() { close(over) }
}

// TestRightsGoBeforeTheTopic: who takes a topic down takes its rights away first.
// What was read of it by then is sealed.
func TestRightsGoBeforeTheTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	r.produce(t, "orders", 0, 12)
	a, _ := r.archive(t, endsSoon)
	must(t, a.CatchUp(t.Context()))
	allow := r.unauthorized(t)
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
