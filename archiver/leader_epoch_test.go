package archiver

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// bring brings one record of a leader epoch.
func (a *Archiver) bring(offset int64, epoch int32) {
	a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{{Offset: offset, LeaderEpoch: epoch, Status: schema.Committed}}}, time.Now())
}

// found is what a guard of the partition's doubt found: all is in the log of
// the leader of this epoch, or all but the record that came.
func (a *Archiver) found(t *testing.T, p *partition, leader int32, approved bool) {
	t.Helper()
	if p.guard != doubted {
		t.Fatal("nothing is doubted")
	}
	g := &guard{p: p, stream: p.stream, head: p.head, leader: kafka.Leader{Epoch: leader}, hand: p.hand, expected: p.expected}
	a.guarded(g, finding{outcome: outcomeSame, approved: approved}, nil)
	p.seek = false // the loop has done it
}

func epochs(p *partition) (list []int32) {
	for _, row := range p.rows.all() {
		list = append(list, row.LeaderEpoch)
	}
	return list
}

// The trace of the model: 0:e1 is buffered; an election brings back a replica,
// whose 1:e2 comes; another the first again, with [0:e1 1:e1]. Its log never
// had 1:e2, so [0:e1 1:e2] must not become one branch.
func TestRecordOfAReignThatEndedIsNotTaken(t *testing.T) {
	a, p := looping(0)
	a.bring(0, 1)
	a.bring(1, 2)
	a.found(t, p, 3, false) // e3 has 0:e1, and not 1:e2
	for range 2 {
		a.bring(1, 2) // fetched from the deposed one once more
		if p.guard != doubted || p.rows.len() != 1 {
			t.Fatalf("rows of epochs %v: two histories", epochs(p))
		}
		a.found(t, p, 3, false)
	}
	a.bring(1, 1)
	if p.guard != passed || p.rows.len() != 2 {
		t.Errorf("rows of epochs %v, guard %d: what the leader has is not taken", epochs(p), p.guard)
	}
}

// A record is taken whose leader epoch differs from that of the record before
// it only behind a guard that found it, whether the epoch is higher or lower.
func TestEpochThatDiffersIsGuarded(t *testing.T) {
	for name, c := range map[string]struct{ first, second int32 }{"higher": {1, 2}, "lower": {2, 1}, "from none": {-1, 3}} {
		for _, sealed := range []bool{false, true} {
			a, p := looping(0)
			a.bring(0, c.first)
			if sealed {
				p.release(1, p.head)
			}
			a.bring(1, c.second)
			if p.guard != doubted || p.expected != 1 {
				t.Fatalf("%s, sealed %t: taken without a guard", name, sealed)
			}
			a.found(t, p, 5, true)
			a.bring(1, c.second)
			a.bring(2, c.second)
			if p.guard != passed || p.expected != 3 {
				t.Errorf("%s, sealed %t: guard %d at %d after it was found in the log", name, sealed, p.guard, p.expected)
			}
		}
	}
}

// What a guard approved stands on what was held then.
func TestApprovalEndsWithTheBuffer(t *testing.T) {
	a, p := looping(0)
	a.bring(0, 1)
	a.bring(1, 2)
	g := &guard{p: p, stream: p.stream, head: p.head, leader: kafka.Leader{Epoch: 3}, hand: p.hand, expected: p.expected}
	a.held -= p.discard(p.head) // makeRoom, while the guard ran
	a.guarded(g, finding{outcome: outcomeSame, approved: true}, nil)
	if p.approved != nil {
		t.Error("the record is taken behind others than those that it was found with")
	}
}

// A listing that names another leader is enough: no record need come.
func TestAnotherLeaderIsADoubt(t *testing.T) {
	listed := func(epoch int32) kafka.Topic {
		return kafka.Topic{Name: "t", ID: schema.TopicID{1}, Partitions: []int32{0}, LeaderEpochs: []int32{epoch}}
	}
	a, p := looping(0)
	a.ledBy(listed(4))
	if p.guard != passed || p.epoch != 4 {
		t.Fatalf("nothing is held, and yet guard %d, epoch %d", p.guard, p.epoch)
	}
	a.bring(0, 1)
	a.ledBy(listed(4))
	a.ledBy(listed(-1)) // no leader now
	if p.guard != passed {
		t.Fatal("doubted though nobody else leads")
	}
	for _, epoch := range []int32{5, 4} { // or one that was restored from a copy
		a.ledBy(listed(epoch))
		a.found(t, p, epoch, false)
		if p.epoch != epoch || p.rows.len() != 1 {
			t.Errorf("epoch %d is passed, want %d; %d rows", p.epoch, epoch, p.rows.len())
		}
	}
	recreated := listed(9)
	recreated.ID = schema.TopicID{2}
	if a.ledBy(recreated); p.guard != passed {
		t.Error("another topic's leader is taken for this one's")
	}
}
