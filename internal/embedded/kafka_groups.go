package embedded

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answeredBefore is how long before its session would end a member of a group
// is answered.
const answeredBefore = time.Second

// AnswerMembersInTime has a cluster's rebalances end before its members'
// sessions do, whatever they ask for (most clients: sessions of 45 s, rebalances
// of 60 s). To be called before anybody joins.
//
// A member that waits for an answer to its JoinGroup or SyncGroup sends no
// heartbeats, and Kafka keeps it. kfake ends its session: it forgets the member,
// never answers it, and, if it waited for a SyncGroup, counts one too few of
// those that join from then on. So when the member died that leads the group and
// owes it an assignment, the others are forgotten 45 seconds later, join again,
// and wait for one more than there are; and as each that gives up after 70
// seconds and asks again begins the 60 seconds anew after which kfake would go on
// without the missing one, two that are out of step wait for ever. With the
// rebalance over first, the dead leader is forgotten and the others are answered.
//
// What it costs: a member has until then, not longer, to give up its partitions.
func AnswerMembersInTime(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.JoinGroupRequest)
		req.RebalanceTimeoutMillis = min(req.RebalanceTimeoutMillis, req.SessionTimeoutMillis-int32(answeredBefore.Milliseconds()))
		return nil, nil, false
	})
}

// unanswered is a connection's JoinGroup, while kfake owes the answer. kfake
// begins a member's session when it has answered its JoinGroup, and only if the
// connection is still there: a new member that dies before is never forgotten,
// and keeps for ever the partitions that it is given. So kfake hears that the
// connection broke when it has answered.
type unanswered struct {
	mu   sync.Mutex
	over chan struct{} // nil: nothing is owed
}

func (u *unanswered) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = make(chan struct{})
}

func (u *unanswered) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over != nil {
		close(u.over)
		u.over = nil
	}
}

// wait returns when nothing is owed, or after kafkaIdle.
func (u *unanswered) wait() {
	u.mu.Lock()
	over := u.over
	u.mu.Unlock()
	if over == nil {
		return
	}
	timer := time.NewTimer(kafkaIdle)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}
