package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

// crowd is an archiver of many partitions with a real spool and no engines: the
// test brings records, and seals what is cut.
type crowd struct {
	*Archiver
	t      testing.TB
	keys   []kafka.TopicPartition
	reader spool.Reader
	random *rand.Rand

	brought, sealed int64
	next            map[*partition]int64
	cuts            map[string]int
	mostHeld        int64
}

func newCrowd(t testing.TB, partitions int, memory, disk int64) *crowd {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c := &crowd{t: t, random: rand.New(rand.NewPCG(1, 2)), next: map[*partition]int64{}, cuts: map[string]int{}}
	a := &Archiver{
		cutAt: Cut{Age: time.Hour, MaxAge: time.Hour, Bytes: 64 << 20, MinBytes: 1}, log: log,
		options:    Options{Memory: memory, Spool: Spool{Dir: t.TempDir(), Bytes: disk}},
		partitions: map[kafka.TopicPartition]*partition{}, troubles: map[cause]string{}, left: map[schema.StreamKey]leftover{}, past: map[string]tally{},
	}
	a.changed = sync.NewCond(&a.mu)
	a.spool.work, a.spool.pauses = make(chan []*spill, 1), retry.Between(time.Second, time.Minute)
	a.letters = newLetters(log)
	a.metrics = newMetrics()
	a.catchup = newCatchup(nil, nil, nil, nil, a.letters, log)
	a.feed = newFeed(Feed{}, nil, nil, a.letters, a.catchup, a.metrics, log)
	for n := range partitions {
		key := kafka.TopicPartition{Topic: "t", Partition: int32(n)}
		stream := schema.Stream{Cluster: "c", Topic: "t", TopicID: schema.TopicID{1}, Partition: key.Partition}
		a.partitions[key] = newPartition(stream, ledger.Head{Commit: &schema.Commit{Kind: schema.KindGenesis}})
		c.keys = append(c.keys, key)
	}
	c.Archiver = a
	if err := a.openSpool(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.closeSpool)
	return c
}

// bring has n records of a size come to a partition, and the index given them.
func (c *crowd) bring(key kafka.TopicPartition, n, size int, status schema.Status) {
	p := c.partitions[key]
	batch := kafka.Batch{TopicPartition: key}
	for i := range n {
		value := make([]byte, size)
		for j := range value {
			value[j] = byte(c.random.Uint32() & 31)
		}
		batch.Records = append(batch.Records, schema.Record{
			Topic: key.Topic, TopicID: p.stream.TopicID, Partition: key.Partition, Offset: p.expected + int64(i), ProducerID: 7, Status: status, Value: value,
		})
	}
	c.mu.Lock()
	c.takeIn(&batch, time.Now())
	c.brought += int64(n)
	c.mostHeld = max(c.mostHeld, c.Archiver.held)
	c.mu.Unlock()
	c.cycle()
	for deadline := time.Now().Add(30 * time.Second); c.full(); c.cycle() { // as waitForRoom does
		if time.Now().After(deadline) {
			c.t.Fatalf("memory stays full: %d bytes, %d under way, health %v", c.Archiver.held, c.spool.underWay, c.Health())
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *crowd) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Archiver.held >= c.options.Memory
}

// cycle is what the loop does after a poll, and then the sealers.
func (c *crowd) cycle() {
	c.mu.Lock()
	for _, p := range c.partitions {
		p.fed = p.decided
	}
	c.cutDue(time.Now())
	jobs := c.backlog
	c.backlog = nil
	c.mu.Unlock()
	for _, j := range jobs {
		c.cuts[j.reason]++
		at, gaps := c.next[j.p], j.gaps
		err := j.each(&c.reader, func(r *schema.Record) error {
			for len(gaps) > 0 && gaps[0].From == at {
				at, gaps = gaps[0].To, gaps[1:]
			}
			if r.Offset != at {
				return fmt.Errorf("%s: offset %d where %d should be", j.p.stream, r.Offset, at)
			}
			at++
			return nil
		})
		if err == nil {
			c.sealed += int64(j.count())
			c.next[j.p] = j.next
		}
		c.settle(j, ledger.Head{Commit: &schema.Commit{Kind: schema.KindSegment}, Next: j.next}, index.SegmentRow{}, err, 0)
		for len(c.feed.queue) > 0 {
			<-c.feed.queue
		}
	}
}

// run has the spiller work until the test ends.
func (c *crowd) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.spiller(ctx) }()
	c.t.Cleanup(func() { cancel(); <-done })
}

