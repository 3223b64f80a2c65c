//go:build synctests

package simulation

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestGroupOutlivesItsLeader has the leader of a group die when it owes the
// others their assignment: they must have the partitions soon. Ten times, as
// what fires in one moment fires in any order.
func TestGroupOutlivesItsLeader(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for range 10 {
			leaderDies(t, dir)
		}
	})
}

func leaderDies(t *testing.T, dir string) {
	c := newCluster(1, dir)
	if err := c.setApart(); err != nil { // in memory
		t.Fatal(err)
	}
	defer c.groups.Close()
	if err := c.groups.CreateTopic("topic", 4, nil); err != nil {
		t.Fatal(err)
	}
	client := func(extra ...kgo.Opt) *kgo.Client {
		client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(c.rooms.DialContext)}, extra...)...)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	leader := client()
	defer leader.Close()
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = "group", 45_000, 60_000, "consumer"
	protocol := kmsg.NewJoinGroupRequestProtocol()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics = 1, []string{"topic"}
	protocol.Name, protocol.Metadata = "cooperative-sticky", meta.AppendTo(nil)
	join.Protocols = append(join.Protocols, protocol)
	joins := func() *kmsg.JoinGroupResponse {
		answer, err := join.RequestWith(t.Context(), leader)
		if err != nil {
			t.Fatal(err)
		}
		join.MemberID = answer.MemberID
		return answer
	}
	if answer := joins(); kerr.ErrorForCode(answer.ErrorCode) != kerr.MemberIDRequired {
		t.Fatal(answer.ErrorCode)
	}
	if answer := joins(); answer.LeaderID != join.MemberID {
		t.Fatalf("%s leads", answer.LeaderID)
	}
	var assigned assignedTo
	for range 2 {
		member := client(kgo.ConsumerGroup("group"), kgo.ConsumeTopics("topic"), kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(assigned.add), kgo.OnPartitionsRevoked(assigned.remove), kgo.OnPartitionsLost(assigned.remove))
		defer member.Close()
	}
	time.Sleep(time.Second)
	if answer := joins(); answer.LeaderID != join.MemberID || len(answer.Members) != 3 {
		t.Fatalf("%s leads %d members", answer.LeaderID, len(answer.Members))
	}
	began := time.Now()
	for assigned.n() < 4 {
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("%d of 4 partitions are assigned, %s after the leader died", assigned.n(), time.Since(began))
		}
		time.Sleep(time.Second)
	}
	t.Logf("the partitions are assigned %s after the leader died", time.Since(began))
}

// assignedTo counts the partitions that members have.
type assignedTo struct {
	mu    sync.Mutex
	count int
}

func (a *assignedTo) n() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

func (a *assignedTo) add(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count += len(partitions["topic"])
}

func (a *assignedTo) remove(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count -= len(partitions["topic"])
}
