package archiver_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

var historySeed = flag.Uint64("history-seed", 0, "seed of the history that is archived in several ways; 0: the clock's")

// past is a random history of topics, written as several producers would.
type past struct {
	t       *testing.T
	r       *rig
	random  *rand.Rand
	plain   *kgo.Client
	tx      [3]*kgo.Client
	open    [3][]*kgo.Record
	began   [3]bool
	status  map[string]schema.Status // topic/partition/offset → the verdict it must get
	streams []schema.Stream
}

func newPast(t *testing.T, r *rig, random *rand.Rand) *past {
	h := &past{t: t, r: r, random: random, status: map[string]schema.Status{}, plain: r.client}
	for i := range h.tx {
		h.tx[i] = embeddedtest.KafkaClient(t, r.broker, kgo.TransactionalID(fmt.Sprint("tx", i)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	compact := "compact"
	cleaned, err := kadm.NewClient(r.client).CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, "cleaned")
	must(t, err)
	kept := r.topic(t, "kept", 2)
	h.streams = []schema.Stream{r.stream("kept", kept, 0), r.stream("kept", kept, 1), r.stream("cleaned", schema.TopicID(cleaned.ID), 0)}
	return h
}

// record makes one for a random partition. Half of the keys repeat, so that a
// cleaner has something to do, and something to leave. The times are of the
// last hour: older ones would be deleted by the topic's retention.
func (h *past) record() *kgo.Record {
	s := h.streams[h.random.IntN(len(h.streams))]
	rec := &kgo.Record{
		Topic: s.Topic, Partition: s.Partition, Key: fmt.Appendf(nil, "k%d", h.random.IntN(30)),
		Value:     fmt.Appendf(nil, `{"eventId":"e-%d","traceId":"%032x","pad":"%s"}`, h.random.Int(), h.random.IntN(40)+1, bytes.Repeat([]byte("x"), h.random.IntN(300))),
		Timestamp: time.UnixMilli(time.Now().UnixMilli() - h.random.Int64N(3_600_000)),
	}
	if h.random.IntN(2) == 0 {
		rec.Key = fmt.Appendf(nil, "once-%d", h.random.Int())
	}
	for range h.random.IntN(4) {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: fmt.Sprint("h", h.random.IntN(2)), Value: []byte{byte(h.random.Int())}})
	}
	return rec
}

func (h *past) note(recs []*kgo.Record, as schema.Status) {
	for _, rec := range recs {
		h.status[fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset)] = as
	}
}

// goOn writes n steps: batches, and transactions of three producers that
// interleave. In the end none is open.
func (h *past) goOn(n int) {
	h.t.Helper()
	for range n {
		who := h.random.IntN(5)
		if who > 2 {
			var batch []*kgo.Record
			for range 1 + h.random.IntN(15) {
				batch = append(batch, h.record())
			}
			must(h.t, h.plain.ProduceSync(h.t.Context(), batch...).FirstErr())
			h.note(batch, schema.Committed)
			continue
		}
		if !h.began[who] {
			must(h.t, h.tx[who].BeginTransaction())
			h.began[who] = true
		}
		rec := h.record()
		must(h.t, h.tx[who].ProduceSync(h.t.Context(), rec).FirstErr())
		h.open[who] = append(h.open[who], rec)
		if h.random.IntN(3) == 0 {
			h.end(who)
		}
	}
	for who := range h.tx {
		h.end(who)
	}
}

func (h *past) end(who int) {
	if !h.began[who] {
		return
	}
	try, as := kgo.TryCommit, schema.Committed
	if h.random.IntN(2) == 0 {
		try, as = kgo.TryAbort, schema.Aborted
	}
	must(h.t, h.tx[who].EndTransaction(h.t.Context(), try))
	h.note(h.open[who], as)
	h.open[who], h.began[who] = nil, false
}

// ends are the high watermarks.
func (h *past) ends() []int64 {
	listed, err := kadm.NewClient(h.r.client).ListEndOffsets(h.t.Context(), "kept", "cleaned")
	must(h.t, err)
	var ends []int64
	for _, s := range h.streams {
		o, _ := listed.Lookup(s.Topic, s.Partition)
		ends = append(ends, o.Offset)
	}
	return ends
}

