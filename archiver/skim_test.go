package archiver

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// TestSkimmedVerdictsAreTheMarkers holds the verdicts of a partition that
// skimmed a log first against those that the markers give, whatever is served
// and in whatever fetches.
func TestSkimmedVerdictsAreTheMarkers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, verdicts := history(t)
		stable := len(log) // the first record of an open transaction
		if i := slices.Index(verdicts, schema.Undecided); i >= 0 {
			stable = i
		}
		if stable == 0 {
			return
		}
		from := rapid.IntRange(0, stable-1).Draw(t, "from")
		s := newSkim(log[from].Offset, log[stable-1].Offset+1)
		done := false
		for at := from; at < len(log) && !done; {
			n := rapid.IntRange(1, len(log)-at).Draw(t, "fetch")
			done = s.take(&kafka.Batch{Records: slices.Clone(log[at : at+n])})
			at += n
		}
		if !done {
			t.Fatalf("everything below record %d has ended, and the skim did not see it", stable)
		}
		p := opened(log[from].Offset)
		p.known = &s.endings
		for i := from; i < stable; i++ {
			p.take(&kafka.Batch{Records: slices.Clone(log[i : i+1])}, time.Now())
			if p.decided != p.rows.len() {
				t.Fatalf("record %d waits for its marker though the log was skimmed", i)
			}
			if got := p.rows.at(i - from).Status; got != verdicts[i] {
				t.Fatalf("record %d is %s by the skim, %s by its marker", i, got, verdicts[i])
			}
		}
	})
}

// A log that was rewritten after it was skimmed is not judged by what it was.
func TestLaterEpochIsNotJudgedByTheSkim(t *testing.T) {
	s := newSkim(0, 1)
	s.take(&kafka.Batch{Records: []schema.Record{
		{Offset: 0, ProducerID: 1, Status: schema.Undecided, LeaderEpoch: 3},
		{Offset: 1, ProducerID: 1, Status: schema.Control, Key: marker(0), LeaderEpoch: 3},
	}})
	p := opened(0)
	p.known = &s.endings
	p.take(&kafka.Batch{Records: []schema.Record{{Offset: 0, ProducerID: 1, Status: schema.Undecided, LeaderEpoch: 4}}}, time.Now())
	if p.decided != 0 {
		t.Errorf("a record of another history is %s", p.rows.at(0).Status)
	}
}

// What cannot be read is passed over, and a transaction's marker may be in it:
// what the broker says of its end holds for the records before, and no other.
func TestSkimPastWhatCannotBeRead(t *testing.T) {
	open := func(offset int64) schema.Record {
		return schema.Record{Offset: offset, ProducerID: 7, Status: schema.Undecided}
	}
	s := newSkim(0, 6)
	if s.take(&kafka.Batch{Records: []schema.Record{open(0), open(1)}}) {
		t.Fatal("done with the transaction open")
	}
	p := &partition{skim: s}
	if got := p.waiting(); len(got) != 1 || got[0] != (kafka.Open{Producer: 7, From: 0}) {
		t.Fatalf("%+v wait for their markers", got)
	}
	s.pass(2, 3, map[int64]bool{7: false})
	if s.take(&kafka.Batch{}) {
		t.Fatal("done below what was stable")
	}
	commit := schema.Record{Offset: 5, ProducerID: 7, Status: schema.Control, Key: marker(1)}
	if !s.take(&kafka.Batch{Records: []schema.Record{open(3), open(4), commit}}) {
		t.Fatal("not done when all have ended")
	}
	for offset, want := range map[int64]schema.Status{0: schema.Aborted, 1: schema.Aborted, 3: schema.Committed, 4: schema.Committed} {
		r := open(offset)
		fresh := s.endings
		fresh.of = map[int64][]int32{7: slices.Clone(s.of[7])}
		if e := fresh.end(&r); e == nil || e.verdict != want {
			t.Errorf("offset %d: %+v, want %s", offset, e, want)
		}
	}
	last := newSkim(0, 3) // nothing comes behind it
	last.take(&kafka.Batch{Records: []schema.Record{open(0), open(1)}})
	if last.pass(2, 3, map[int64]bool{7: true}); !last.take(&kafka.Batch{}) {
		t.Error("not done when the log ends behind it")
	}
}
