package archiver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// refuse makes the brokers answer each request of a kind with an error, until
// the test says otherwise.
func (r *rig) refuse(key kmsg.Key, err *kerr.Error) (enough func()) {
	c := r.broker.Cluster()
	over := make(chan struct{})
	c.ControlKey(key.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-over:
			return nil, nil, false
		default:
		}
		c.KeepControl()
		switch response := request.ResponseKind().(type) {
		case *kmsg.JoinGroupResponse:
			response.ErrorCode = err.Code
			return response, nil, true
		case *kmsg.FindCoordinatorResponse:
			response.ErrorCode = err.Code
			for _, key := range request.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
				response.Coordinators = append(response.Coordinators, kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: -1, ErrorCode: err.Code})
			}
			return response, nil, true
		default:
			return nil, nil, false
		}
	})
	return func() { close(over) }
}

// Who cannot join the group is assigned nothing, so that nothing fails: Health
// and the metrics say so, with what to do, until it has joined.
func TestOutsideTheGroupIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  kmsg.Key
		err  *kerr.Error
		says string
		hint string
	}{
		"not allowed":            {kmsg.JoinGroup, kerr.GroupAuthorizationFailed, "GROUP_AUTHORIZATION_FAILED", "grant Read"},
		"fenced":                 {kmsg.JoinGroup, kerr.FencedInstanceID, "FENCED_INSTANCE_ID", "static member name"},
		"no coordinator":         {kmsg.FindCoordinator, kerr.CoordinatorNotAvailable, "join group", "coordinator"},
		"coordinator that loads": {kmsg.JoinGroup, kerr.CoordinatorLoadInProgress, "join group", "coordinator"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			r := newRig(t)
			id := r.topic(t, "log", 1)
			r.produce(t, "log", 0, 3)
			enough := r.refuse(c.key, c.err)
			registry := prometheus.NewRegistry()
			a, _ := r.archive(t, func(o *archiver.Options) { o.Outside, o.Registerer = 2*time.Second, registry })
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				said := a.Health()["kafka"]
				if !strings.Contains(said, "consumer group") || !strings.Contains(said, c.says) || !strings.Contains(said, c.hint) {
					return fmt.Errorf("Health says %q, %v s outside", said, gauged(t, registry, "annals_archiver_outside_group_seconds"))
				}
				return nil
			})
			for range 10 { // it does not come and go with each attempt
				if a.Health()["kafka"] == "" || gauged(t, registry, "annals_archiver_outside_group_seconds") <= 0 {
					t.Fatal("it is said no more, and nothing has changed")
				}
				time.Sleep(100 * time.Millisecond)
			}
			enough()
			r.sealed(t, a, r.stream("log", id, 0), 3)
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				if said := a.Health(); len(said) > 0 || gauged(t, registry, "annals_archiver_outside_group_seconds") != 0 {
					return fmt.Errorf("it has joined, and Health says %v", said)
				}
				return nil
			})
		})
	}
}
