package archiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

// sealAll cuts a buffer as the loop does until nothing is left, and holds every
// cut against what a commit can say.
func sealAll(t *testing.T, p *partition) (cuts int) {
	t.Helper()
	var reader spool.Reader
	version := strings.Repeat("v", 1024)
	for at := p.head.Next; p.count() > 0 || len(p.gaps) > 0; at = p.head.Next {
		p.fed = p.decided
		j := p.cut(cutBytes, p.most(p.decided, 64<<20), time.Now())
		c := &schema.Commit{ // with the longest names that there are
			Format: schema.CommitFormat, Kind: schema.KindGap, Cluster: strings.Repeat("c", 64), Topic: strings.Repeat("t", 249), TopicID: p.stream.TopicID,
			Seq: 1, Previous: new(schema.Digest), Attempt: uuid.NewString(), Writer: strings.Repeat(`"`, mostWriter), Base: j.base, Next: j.next,
			Versions: schema.Versions{Build: strings.Repeat("b", 255)}, Clock: time.Now().Format(time.RFC3339Nano),
		}
		if j.count() > 0 {
			c.Kind, c.Segment = schema.KindSegment, &schema.SegmentRef{ObjectRef: schema.ObjectRef{Key: schema.SegmentKey(c.Stream(), j.base, j.next, schema.Digest{}), VersionID: &version}}
		}
		raw, sum, err := schema.EncodeGaps(j.gaps, j.base, j.next)
		if err != nil {
			t.Fatalf("cut %d of %d rows: %v", cuts, j.count(), err)
		}
		if c.GapOffsets, c.Gaps = sum, j.gaps; len(raw) > 1000 {
			c.Gaps, c.GapsObject = nil, &schema.ObjectRef{Key: schema.GapsKey(c.Stream(), j.base, j.next, schema.Digest{}), VersionID: &version}
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

// Gaps that cannot be read do not join, and each has its own text: with no row
// between them, or rows on either side, they are more than a list of gaps holds.
func TestCutsEndAmongGaps(t *testing.T) {
	evidence, now := strings.Repeat(`"`, mostEvidence), time.Now()
	for name, x := range map[string]struct{ before, behind int64 }{
		"nothing else": {}, "rows before": {before: 3}, "rows behind": {behind: 3}, "rows on either side": {before: 1, behind: 1},
	} {
		for _, spooled := range []bool{false, true} {
			p, disk := opened(0), openSpool(t, 64<<20)
			bring := func(n int64) {
				var batch kafka.Batch
				for offset := p.expected; offset < p.expected+n; offset++ {
					batch.Records = append(batch.Records, schema.Record{
						Topic: "t", TopicID: p.stream.TopicID, Offset: offset, ProducerID: -1, ProducerEpoch: -1, Status: schema.Committed,
					})
				}
				p.take(&batch, now)
				if p.fed = p.decided; spooled && n > 0 {
					s := p.spill(disk, p.rows.len(), now)
					if err := s.write(); err != nil {
						t.Fatal(err)
					}
					p.spooledBy(s, now)
				}
			}
			bring(x.before)
			const unread = 32_000
			for range unread {
				p.unread(schema.Gap{Class: schema.GapUnreadable, From: p.expected, To: p.expected + 1, Evidence: &evidence, Object: &schema.ObjectRef{Key: "k"}}, nil, now)
			}
			bring(x.behind)
			if cuts := sealAll(t, p); cuts < 3 || cuts > 5 || p.head.Next != unread+x.before+x.behind {
				t.Errorf("%s, spooled %t: %d cuts to %d", name, spooled, cuts, p.head.Next)
			}
		}
	}
}

// Records of no bytes, which no cut by bytes ever ends, are no more than a segment
// holds.
func TestCutsAreWhatASegmentHolds(t *testing.T) {
	p := opened(0)
	for at := int64(0); at < 2*mostRows; at += 4000 {
		p.frames = append(p.frames, &frame{Frame: &spool.Frame{Rows: 4000, First: at, Last: at + 3999}, at: at})
		p.inFrames += 4000
	}
	p.decided, p.fed, p.expected = p.inFrames, p.inFrames, int64(p.inFrames)
	if n := p.most(p.decided, 64<<20); n > mostRows || n < mostRows-4000 || p.whole(n) != n {
		t.Errorf("%d rows are cut of %d, a segment is to have %d", n, p.decided, mostRows)
	}
}

// A limit of ours is the same the next time: what reaches one is not repeated, but
// stops its partition, which Health names with what to do. A full store is waited for.
func TestALimitOfOursStopsItsPartition(t *testing.T) {
	a, p := looping(0)
	a.arrive(schema.Committed, 0, 1)
	j := p.cut(cutAsked, 1, time.Now())
	ours := schema.Errorf(schema.Exhausted, "encode gaps: too many bytes")
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asked := 0
	err := a.patiently(within, j, func() error { asked++; return ours })
	if asked != 1 || !errors.Is(err, ours) || within.Err() != nil {
		t.Fatalf("asked for %d times: %v", asked, err)
	}
	full := schema.Errorf(schema.Exhausted, "put: %w", objstore.ErrFull)
	if err := a.patiently(within, j, func() error {
		if asked++; asked < 4 {
			return full
		}
		return nil
	}); err != nil || asked != 4 {
		t.Errorf("a full store is asked %d times: %v", asked-1, err)
	}
	a.settle(j, ledger.Head{}, index.SegmentRow{}, fmt.Errorf("seal: %w", ours), 0)
	if said := a.Health()["store"]; !strings.Contains(said, "too many bytes; lower archive.cut.bytes") || p.stopped == "" {
		t.Errorf("Health says %q", said)
	}
	if !never(ours) || never(full) {
		t.Error("a dead letter that is too large is written again and again, or one is given up for a full store")
	}
	if _, err := New(Options{Tail: kafka.ConsumerOptions{Group: "g"}, Writer: strings.Repeat("w", mostWriter+1)}, nil, nil, nil, nil); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a writer's name that no commit has room for: %v", err)
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
		for deadline := time.Now().Add(30 * time.Second); c.full(); c.cycle() {
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