// mortal is a store of which a process sees only so many writes succeed; the
// last one takes effect, and its reply is lost.
type mortal struct {
	*objstore.Store
	left atomic.Int64
}

func (m *mortal) die() error {
	if m.left.Add(-1) <= 0 {
		return schema.Errorf(schema.Unavailable, "the process is dead by now")
	}
	return nil
}

func (m *mortal) Put(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if m.left.Load() <= 0 {
		return objstore.Object{}, m.die()
	}
	object, err := m.Store.Put(ctx, key, body)
	if err == nil {
		err = m.die()
	}
	return object, err
}

func (m *mortal) PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if m.left.Load() <= 0 {
		return objstore.Object{}, m.die()
	}
	object, err := m.Store.PutIfAbsent(ctx, key, body)
	if err == nil {
		err = m.die()
	}
	return object, err
}

// copied is one archive of the history, made in its own way into a bucket and
// an index of its own.
type copied struct {
	name   string
	change func(o *archiver.Options)
	stops  int // times that it is stopped and started again on the way
	kills  int // times that it dies at a write
	owners int
	random *rand.Rand

	r     *rig
	store *objstore.Store
	book  *ledger.Ledger
	index *index.Index
	lives int
}

func (c *copied) open(t *testing.T, r *rig) {
	at := embeddedtest.S3(t)
	var err error
	c.r = r
	c.store, err = objstore.Open(objstore.Options{
		Endpoint: at.Endpoint, Region: at.Region, Bucket: at.Bucket, Prefix: at.Prefix, PathStyle: true,
		AccessKey: at.AccessKey, SecretKey: at.SecretKey,
	})
	must(t, err)
	t.Cleanup(c.store.Close)
	c.book = ledger.New(c.store, r.log)
	addr, user, password := embeddedtest.ClickHouse(t)
	c.index, err = index.Open(index.Options{Addr: addr, Database: embeddedtest.Database(t), User: user, Password: password, Partition: "years", Logger: r.log})
	must(t, err)
	t.Cleanup(func() { must(t, c.index.Close()) })
	must(t, c.index.Migrate(t.Context()))
}

// live runs an archiver. Each has a group of its own: what a broker's group
// protocol protects from is not what is tested here.
func (c *copied) live(t *testing.T, writes int64) (a *archiver.Archiver, stop, leave func()) {
	t.Helper()
	c.lives++
	o := archiver.Options{
		Kafka: c.r.kafka(), Tail: kafka.ConsumerOptions{Group: fmt.Sprint(c.name, c.lives)},
		Discovery: 300 * time.Millisecond, Writer: fmt.Sprint(c.name, c.lives), Build: "test", Logger: c.r.log,
	}
	if c.change != nil {
		c.change(&o)
	}
	store := &mortal{Store: c.store}
	store.left.Store(writes)
	a, err := archiver.New(o, store, ledger.New(store, c.r.log), c.index, c.r.rules)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	wait := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	return a, wait, func() { cancel(); t.Cleanup(wait) }
}

const immortal = 1 << 40

// reach archives up to the ends, dying and stopping on the way.
func (c *copied) reach(t *testing.T, h *past, ends []int64) {
	t.Helper()
	for range c.kills {
		a, _, leave := c.live(t, 2+c.random.Int64N(12))
		for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			_, err := a.Seal(t.Context(), false)
			must(t, err)
		}
		leave() // it has hardly died: it goes on trying to write while the next one lives
	}
	for range c.stops {
		a, stop, _ := c.live(t, immortal)
		for until := time.Now().Add(time.Duration(300+c.random.IntN(500)) * time.Millisecond); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			_, err := a.Seal(t.Context(), false)
			must(t, err)
		}
		stop()
	}
	for range max(0, c.owners-1) {
		_, stop, _ := c.live(t, immortal)
		defer stop()
	}
	a, stop, _ := c.live(t, immortal)
	defer stop()
	for i, s := range h.streams {
		embeddedtest.Eventually(t, 60*time.Second, func() error {
			if _, err := a.Seal(t.Context(), false); err != nil {
				return err
			}
			head, err := c.book.Head(t.Context(), s)
			if err == nil && head.Next < ends[i] {
				err = fmt.Errorf("%s: %s is sealed to %d of %d (%v)", c.name, s, head.Next, ends[i], a.Health())
			}
			return err
		})
	}
}

