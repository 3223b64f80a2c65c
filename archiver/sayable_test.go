package archiver

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

// sealAll cuts a buffer as the loop does until nothing is left, and holds every
// cut against what a commit can say.
func sealAll(t *testing.T, p *partition) (cuts int) {
	t.Helper()
	var reader spool.Reader
	for at := p.head.Next; p.count() > 0; at = p.head.Next {
		p.fed = p.decided
		j := p.cut(cutBytes, p.most(p.decided, 64<<20), time.Now())
		c := &schema.Commit{
			Format: schema.CommitFormat, Kind: schema.KindSegment, Cluster: "c", Topic: p.stream.Topic, TopicID: p.stream.TopicID,
			Seq: 1, Previous: new(schema.Digest), Attempt: "a", Writer: "w", Base: j.base, Next: j.next, Segment: &schema.SegmentRef{}, Clock: "c",
		}
		raw, sum, err := schema.EncodeGaps(j.gaps, j.base, j.next)
		if err != nil {
			t.Fatalf("cut %d of %d rows: %v", cuts, j.count(), err)
		}
		if c.GapOffsets, c.Gaps = sum, j.gaps; len(raw) > 1000 {
			c.Gaps, c.GapsObject = nil, &schema.ObjectRef{}
		}
		err = j.each(&reader, func(r *schema.Record) error {
			c.Records.Committed++
			if n := len(c.LeaderEpochs); n == 0 || c.LeaderEpochs[n-1].Epoch != r.LeaderEpoch {
				c.LeaderEpochs = append(c.LeaderEpochs, schema.LeaderEpoch{Epoch: r.LeaderEpoch, Start: r.Offset})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Encode(); err != nil || j.base != at {
			t.Fatalf("cut %d of %d rows from %d on: %v", cuts, j.count(), j.base, err)
		}
		p.release(j.count(), ledger.Head{Commit: p.head.Commit, Next: j.next})
		j.letGo()
		cuts++
	}
	return cuts
}

// A log of which a cleaner left little has a gap before every record, and an old
// one a leader epoch: more than a commit can say of what a segment's bytes would
// take. They are cut before.
func TestCutsAreWhatACommitCanSay(t *testing.T) {
	const first = int64(1e18) // long numbers
	for name, x := range map[string]struct {
		rows, gap int64 // offsets that are not there before each
		every     int64 // so many records of a leader epoch
		cuts      int
	}{
		"as usual":                 {rows: 20_000, gap: 1, every: 20_000, cuts: 1},
		"gaps":                     {rows: 500_000, gap: 1, every: 500_000, cuts: 4},
		"leader epochs":            {rows: 3000, every: 1, cuts: 6},
		"gaps and leader epochs":   {rows: 3000, gap: 2, every: 1, cuts: 6},
		"more records of an epoch": {rows: 30_000, every: 10, cuts: 6},
	} {
		for _, spooled := range []bool{false, true} {
			p := opened(first)
			p.compacted = true
			disk := openSpool(t, 64<<20)
			next := first
			for n := int64(0); n < x.rows; {
				var batch kafka.Batch
				for range min(5000, x.rows-n) {
					next += x.gap
					batch.Records = append(batch.Records, schema.Record{
						Topic: "t", TopicID: p.stream.TopicID, Offset: next, LeaderEpoch: int32(1e9 + n/x.every), ProducerID: -1, ProducerEpoch: -1, Status: schema.Committed,
					})
					next++
					n++
				}
				p.take(&batch, time.Now())
				if p.fed = p.decided; !spooled {
					continue
				}
				s := p.spill(disk, p.rows.len(), time.Now())
				if err := s.write(); err != nil {
					t.Fatal(name, err)
				}
				p.spooledBy(s, time.Now())
			}
			if cuts := sealAll(t, p); cuts < x.cuts || cuts > 2*x.cuts || p.head.Next != next {
				t.Errorf("%s, spooled %t: %d cuts to %d, want %d to %d", name, spooled, cuts, p.head.Next, x.cuts, next)
			}
		}
	}
}

// What is left of a cut that was made smaller is as old as what was cut.
func TestRestOfASmallerCutIsDue(t *testing.T) {
	p, then := opened(0), time.Now().Add(-time.Hour)
	var batch kafka.Batch
	for i := range int64(mostEpochs + 10) {
		batch.Records = append(batch.Records, schema.Record{Offset: i, LeaderEpoch: int32(i), Status: schema.Committed})
	}
	p.take(&batch, then)
	p.fed = p.decided
	j := p.cut(cutMaxAge, p.most(p.decided, 64<<20), time.Now())
	p.release(j.count(), ledger.Head{Commit: p.head.Commit, Next: j.next})
	if j.count() != mostEpochs || p.count() != 10 || DefaultCut.due(p, p.decided, time.Now()) != cutMaxAge {
		t.Errorf("%d rows are cut, %d left, due for %q since %s", j.count(), p.count(), DefaultCut.due(p, p.decided, time.Now()), p.since)
	}
}

// The gaps between rows stay in memory when these are spooled. They count in the
// budget, and buffers are cut for them.
func TestGapsCountInTheBudget(t *testing.T) {
	const memory, disk = 2 << 20, 256 << 20
	c := newCrowd(t, 10, memory, disk)
	for _, p := range c.partitions {
		p.compacted = true
	}
	c.run()
	gaps := func() (n int64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, p := range c.partitions {
			n += int64(len(p.gaps))
		}
		return n
	}
	most := int64(0)
	for i := range 2000 {
		key := c.keys[i%len(c.keys)]
		c.mu.Lock()
		p := c.partitions[key]
		batch := kafka.Batch{TopicPartition: key}
		for k := range int64(50) {
			batch.Records = append(batch.Records, schema.Record{
				Topic: key.Topic, TopicID: p.stream.TopicID, Partition: key.Partition, Offset: p.expected + 2*k + 1, ProducerID: -1, ProducerEpoch: -1, Status: schema.Committed, Key: []byte("k"),
			})
		}
		c.takeIn(&batch, time.Now())
		c.brought += 50
		c.mu.Unlock()
		c.cycle()
		for deadline := time.Now().Add(10 * time.Second); c.full(); c.cycle() {
			if time.Now().After(deadline) {
				t.Fatalf("memory stays full: %d bytes, %d gaps, health %v", c.Archiver.held, gaps(), c.Health())
			}
			time.Sleep(time.Millisecond)
		}
		most = max(most, gaps())
	}
	if most*gapOverhead > memory || c.cuts[cutBudget] > 100 {
		t.Errorf("%d gaps at a time take %d bytes of a budget of %d, cuts %v", most, most*gapOverhead, memory, c.cuts)
	}
	c.all()
}
