package demo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/fx-risk-ai/annals/demo"
)

// moment is when a process is killed: at a request of one kind, which then
// takes effect without the process knowing, or is lost.
type moment struct {
	key  kmsg.Key
	lost bool
}

func (m moment) String() string {
	if m.lost {
		return m.key.Name() + " lost"
	}
	return m.key.Name() + " answered to nobody"
}

// moments are every step that a service takes towards a committed transaction,
// and, right after a kill, the steps of its start.
func moments(working, starting []kmsg.Key) []moment {
	var ms []moment
	for i, key := range working {
		for _, lost := range []bool{true, false} {
			ms = append(ms, moment{key, lost})
			if len(starting) > 0 {
				ms = append(ms, moment{starting[i%len(starting)], lost})
			}
		}
	}
	return ms
}

// victim is a service that runs as a process, is killed (SIGKILL) at one
// moment after the other and started again, and is then left running.
type victim struct {
	spec childSpec

	mu      sync.Mutex
	process *exec.Cmd
	left    []moment
	wait    int // transactions until the next kill
	passed  int // transactions since the moment was due: it may never come
	killed  map[moment]int
	skipped []moment
}

// sees is asked about every request that the broker gets, before it handles it.
func (v *victim) sees(r kmsg.Request) (lost bool) {
	if sender(r) != v.spec.Service {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.left) == 0 || v.process == nil {
		return false
	}
	m := v.left[0]
	if end := kmsg.Key(r.Key()) == kmsg.EndTxn; end && v.wait > 0 {
		v.wait--
		return false
	} else if end && m.key != kmsg.EndTxn {
		if v.passed++; v.passed > 3 { // the client does not send such requests
			v.skipped = append(v.skipped, m)
			v.left, v.passed = v.left[1:], 0
			return false
		}
	}
	if v.wait > 0 || kmsg.Key(r.Key()) != m.key {
		return false
	}
	if err := v.process.Process.Kill(); err != nil {
		return false // it has just ended; run says why
	}
	v.killed[m]++
	v.process, v.left, v.passed = nil, v.left[1:], 0
	if len(v.left) > 0 {
		switch v.left[0].key {
		case kmsg.InitProducerID, kmsg.JoinGroup, kmsg.OffsetFetch: // come at a start
		default:
			v.wait = rand.IntN(4)
		}
	}
	return m.lost
}

// sender is the service that a request comes from, as far as it says so.
func sender(r kmsg.Request) string {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	switch r := r.(type) {
	case *kmsg.ProduceRequest:
		return text(r.TransactionID)
	case *kmsg.EndTxnRequest:
		return r.TransactionalID
	case *kmsg.AddPartitionsToTxnRequest:
		return r.TransactionalID
	case *kmsg.TxnOffsetCommitRequest:
		return r.TransactionalID
	case *kmsg.AddOffsetsToTxnRequest:
		return r.TransactionalID
	case *kmsg.InitProducerIDRequest:
		return text(r.TransactionalID)
	case *kmsg.JoinGroupRequest:
		return r.Group
	case *kmsg.OffsetFetchRequest:
		if len(r.Groups) > 0 {
			return r.Groups[0].Group
		}
		return r.Group
	}
	return ""
}

// run keeps the service running until stop.
func (v *victim) run(t *testing.T, stop <-chan struct{}) {
	for {
		cmd := process(t, v.spec)
		v.mu.Lock()
		v.process = cmd
		v.mu.Unlock()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-stop:
			if err := cmd.Process.Kill(); err != nil {
				t.Errorf("end %s: %v", v.spec.Service, err)
			}
			<-ended
			return
		case err := <-ended:
			v.mu.Lock()
			byUs := v.process == nil
			v.mu.Unlock()
			if !byUs {
				t.Errorf("%s ended by itself: %v", v.spec.Service, err)
				return
			}
		}
	}
}

// process starts a service as a process of its own: this program again.
func process(t testing.TB, spec childSpec) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(b))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// Killing services in mid-load, at every step of their transactions, changes
// neither counts nor windows: verify looks at every record.
func TestKilledServicesGoOnExactly(t *testing.T) {
	starting := []kmsg.Key{kmsg.InitProducerID, kmsg.JoinGroup, kmsg.OffsetFetch}
	t.Run("today's transactions", func(t *testing.T) {
		killEverywhere(t, cluster(t), crisisFrom, crisisTo, 300,
			moments([]kmsg.Key{kmsg.Produce, kmsg.EndTxn, kmsg.TxnOffsetCommit}, starting))
	})
	t.Run("transactions before KIP-890", func(t *testing.T) {
		killEverywhere(t, cluster(t, kfake.MaxVersions(kversion.V3_6_0())), crisisFrom, date("2008-12-31"), 150,
			moments([]kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn}, starting))
	})
}

func killEverywhere(t *testing.T, cluster *kfake.Cluster, from, to time.Time, batch int, moments []moment) {
	brokers := cluster.ListenAddrs()
	e := expect(t, from, to)
	var victims []*victim
	for _, name := range demo.Services() {
		left := moments
		if name == demo.ECBGateway {
			left = slices.DeleteFunc(slices.Clone(moments), func(m moment) bool {
				return slices.Contains([]kmsg.Key{kmsg.TxnOffsetCommit, kmsg.AddOffsetsToTxn, kmsg.JoinGroup, kmsg.OffsetFetch}, m.key)
			})
		}
		victims = append(victims, &victim{
			spec:   childSpec{Service: name, Brokers: brokers, From: from, To: to, Batch: batch},
			left:   left,
			killed: map[moment]int{},
		})
	}
	cluster.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		for _, v := range victims {
			if v.sees(r) {
				return nil, errors.New("the sender was killed"), true
			}
		}
		return nil, nil, false
	})
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, v := range victims {
		running.Go(func() { v.run(t, stop) })
	}
	p := func() pipeline {
		defer running.Wait()
		defer close(stop)
		return verify(t, brokers, e)
	}()
	for _, c := range []struct {
		topic     string
		committed int
	}{{demo.TopicReceived, e.rates}, {demo.TopicEnriched, e.rates}, {demo.TopicVolatility, e.volatilities}, {demo.TopicAlerts, len(p.alerts)}} {
		all := consume(t, brokers, c.topic, c.committed, kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
		t.Logf("%s: %d committed, %d aborted", c.topic, c.committed, len(all)-c.committed)
	}
	for _, v := range victims {
		histogram := ""
		for _, m := range moments {
			if n := v.killed[m]; n > 0 {
				histogram += fmt.Sprintf("\n  %2d  %s", n, m)
			}
		}
		t.Logf("%s was killed at:%s\n  passed by: %v, not reached: %v", v.spec.Service, histogram, v.skipped, v.left)
	}
	for _, v := range victims[1:3] {
		if len(v.killed) < len(moments)-2 {
			t.Errorf("%s was killed at %d moments of %d", v.spec.Service, len(v.killed), len(moments))
		}
	}
}
