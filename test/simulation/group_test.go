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

// TestGroupOutlivesItsMembers has members of a group die while others wait for
// them: those must have the partitions soon. Ten times, as what fires in one
// moment fires in any order.
func TestGroupOutlivesItsMembers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for range 10 {
			leaderDies(t, dir)
			newcomerDies(t, dir)
		}
	})
}

// rig is a coordinator of its own, and a member that does as it is told.
type rig struct {
	t        *testing.T
	c        *cluster
	join     *kmsg.JoinGroupRequest
	raw      *kgo.Client
	assigned assignedTo // of the others
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	r := &rig{t: t, c: newCluster(1, dir), join: kmsg.NewPtrJoinGroupRequest()}
	must(t, r.c.setApart()) // in memory
	must(t, r.c.groups.CreateTopic("topic", 4, nil))
	r.raw = r.client()
	r.join.Group, r.join.SessionTimeoutMillis, r.join.RebalanceTimeoutMillis, r.join.ProtocolType = "group", 45_000, 60_000, "consumer"
	protocol := kmsg.NewJoinGroupRequestProtocol()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics = 1, []string{"topic"}
	protocol.Name, protocol.Metadata = "cooperative-sticky", meta.AppendTo(nil)
	r.join.Protocols = append(r.join.Protocols, protocol)
	return r
}

func (r *rig) client(extra ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(r.c.rooms.DialContext)}, extra...)...)
	must(r.t, err)
	return client
}

func (r *rig) member() *kgo.Client {
	return r.client(kgo.ConsumerGroup("group"), kgo.ConsumeTopics("topic"), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(r.assigned.add), kgo.OnPartitionsRevoked(r.assigned.remove), kgo.OnPartitionsLost(r.assigned.remove))
}

func (r *rig) joins() *kmsg.JoinGroupResponse {
	r.t.Helper()
	answer, err := r.join.RequestWith(r.t.Context(), r.raw)
	must(r.t, err)
	r.join.MemberID = answer.MemberID
	return answer
}

func (r *rig) all(within time.Duration, since string) {
	r.t.Helper()
	for began := time.Now(); r.assigned.n() < 4; time.Sleep(time.Second) {
		if time.Since(began) > within {
			r.t.Fatalf("%d of 4 partitions are assigned, %s after %s", r.assigned.n(), time.Since(began), since)
		}
	}
}

// leaderDies: it owes the others their assignment.
func leaderDies(t *testing.T, dir string) {
	r := newRig(t, dir)
	defer r.c.groups.Close()
	defer r.raw.Close()
	if answer := r.joins(); kerr.ErrorForCode(answer.ErrorCode) != kerr.MemberIDRequired {
		t.Fatal(answer.ErrorCode)
	}
	if answer := r.joins(); answer.LeaderID != r.join.MemberID {
		t.Fatalf("%s leads", answer.LeaderID)
	}
	for range 2 {
		defer r.member().Close()
	}
	time.Sleep(time.Second)
	if answer := r.joins(); answer.LeaderID != r.join.MemberID || len(answer.Members) != 3 {
		t.Fatalf("%s leads %d members", answer.LeaderID, len(answer.Members))
	}
	r.all(2*time.Minute, "the leader died")
}

// newcomerDies: it has asked to join, and was not answered yet, when somebody's
// partitions were to be given away who had died before. They are given to it.
func newcomerDies(t *testing.T, dir string) {
	r := newRig(t, dir)
	defer r.c.groups.Close()
	defer r.member().Close()
	r.all(time.Minute, "the first member came")
	if answer := r.joins(); kerr.ErrorForCode(answer.ErrorCode) != kerr.MemberIDRequired {
		t.Fatal(answer.ErrorCode)
	}
	for range 2 { // the other one gives up half, and joins again
		r.syncs(r.joins())
		time.Sleep(2 * time.Second)
	}
	if n := r.assigned.n(); n != 2 {
		t.Fatalf("the first member has %d of 4 partitions", n)
	}
	r.raw.Close()
	time.Sleep(36 * time.Second) // its session has not ended

	r.raw, r.join.MemberID = r.client(), ""
	if answer := r.joins(); kerr.ErrorForCode(answer.ErrorCode) != kerr.MemberIDRequired {
		t.Fatal(answer.ErrorCode)
	}
	waiting, leave := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = r.join.RequestWith(waiting, r.raw)
	}()
	time.Sleep(100 * time.Millisecond)
	leave()
	r.raw.Close()
	<-asked
	r.all(3*time.Minute, "the newcomer died")
}

func (r *rig) syncs(joined *kmsg.JoinGroupResponse) {
	r.t.Helper()
	must(r.t, kerr.ErrorForCode(joined.ErrorCode))
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = r.join.Group, joined.Generation, joined.MemberID
	sync.ProtocolType, sync.Protocol = joined.ProtocolType, joined.Protocol
	_, err := sync.RequestWith(r.t.Context(), r.raw)
	must(r.t, err)
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