// content is what an archive says of a stream, whatever its segments are.
type content struct {
	base  int64
	rows  []segment.Row
	gaps  map[int64]schema.GapClass // of each offset
	roots []schema.Digest           // of the leaves of every 64 offsets, under one seed
}

func (c *copied) content(t *testing.T, s schema.Stream) content {
	t.Helper()
	own := *c.r
	own.store, own.book = c.store, c.book
	got := content{rows: own.rows(t, s), gaps: map[int64]schema.GapClass{}, base: -1}
	next, segments := int64(0), 0
	for entry, err := range c.book.Commits(t.Context(), s, 0) {
		must(t, err)
		if got.base < 0 {
			got.base = entry.Commit.Base
		}
		for _, g := range entry.Commit.Gaps {
			for at := g.From; at < g.To; at++ {
				got.gaps[at] = g.Class
			}
		}
		next = entry.Commit.Next
		segments++
	}
	if int64(len(got.rows)+len(got.gaps)) != next-got.base {
		t.Errorf("%s: %s has %d rows and %d gap offsets in %d–%d", c.name, s, len(got.rows), len(got.gaps), got.base, next)
	}
	trees := map[int64]*proof.Tree{}
	hasher := proof.NewHasher()
	for i := range got.rows {
		at := got.rows[i].Offset / 64
		if trees[at] == nil {
			trees[at] = &proof.Tree{}
		}
		trees[at].Append(hasher.Leaf(proof.Seed{1}, &got.rows[i].Record))
	}
	for at := range next/64 + 1 {
		if trees[at] != nil {
			got.roots = append(got.roots, trees[at].Root())
		}
	}
	report, err := c.book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings > 0 {
		t.Errorf("%s: %s does not verify: %+v", c.name, s, report.Listed)
	}
	t.Logf("%s: %s: %d rows, %d gap offsets, %d commits", c.name, s, len(got.rows), len(got.gaps), segments)
	return got
}

// checkVerdicts holds one archive against what the producers did.
func (h *past) checkVerdicts(t *testing.T, name string, got content, s schema.Stream) {
	t.Helper()
	for _, row := range got.rows {
		want, ours := h.status[fmt.Sprintf("%s/%d/%d", s.Topic, s.Partition, row.Offset)]
		if !ours {
			want = schema.Control
		}
		if row.Status != want {
			t.Errorf("%s: %s offset %d is %s, should be %s", name, s, row.Offset, row.Status, want)
		}
	}
}

// compare says what differs.
func compare(a, b content, say func(string, ...any)) {
	switch {
	case a.base != b.base:
		say("begins at %d, not %d", b.base, a.base)
	case !reflect.DeepEqual(a.gaps, b.gaps):
		say("gaps %v, not %v", b.gaps, a.gaps)
	case len(a.rows) != len(b.rows):
		say("%d rows, not %d", len(b.rows), len(a.rows))
	case !slices.Equal(a.roots, b.roots):
		say("other roots")
	}
	for i := range min(len(a.rows), len(b.rows)) {
		if !reflect.DeepEqual(a.rows[i], b.rows[i]) {
			say("row %d is\n%+v, not\n%+v", i, b.rows[i], a.rows[i])
			return
		}
	}
}

// wentThrough fails if several lives of an archiver did not use their spool.
func wentThrough(t *testing.T, spools []*prometheus.Registry) {
	t.Helper()
	for _, name := range []string{"annals_archiver_spool_written_bytes_total", "annals_archiver_spool_read_bytes_total"} {
		sum := 0.0
		for _, life := range spools {
			sum += measured(t, life, name)
		}
		if t.Logf("%s: %.0f", name, sum); sum == 0 {
			t.Errorf("%s is 0: nothing went through the spool", name)
		}
	}
}