// all seals what is there.
func (c *crowd) all() {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); c.sealed < c.brought; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		for _, p := range c.partitions {
			p.sealTo = p.expected
		}
		c.mu.Unlock()
		if c.cycle(); time.Now().After(deadline) {
			c.t.Fatalf("%d of %d records are sealed", c.sealed, c.brought)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); c.spoolUsed() != 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // a frame that is being written when its rows are sealed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Archiver.held != 0 || c.sealed != c.brought || c.spoolUsed() != 0 {
		c.t.Fatalf("%d bytes are held, %d records of %d are sealed, the spool has %f bytes", c.Archiver.held, c.sealed, c.brought, c.spoolUsed())
	}
}

// A thousand partitions, a few fast and most slow, of records of all sizes: the
// budget holds, in the archiver's count and in the heap, and buffers live until
// they are old, not until memory is full.
func TestManyPartitionsWithinTheBudget(t *testing.T) {
	const memory = 4 << 20
	c := newCrowd(t, 1000, memory, 256<<20)
	c.run()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := int64(0)
	for i := range 3000 {
		key := c.keys[c.random.IntN(len(c.keys))]
		if i%2 == 0 {
			key = c.keys[c.random.IntN(10)]
		}
		n, size := 1+c.random.IntN(20), 50+c.random.IntN(400)
		if i%500 == 0 {
			n, size = 1, 300<<10
		}
		most = max(most, int64(n)*int64(size+rowOverhead))
		c.bring(key, n, size, schema.Committed)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d records; at most %d bytes held of %d, the heap grew by %d; the spool has %.0f bytes; cuts %v", c.brought, c.mostHeld, memory, grown, c.spoolUsed(), c.cuts)
	if c.mostHeld >= memory+most {
		t.Errorf("%d bytes were held, the budget is %d", c.mostHeld, memory)
	}
	if grown > 2*memory {
		t.Errorf("the heap grew by %d bytes, the budget is %d", grown, memory)
	}
	if c.cuts[cutBudget] > 0 || c.spoolUsed() < 2*memory/4 {
		t.Errorf("cuts %v with %.0f bytes in the spool: memory should not cut before the spool is full", c.cuts, c.spoolUsed())
	}
	c.all()
}

// The spool's share cuts the largest buffers, and its limit holds.
func TestSpoolShareCutsTheLargest(t *testing.T) {
	const memory, disk = 1 << 20, 2 << 20
	c := newCrowd(t, 20, memory, disk)
	c.run()
	used := 0.0
	for i := range 3000 {
		key := c.keys[c.random.IntN(20)]
		if i%2 == 0 {
			key = c.keys[0]
		}
		c.bring(key, 10, 300, schema.Committed)
		used = max(used, c.spoolUsed())
	}
	largest := c.next[c.partitions[c.keys[0]]]
	if c.cuts[cutBudget] == 0 || used > disk || largest == 0 {
		t.Errorf("cuts %v, at most %.0f bytes in the spool, %d records of the largest are sealed", c.cuts, used, largest)
	}
	c.all()
}

// An open transaction larger than memory waits in the spool; one that is larger
// than that is set aside, and its tail is dropped from both.
func TestOpenTransactionInTheSpool(t *testing.T) {
	const memory, disk = 1 << 20, 2 << 20
	c := newCrowd(t, 2, memory, disk)
	c.run()
	p := c.partitions[c.keys[0]]
	c.bring(c.keys[0], 100, 300, schema.Committed)
	for range 40 {
		c.bring(c.keys[0], 50, 300, schema.Undecided)
	}
	if p.aside || c.spoolUsed() == 0 || p.decided != 100 {
		t.Fatalf("aside %t, %.0f bytes in the spool, %d rows decided", p.aside, c.spoolUsed(), p.decided)
	}
	for !p.aside {
		c.bring(c.keys[0], 50, 300, schema.Undecided)
		if c.brought > 1e6 {
			t.Fatal("it is never set aside")
		}
	}
	c.mu.Lock()
	if p.expected > 100 || p.count() > 100 || c.Archiver.held > memory/4 || c.spoolUsed() > disk/10 {
		t.Errorf("set aside at %d with %d rows; %d bytes are held, %.0f in the spool", p.expected, p.count(), c.Archiver.held, c.spoolUsed())
	}
	c.takeBack(p, p.expected) // what is below is stable
	p.skim, p.seek = nil, false
	c.brought = p.expected
	c.mu.Unlock()
	for range 40 {
		c.bring(c.keys[0], 50, 300, schema.Undecided)
	}
	c.bring(c.keys[0], 1, 0, schema.Control)
	c.mu.Lock()
	if p.decided == p.count() {
		t.Error("a marker without a key decided rows")
	}
	c.takeIn(&kafka.Batch{TopicPartition: c.keys[0], Records: []schema.Record{{
		Topic: "t", TopicID: p.stream.TopicID, Offset: p.expected, ProducerID: 7, Status: schema.Control, Key: marker(0),
	}}}, time.Now())
	c.brought++
	if p.decided != p.count() || p.inFrames == 0 {
		t.Errorf("%d of %d rows are decided by the marker, %d of them in the spool", p.decided, p.count(), p.inFrames)
	}
	c.mu.Unlock()
	c.all()
}

// A folder that is gone while it is used: nothing can be written, nothing read
// back. What was spooled is read again, the rest is cut from memory, and both
// are said.
func TestDiskGoneIsNoLossAndNoStop(t *testing.T) {
	const memory = 1 << 20
	c := newCrowd(t, 20, memory, 64<<20)
	c.run()
	bring := func(batches int) {
		for range batches {
			c.bring(c.keys[c.random.IntN(20)], 10, 300, schema.Committed)
		}
	}
	bring(600)
	if c.spoolUsed() == 0 {
		t.Fatal("nothing was spooled")
	}
	for os.RemoveAll(c.spool.disk.Dir()) != nil { // a file may come meanwhile
		time.Sleep(time.Millisecond)
	}
	bring(600)
	if said := c.Health()["spool"]; !strings.Contains(said, "no such file") || testutil.ToFloat64(c.metrics.spoolFailures) == 0 {
		t.Errorf("Health says %q", said)
	}
	lost := map[kafka.TopicPartition]int64{}
	for deadline := time.Now().Add(30 * time.Second); c.spoolUsed() > 0; {
		c.mu.Lock()
		for _, p := range c.partitions {
			p.sealTo = p.expected
		}
		c.mu.Unlock()
		if c.cycle(); time.Now().After(deadline) {
			t.Fatalf("%.0f bytes are in a spool that is gone", c.spoolUsed())
		}
	}
	c.mu.Lock()
	for key, p := range c.partitions {
		if p.guard == doubted {
			if p.expected != c.next[p] || p.count() > 0 {
				t.Errorf("%s is read again from %d, sealed to %d", p.stream, p.expected, c.next[p])
			}
			lost[key] = p.expected
		}
	}
	c.mu.Unlock()
	if damaged := testutil.ToFloat64(c.metrics.spoolDamaged); len(lost) == 0 || damaged != float64(len(lost)) {
		t.Errorf("%d buffers are read again, %f were found damaged", len(lost), damaged)
	}
}

// A spool that is smaller than a frame is none, and that is said: waiting for a
// write that can never be done, memory would stay full.
func TestSpoolSmallerThanAFrame(t *testing.T) {
	c := newCrowd(t, 3, 64<<10, 300)
	c.run()
	for range 100 {
		c.bring(c.keys[c.random.IntN(3)], 10, 300, schema.Committed)
	}
	if said := c.Health()["spool"]; !strings.Contains(said, "the spool has 300") || c.cuts[cutBudget] == 0 {
		t.Errorf("Health says %q, cuts %v", said, c.cuts)
	}
	if full, failures := testutil.ToFloat64(c.metrics.spoolFull), testutil.ToFloat64(c.metrics.spoolFailures); full > 0 || failures == 0 || failures > 10 {
		t.Errorf("full %f times, %f failures: it is tried again after a while, and not for want of room", full, failures)
	}
	c.all()
}

const smallFilesEnv = "ANNALS_TEST_SMALL_FILES"

// The kernel refuses what makes a file longer than so much: half of a buffer is
// in the spool, and half is not.
func TestDiskRefusesHalfOfABuffer(t *testing.T) {
	if os.Getenv(smallFilesEnv) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskRefusesHalfOfABuffer$", "-test.v")
		cmd.Env = append(os.Environ(), smallFilesEnv+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "refused, and sealed") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(unix.SIGXFSZ)
	c := newCrowd(t, 10, 1<<20, 64<<20)
	if err := syscall.Setrlimit(unix.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.spool.pauses = retry.Between(5*time.Millisecond, 10*time.Millisecond)
	for range 2000 {
		c.bring(c.keys[c.random.IntN(10)], 10, 300, schema.Committed)
	}
	if failures := testutil.ToFloat64(c.metrics.spoolFailures); failures == 0 || c.cuts[cutBudget] == 0 || testutil.ToFloat64(c.metrics.spoolWritten) == 0 {
		t.Errorf("%f failures, cuts %v", failures, c.cuts)
	}
	c.all()
	t.Log("refused, and sealed")
}
