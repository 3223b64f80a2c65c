package archiver

import (
	"errors"
	"runtime"
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

// However little room a skim has, it goes on to the ends of what stands first: who
// reads after it gets further each time, by verdicts that are the markers'.
func TestSkimWithoutRoomGetsFurther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, verdicts := history(t)
		stable := len(log) // the first record of an open transaction
		if i := slices.Index(verdicts, schema.Undecided); i >= 0 {
			stable = i
		}
		for from := 0; from < stable; {
			s, done := newSkim(log[from].Offset, log[stable-1].Offset+1), false
			s.most = rapid.Int64Range(1, 1000).Draw(t, "room")
			for i := from; i < len(log) && !done; i++ {
				before := s.bytes()
				if done = s.take(&kafka.Batch{Records: slices.Clone(log[i : i+1])}); before >= s.most && s.bytes() > before {
					t.Fatalf("a skim that may have %d bytes grew from %d to %d", s.most, before, s.bytes())
				}
			}
			if !done {
				t.Fatalf("everything below record %d has ended, and the skim from %d did not see it", stable, from)
			}
			p, began := opened(log[from].Offset), from
			for p.known = &s.endings; from < stable; from++ {
				p.take(&kafka.Batch{Records: slices.Clone(log[from : from+1])}, time.Now())
				if p.decided != p.rows.len() {
					break // here it would be set aside, and skimmed again
				}
				if got := p.rows.at(from - began).Status; got != verdicts[from] {
					t.Fatalf("record %d is %s by the skim, %s by its marker", from, got, verdicts[from])
				}
			}
			if from == began {
				t.Fatalf("record %d waits for its marker though the log was skimmed from it on", from)
			}
		}
	})
}

// What is skimmed counts in the budget, as much as it takes of the heap, and is
// bounded by its share of it over all partitions: of each it gets to an end.
func TestSkimsCountInTheBudget(t *testing.T) {
	const memory, partitions, transactions = 8 << 20, 40, 20_000
	c := newCrowd(t, partitions, memory, 1<<20)
	a := c.Archiver
	part := func(key kafka.TopicPartition, from int) kafka.Batch {
		b := kafka.Batch{TopicPartition: key}
		for n := from; n < from+500; n++ {
			of := schema.Record{
				Topic: key.Topic, TopicID: a.partitions[key].stream.TopicID, Partition: key.Partition,
				Offset: int64(2 * n), ProducerID: int64(n / (1 + int(key.Partition)%4)), Status: schema.Undecided,
			}
			b.Records = append(b.Records, of)
			of.Offset, of.Status, of.Key = of.Offset+1, schema.Control, marker(1)
			b.Records = append(b.Records, of)
		}
		return b
	}
	sum := func() (all int64) {
		for _, p := range a.partitions {
			all += p.memory()
		}
		return all
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools of tests before held
	runtime.ReadMemStats(&before)
	for _, p := range a.partitions {
		a.takeBack(p, 2*transactions)
		p.seek, p.resume = false, false // the loop has done it
	}
	most := int64(0)
	for from := 0; from < transactions; from += 500 {
		for _, key := range c.keys {
			if a.partitions[key].skim == nil {
				continue
			}
			b := part(key, from)
			if a.takeIn(&b, time.Now()); a.held != sum() {
				t.Fatalf("%d bytes are counted as held, %d are", a.held, sum())
			}
			most = max(most, a.held)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("at most %d bytes are held of %d, the heap grew by %d", most, memory, grown)
	if share := int64(aheadShare * memory); most < share/2 || most > share {
		t.Errorf("skims hold %d bytes, their share is %d", most, share)
	}
	if grown > most+most/8 {
		t.Errorf("the heap grew by %d bytes, %d are counted", grown, most)
	}
	for _, key := range c.keys {
		p := a.partitions[key]
		if p.known == nil || len(p.known.all) == 0 || p.expected != 0 {
			t.Fatalf("%s: skimmed to %+v, read to %d", key, p.known, p.expected)
		}
		p.seek = false
		b := part(key, 0)
		if a.takeIn(&b, time.Now()); p.decided == 0 || a.held != sum() {
			t.Fatalf("%s: %d rows are decided; %d bytes are counted as held, %d are", key, p.decided, a.held, sum())
		}
		a.doubt(p, "test")
		if a.giveUp(p, onKafka, errors.New("test")); a.held != sum() || p.memory() != 0 {
			t.Fatalf("%s: given up, it holds %d; %d bytes are counted as held, %d are", key, p.memory(), a.held, sum())
		}
	}
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