// One history, archived with other fetches, budgets, cuts, restarts, deaths and
// owners: the same rows in every field, the same gaps, the same roots. A
// segment's own root stands under its own random seed and covers its own range,
// so the roots compared here are recomputed: over fixed ranges, under one seed.
// That each segment's root is that of its rows is what Verify holds.
func TestSameHistorySameArchive(t *testing.T) {
	t.Parallel()
	seed := *historySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: go test ./archiver -run TestSameHistorySameArchive -history-seed %d", seed)
	r := newRig(t)
	h := newPast(t, r, rand.New(rand.NewPCG(seed, 1)))
	fetch := func(n int32) func(o *archiver.Options) {
		return func(o *archiver.Options) {
			o.Tail.FetchBytes, o.Cut.Bytes = n, int64(n)
			o.Feed = archiver.Feed{Rows: 10, Every: 2 * time.Millisecond} // a cut waits for the index
		}
	}
	spool, spools := t.TempDir(), []*prometheus.Registry{}
	archives := []*copied{
		{name: "at-rest"},
		{name: "small-fetches-and-cuts", change: fetch(1200)},
		{name: "small-budget-and-ages", change: func(o *archiver.Options) {
			o.Memory, o.Tail.FetchBytes, o.Feed.Every = 32<<10, 6000, 5*time.Millisecond
			o.Cut = archiver.Cut{MinBytes: 1, Age: 20 * time.Millisecond, MaxAge: 50 * time.Millisecond}
		}},
		{name: "restarts", stops: 1, change: fetch(3000)},
		{name: "spool", stops: 1, change: func(o *archiver.Options) {
			o.Memory, o.Tail.FetchBytes, o.Feed.Every = 48<<10, 3000, 5*time.Millisecond
			o.Spool = archiver.Spool{Dir: spool, Bytes: 64 << 20}
			spools = append(spools, prometheus.NewRegistry())
			o.Registerer = spools[len(spools)-1]
		}},
	}
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		archives = append(archives,
			&copied{name: "deaths", kills: 1, change: fetch(2500)},
			&copied{name: "two-owners", owners: 2, change: fetch(4000)})
	}
	h.goOn(220)
	r.broker.Cluster().Compact()
	middle := h.ends()
	for i, c := range archives {
		c.open(t, r)
		c.random = rand.New(rand.NewPCG(seed, uint64(2+i)))
	}
	reach := func(stage string, ends []int64) { // each by itself, beside the others
		t.Helper()
		if !t.Run(stage, func(t *testing.T) {
			for _, c := range archives {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel() // they wait more than they compute
					c.reach(t, h, ends)
				})
			}
		}) {
			t.FailNow()
		}
	}
	reach("middle", middle)
	h.goOn(80)
	ends := h.ends()
	t.Logf("the logs end at %d, then at %d", middle, ends)
	offsets := kadm.Offsets{} // what nobody has read is deleted
	offsets.AddOffset("kept", 0, middle[0]+(ends[0]-middle[0])/2, -1)
	_, err := kadm.NewClient(r.client).DeleteRecords(t.Context(), offsets)
	must(t, err)
	reach("end", ends)
	wentThrough(t, spools)
	for _, s := range h.streams {
		first := archives[0].content(t, s)
		h.checkVerdicts(t, archives[0].name, first, s)
		if len(first.rows) < 100 || len(first.gaps) == 0 && (s.Topic == "cleaned" || s.Partition == 0) {
			t.Errorf("%s has few rows, or no gap: the history does not test what it should", s)
		}
		for _, c := range archives[1:] {
			compare(first, c.content(t, s), func(what string, args ...any) {
				t.Errorf("%s: %s against %s: %s", s, c.name, archives[0].name, fmt.Sprintf(what, args...))
			})
		}
	}
}
