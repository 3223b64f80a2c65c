package archiver

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// behind finds by brute force what a commit that ends at next must name: of
// the markers at next or above, the last that decided a record below, and the
// first record that any of them decided.
func behind(log []schema.Record, next int64) *schema.Decider {
	var d *schema.Decider
	for i := range log {
		if log[i].Status != schema.Undecided || log[i].Offset >= next {
			continue
		}
		for j := i + 1; j < len(log); j++ {
			verdict, ok := verdictOf(kafka.MarkerOf(log[j].Key))
			if log[j].Status != schema.Control || !ok || log[j].ProducerID != log[i].ProducerID {
				continue
			}
			if log[j].Offset >= next {
				first := log[i].Offset
				if d != nil {
					first = min(first, d.From)
				}
				if d == nil || log[j].Offset > d.Offset {
					d = &schema.Decider{Offset: log[j].Offset, LeaderEpoch: log[j].LeaderEpoch, ProducerID: log[j].ProducerID, Verdict: verdict.String()}
				}
				d.From = first
			}
			break
		}
	}
	return d
}

// Wherever cuts fall, whether verdicts came with their markers or were skimmed
// ahead: a commit names the last marker behind it that decided rows below it.
// Who opens the partition anew carries that on, and knows the first row at
// least.
func TestCommitNamesTheMarkerBehindIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, verdicts := history(t)
		stable := len(log)
		if i := slices.Index(verdicts, schema.Undecided); i >= 0 {
			stable = i
		}
		p := opened(0)
		if stable > 0 && rapid.Bool().Draw(t, "skimmed") {
			s := newSkim(0, log[stable-1].Offset+1)
			s.take(&kafka.Batch{Records: slices.Clone(log)})
			p.known = &s.endings
		}
		now, restarted := time.Now(), false
		for i := 0; i < len(log); {
			k := min(len(log), i+rapid.IntRange(1, 9).Draw(t, "batch"))
			p.take(&kafka.Batch{Records: slices.Clone(log[i:k])}, now)
			i = k
			if p.decided == 0 || !rapid.Bool().Draw(t, "cut") {
				continue
			}
			n := rapid.IntRange(1, p.decided).Draw(t, "rows")
			j := p.cut(cutAsked, n, now)
			want, got := behind(log, j.next), j.decidedBy
			switch {
			case (want == nil) != (got == nil):
				t.Fatalf("cut at %d names %+v, want %+v", j.next, got, want)
			case want == nil:
			case restarted && got.From <= want.From:
				want.From = got.From
				fallthrough
			default:
				if *want != *got {
					t.Fatalf("cut at %d names %+v, want %+v", j.next, got, want)
				}
			}
			head := ledger.Head{Commit: p.head.Commit, Next: j.next, DecidedBy: got}
			p.release(n, head)
			if rapid.Bool().Draw(t, "opened anew") {
				restarted = true
				p = newPartition(p.stream, head)
				i = slices.IndexFunc(log, func(r schema.Record) bool { return r.Offset >= head.Next })
				if i < 0 {
					return
				}
			}
		}
	})
}

// What was skimmed over several leader epochs is believed only when a guard
// found all of it in one log.
func TestSkimOverEpochsIsGuarded(t *testing.T) {
	for _, holds := range []bool{true, false} {
		a, p := looping(0)
		a.takeBack(p, 2)
		p.seek = false
		for offset, epoch := range []int32{3, 4} {
			r := schema.Record{Offset: int64(offset), ProducerID: 1, Status: schema.Undecided, LeaderEpoch: epoch}
			if offset == 1 {
				r.Status, r.Key = schema.Control, marker(1)
			}
			a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{r}}, time.Now())
		}
		if p.guard != doubted || p.known != nil || len(p.skimmed.runs) != 2 {
			t.Fatalf("guard %d, known %v: the markers of two epochs are believed", p.guard, p.known)
		}
		a.guarded(&guard{p: p, stream: p.stream, head: p.head, leader: kafka.Leader{Epoch: 5}, skimmed: p.skimmed}, finding{outcome: outcomeSame, skim: holds}, nil)
		if (p.known != nil) != holds {
			t.Errorf("they are in the log: %t; known %v", holds, p.known)
		}
	}
}

// A marker is skimmed; the log loses it, and what comes in its place is of the
// leader epoch of the record before it: a replica's that nobody else had. The
// verdicts that were given by it must not stay.
func TestAnotherRecordWhereAMarkerWasIsDoubted(t *testing.T) {
	row := schema.Record{Offset: 0, ProducerID: 1, Status: schema.Undecided, LeaderEpoch: 2}
	commit := schema.Record{Offset: 1, ProducerID: 1, Status: schema.Control, Key: marker(1), LeaderEpoch: 3}
	for name, came := range map[string]schema.Record{
		"the marker":                       commit, // of another epoch than the row's: as any
		"an abort of the row's epoch":      {Offset: 1, ProducerID: 1, Status: schema.Control, Key: marker(0), LeaderEpoch: 2},
		"another's commit":                 {Offset: 1, ProducerID: 2, Status: schema.Control, Key: marker(1), LeaderEpoch: 2},
		"a record of the row's epoch":      {Offset: 1, ProducerID: -1, Status: schema.Committed, LeaderEpoch: 2},
		"one behind it of the row's epoch": {Offset: 2, ProducerID: -1, Status: schema.Committed, LeaderEpoch: 2},
	} {
		for _, batches := range [][][]schema.Record{{{row}, {came}}, {{row, came}}} {
			a, p := looping(0)
			a.takeBack(p, 2)
			p.seek = false
			a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{row, commit}}, time.Now())
			a.guarded(&guard{p: p, stream: p.stream, head: p.head, leader: kafka.Leader{Epoch: 3}, skimmed: p.skimmed}, finding{outcome: outcomeSame, skim: true}, nil)
			p.seek = false
			for _, records := range batches {
				a.takeIn(&kafka.Batch{TopicPartition: zero, Records: slices.Clone(records)}, time.Now())
			}
			if p.guard != doubted || p.hand == nil || *p.hand != (entry{came.Offset, came.LeaderEpoch}) {
				t.Errorf("%s, %d fetches: guard %d, in hand %v: rows %v", name, len(batches), p.guard, p.hand, p.rows)
			}
			hand := *p.hand
			if d := decidedBy(p.verdicts, p.expected); p.rows.len() != 1 || d == nil || d.Offset != 1 {
				t.Errorf("%s, %d fetches: a guard would ask for marker %v", name, len(batches), d)
			}
			a.guarded(&guard{p: p, stream: p.stream, head: p.head, leader: kafka.Leader{Epoch: 4}, hand: p.hand, expected: p.expected}, finding{outcome: outcomeSame, approved: true}, nil)
			p.seek = false
			a.takeIn(&kafka.Batch{TopicPartition: zero, Records: []schema.Record{came}}, time.Now())
			if p.guard != passed || p.expected != hand.offset+1 {
				t.Errorf("%s: a guard found all of it, and it is doubted still at %d", name, p.expected)
			}
		}
	}
}
