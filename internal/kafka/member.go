package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/schema"
)

// membership is whether the client is a member of its group. The client says
// nothing while it is not: it asks for the coordinator, or waits for the others'
// answers, as long as it takes. Its methods may be called from anywhere.
type membership struct {
	group string

	mu    sync.Mutex
	wants bool      // it was asked to join
	since time.Time // that it is no member; zero: it is one
	err   error     // what ended or prevented the last session; nil: nothing is known
}

// want notes that there is something to join for.
func (m *membership) want() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.wants {
		m.wants, m.since = true, time.Now()
	}
}

// joined is called at every session's begin, whatever it assigns.
func (m *membership) joined(context.Context, *kgo.Client, map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since, m.err = time.Time{}, nil
}

// leaves notes that a session ended, as at the begin of a rebalance.
func (m *membership) leaves() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() {
		m.since = time.Now()
	}
}

// OnGroupManageError implements kgo.HookGroupManageError.
func (m *membership) OnGroupManageError(err error) {
	m.leaves()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// outside is Consumer.Outside.
func (m *membership) outside() (since time.Time, refused bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.wants || m.since.IsZero() {
		return time.Time{}, false, nil
	}
	if m.err == nil {
		return m.since, false, schema.WithHint(schema.Errorf(schema.Unavailable, "join group %s: no answer", m.group),
			"see whether its coordinator is up (the partitions of __consumer_offsets need a leader), and whether another member of the group holds a rebalance up")
	}
	kind, hint := schema.Unavailable, "the client goes on trying; see the log of the group's coordinator"
	switch {
	case errors.Is(m.err, kerr.GroupAuthorizationFailed):
		kind, hint = schema.Permission, fmt.Sprintf("grant Read on the consumer group %s to this user", m.group)
	case errors.Is(m.err, kerr.TopicAuthorizationFailed):
		kind, hint = schema.Permission, "grant Describe and Read on the topics to this user"
	case errors.Is(m.err, kerr.FencedInstanceID):
		hint = "another process joins under the same static member name: each needs its own"
	case errors.Is(m.err, kerr.GroupMaxSizeReached):
		hint = "the group has as many members as the broker's group.max.size: stop some, or raise it"
	case errors.Is(m.err, kerr.InconsistentGroupProtocol):
		hint = "members that balance in another way use the same group: give the archivers a group of their own"
	}
	return m.since, true, schema.WithHint(schema.Errorf(kind, "join group %s: %w", m.group, m.err), hint)
}

// Outside tells since when the consumer is no member of its group, and so is
// assigned nothing; zero: it is one, or has nothing to join for. While the group
// rebalances it is outside too. refused tells that somebody gave the error as the
// reason; else nobody answers, and the error says that. It may be called from
// anywhere.
func (c *Consumer) Outside() (since time.Time, refused bool, err error) { return c.member.outside() }
