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
			if p.decided != len(p.rows) {
				t.Fatalf("record %d waits for its marker though the log was skimmed", i)
			}
			if got := p.rows[i-from].Status; got != verdicts[i] {
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
		t.Errorf("a record of another history is %s", p.rows[0].Status)
	}
}
