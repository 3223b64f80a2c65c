package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/broker"
)

// as logs in.
func as(user, password string) func(*archiver.Options) {
	return func(o *archiver.Options) {
		o.Kafka.SASL = kafka.SASL{Mechanism: "SCRAM-SHA-256", Username: user, Password: password}
	}
}

// grant gives the archiver's user rights on topics, and on its group.
func (r *rig) grant(t *testing.T, user string, operations []kadm.ACLOperation, topics ...string) {
	t.Helper()
	acls := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").Operations(operations...).ResourcePatternType(kadm.ACLPatternLiteral)
	if len(topics) > 0 {
		acls = acls.Topics(topics...)
	} else {
		acls = acls.Groups(r.name)
	}
	created, err := r.admin.CreateACLs(t.Context(), acls)
	must(t, err)
	for _, one := range created {
		must(t, one.Err)
	}
}

// state waits for what the archiver says of a topic.
func state(t *testing.T, a *archiver.Archiver, topic string, is func(answer.TopicState) bool) answer.TopicState {
	t.Helper()
	var last answer.TopicState
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		for _, one := range a.Topics().Topics {
			if one.Topic == topic {
				if last = one; is(one) {
					return one
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("of %s the archiver says at last: %+v; in its way: %v", topic, last, a.Health())
	return last
}

// TestPermissions: a login and the least rights; a topic that may not be read
// is named, with the reason, and archived once it may be.
func TestPermissions(t *testing.T) {
	t.Parallel()
	r := newRig(t, broker.Start(t, broker.Options{Users: map[string]string{"annals": "secret"}}))
	open, closed := r.topic(t, "open", 1, nil), r.topic(t, "closed", 1, nil)
	hidden := r.topic(t, "hidden", 1, nil)
	for _, s := range []schema.Stream{open, closed, hidden} {
		r.produce(t, s, 10)
	}
	r.grant(t, "annals", []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe}, open.Topic)
	r.grant(t, "annals", []kadm.ACLOperation{kadm.OpDescribe}, closed.Topic)

	a, _ := r.archive(t, as("annals", "secret"))
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if said := a.Health()["kafka"]; !strings.Contains(said, "GROUP_AUTHORIZATION_FAILED") {
			return fmt.Errorf("without Read on the group Health says %q", said)
		}
		return nil
	})
	r.grant(t, "annals", []kadm.ACLOperation{kadm.OpRead}) // on the group
	if h := r.archived(t, a, open); len(h.Rows) != 10 {
		t.Errorf("%d rows", len(h.Rows))
	}
	refused := state(t, a, closed.Topic, func(s answer.TopicState) bool { return !s.Archived })
	if !strings.Contains(refused.Reason, "Read") {
		t.Errorf("a topic without Read is refused so: %q", refused.Reason)
	}
	well(t, a) // what is refused is said by Topics, and is nobody's fault
	must(t, a.CatchUp(t.Context()))

	r.grant(t, "annals", []kadm.ACLOperation{kadm.OpRead}, closed.Topic)
	if h := r.archived(t, a, closed); len(h.Rows) != 10 || h.Base != 0 {
		t.Errorf("granted later: %d rows from %d", len(h.Rows), h.Base)
	}
	well(t, a)
}

// TestWrongPassword is said, and the archiver goes on trying.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t, broker.Start(t, broker.Options{Users: map[string]string{"annals": "secret"}}))
	a, _ := r.archive(t, as("annals", "wrong"))
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		said := strings.ToLower(a.Health()["kafka"])
		if !strings.Contains(said, "authentication") {
			return fmt.Errorf("Health says %q", said)
		}
		return nil
	})
	t.Logf("Health says %q", a.Health()["kafka"])
}
