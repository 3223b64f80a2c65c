package archiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/internal/segment/segmenttest"
	"github.com/fx-risk-ai/annals/schema"
)

// twoHistories is a rig whose broker can be set back to an earlier copy of its
// data and then be told another history: the same topic ID and offsets, other
// bytes.
type twoHistories struct {
	*rig
	options embedded.KafkaOptions
	copy    string
	topicID schema.TopicID
	stream  schema.Stream
	metrics *prometheus.Registry
}

const (
	shared = 10 // records of both histories
	only   = 20 // records that only the first has
)

// newTwoHistories starts it with the topic and the records that both have.
func newTwoHistories(t *testing.T) *twoHistories {
	t.Helper()
	return twoHistoriesIn(t, filepath.Join(t.TempDir(), "data"), nil)
}

func twoHistoriesIn(t *testing.T, dir string, configs map[string]*string) *twoHistories {
	t.Helper()
	w := &twoHistories{copy: filepath.Join(t.TempDir(), "copy"), options: embedded.KafkaOptions{
		Listen: "127.0.0.1:0", DataDir: dir, User: "annals", Password: "test-two-histories",
	}}
	broker, err := embedded.StartKafka(t.Context(), w.options)
	must(t, err)
	w.rig = rigOn(t, broker)
	w.options.Listen = broker.Addr()
	t.Cleanup(func() { must(t, w.broker.Close()) })
	created, err := kadm.NewClient(w.client).CreateTopic(t.Context(), 1, 1, configs, "log")
	must(t, err)
	w.topicID = schema.TopicID(created.ID)
	w.stream = w.rig.stream("log", w.topicID, 0)
	w.say(t, "shared", shared)
	return w
}

// say produces records that tell which history they are of.
func (w *twoHistories) say(t *testing.T, history string, n int) {
	t.Helper()
	for i := range n {
		must(t, w.client.ProduceSync(t.Context(), &kgo.Record{
			Topic: "log", Key: fmt.Appendf(nil, "%s-%d", history, i),
			Value:     fmt.Appendf(nil, `{"eventId":"%s-%d","traceId":"trace-%s"}`, history, i, history),
			Timestamp: time.UnixMilli(1_700_000_000_000), Headers: []kgo.RecordHeader{{Key: "n", Value: []byte{byte(i)}}},
		}).FirstErr())
	}
}

// restart stops the broker, does something with its data, and starts it again.
func (w *twoHistories) restart(t *testing.T, meanwhile func()) {
	t.Helper()
	must(t, w.broker.Close())
	if meanwhile != nil {
		meanwhile()
	}
	broker, err := embedded.StartKafka(t.Context(), w.options)
	must(t, err)
	w.broker = broker
	w.client = embeddedtest.KafkaClient(t, broker, kgo.RecordPartitioner(kgo.ManualPartitioner()))
}

// keep takes the copy, setBack brings it in force again.
func (w *twoHistories) keep(t *testing.T) {
	t.Helper()
	w.restart(t, func() { must(t, os.CopyFS(w.copy, os.DirFS(w.options.DataDir))) })
}

func (w *twoHistories) setBack(t *testing.T) {
	t.Helper()
	w.restart(t, func() {
		must(t, os.RemoveAll(w.options.DataDir))
		must(t, os.CopyFS(w.options.DataDir, os.DirFS(w.copy)))
	})
}

// elect raises the leader epoch.
func (w *twoHistories) elect(t *testing.T) {
	t.Helper()
	must(t, w.broker.Cluster().MoveTopicPartition("log", 0, w.broker.Cluster().LeaderFor("log", 0)))
	w.client.ForceMetadataRefresh()
}

// forgetEpochs makes the broker answer that it knows no leader epoch.
func (w *twoHistories) forgetEpochs() {
	c := w.broker.Cluster()
	c.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		asked, _ := request.(*kmsg.OffsetForLeaderEpochRequest)
		response, _ := asked.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, topic := range asked.Topics {
			t := kmsg.NewOffsetForLeaderEpochResponseTopic()
			t.Topic = topic.Topic
			for _, partition := range topic.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = partition.Partition, -1, -1
				t.Partitions = append(t.Partitions, p)
			}
			response.Topics = append(response.Topics, t)
		}
		return response, nil, true
	})
}

func (w *twoHistories) run(t *testing.T) (*archiver.Archiver, func()) {
	t.Helper()
	w.metrics = prometheus.NewRegistry()
	return w.archive(t, func(o *archiver.Options) {
		o.StaleLeader = 100 * time.Millisecond
		o.Registerer = w.metrics
	})
}

// metric sums a metric over the series that have the text in their labels.
func (w *twoHistories) metric(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := w.metrics.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && strings.Contains(fmt.Sprint(m.GetLabel()), label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// served is what Kafka serves now.
func (w *twoHistories) served(t *testing.T) []*kgo.Record {
	t.Helper()
	ends, err := kadm.NewClient(w.client).ListEndOffsets(t.Context(), "log")
	must(t, err)
	end, _ := ends.Lookup("log", 0)
	client := embeddedtest.KafkaClient(t, w.broker, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"log": {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	var all []*kgo.Record
	for len(all) == 0 || all[len(all)-1].Offset < end.Offset-1 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d records of %d offsets: %v", len(all), end.Offset, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// archivedRows reads the latest view and everything that was ever archived,
// and holds the chain against its objects.
func (w *twoHistories) archivedRows(t *testing.T) (current, all []segment.Row, view *ledger.View) {
	t.Helper()
	report, err := w.book.Verify(t.Context(), w.stream, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings != 0 {
		t.Fatalf("the chain does not hold: %+v", report.Listed)
	}
	view, err = w.book.View(t.Context(), w.stream, nil)
	must(t, err)
	for _, s := range view.All() {
		body, _, err := w.store.Get(t.Context(), s.Ref.Key, 1<<30)
		must(t, err)
		for _, row := range segmenttest.Read(t, body) {
			if all = append(all, row); row.Offset < s.Until {
				current = append(current, row)
			}
		}
	}
	return current, all, view
}

// archivesWhatIsServed waits until all of the log is sealed, and holds the
// latest view against it, record by record. It returns the branch points.
func (w *twoHistories) archivesWhatIsServed(t *testing.T, a *archiver.Archiver) []ledger.Branch {
	t.Helper()
	sent := w.served(t)
	end := sent[len(sent)-1].Offset + 1
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if err := a.CatchUp(ctx); err != nil {
			return fmt.Errorf("%w: %v", err, a.Health())
		}
		if _, err := a.Seal(ctx, true); err != nil {
			return err
		}
		head, err := w.book.Head(t.Context(), w.stream)
		if err == nil && head.Next != end {
			err = fmt.Errorf("archived up to %d, the log ends at %d", head.Next, end)
		}
		return err
	})
	current, _, view := w.archivedRows(t)
	same(t, current, sent)
	return view.Branches
}

func points(branches []ledger.Branch) string {
	var list []string
	for _, b := range branches[1:] {
		list = append(list, fmt.Sprint(b.Point))
	}
	return strings.Join(list, " ")
}

// While no archiver runs, the log is set back and goes on otherwise: it is
// noticed at the next start, whatever the lengths and whatever the broker
// knows of leader epochs. What is archived is current up to where both are the
// same, and what was archived once stays readable.
func TestDivergedWhileDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, before, after func(t *testing.T, w *twoHistories)
		more                 int    // records of the second history
		want                 string // branch points
	}{
		"longer":             {more: 30, want: "10"},
		"equally long":       {more: only, want: "10"},
		"shorter":            {more: 5, want: "10"},
		"a prefix":           {more: 0, want: "10"},
		"epochs unknown":     {more: 30, want: "10", after: func(_ *testing.T, w *twoHistories) { w.forgetEpochs() }},
		"shorter, unknown":   {more: 5, want: "10", after: func(_ *testing.T, w *twoHistories) { w.forgetEpochs() }},
		"another leader":     {more: 30, want: "10", before: func(t *testing.T, w *twoHistories) { w.elect(t) }},
		"another, shorter":   {more: 5, want: "10", before: func(t *testing.T, w *twoHistories) { w.elect(t) }},
		"its leader forgot":  {more: 30, want: "10", first: func(t *testing.T, w *twoHistories) { w.elect(t) }},
		"both were elected":  {more: 5, want: "10", first: func(t *testing.T, w *twoHistories) { w.elect(t) }, before: func(t *testing.T, w *twoHistories) { w.elect(t) }},
		"prefix and unknown": {more: 0, want: "10", after: func(_ *testing.T, w *twoHistories) { w.forgetEpochs() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			w := newTwoHistories(t)
			w.keep(t)
			if c.first != nil {
				c.first(t, w)
			}
			w.say(t, "first", only)
			a, stop := w.run(t)
			if got := points(w.archivesWhatIsServed(t, a)); got != "" {
				t.Fatalf("one history, and yet branches at %s", got)
			}
			stop()
			w.setBack(t)
			if c.before != nil {
				c.before(t, w)
			}
			w.say(t, "second", c.more)
			if c.after != nil {
				c.after(t, w)
			}
			for range 2 { // the second start finds nothing new
				a, stop = w.run(t)
				if got := points(w.archivesWhatIsServed(t, a)); got != c.want {
					t.Fatalf("branches at %q, want %q", got, c.want)
				}
				stop()
			}
			_, all, _ := w.archivedRows(t)
			if n := count(all, "first"); n != only {
				t.Errorf("%d of the %d records that Kafka lost are still there", n, only)
			}
			// Going on is going on.
			w.say(t, "third", 3)
			a, _ = w.run(t)
			w.archivesWhatIsServed(t, a)
		})
	}
}

func count(rows []segment.Row, history string) (n int) {
	for _, row := range rows {
		if bytes.HasPrefix(row.Key, []byte(history+"-")) {
			n++
		}
	}
	return n
}

// The archive ends where both histories still are the same.
func TestNoDivergenceWhereTheArchiveIsAPrefix(t *testing.T) {
	t.Parallel()
	w := newTwoHistories(t)
	a, stop := w.run(t)
	w.archivesWhatIsServed(t, a)
	stop()
	w.keep(t)
	w.say(t, "first", only) // not archived
	w.setBack(t)
	w.elect(t)
	w.say(t, "second", only+1)
	a, _ = w.run(t)
	if got := points(w.archivesWhatIsServed(t, a)); got != "" {
		t.Errorf("branches at %s", got)
	}
	if n := w.metric(t, "annals_archiver_guards_total", "same"); n == 0 {
		t.Error("nothing was compared")
	}
}

// Nothing that is in scope is shared: the branch begins where the log does, or
// the archive; and below its genesis where the log ends below it, since what
// comes there is new.
func TestDivergedFromTheBeginning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more int
		want string
	}{"longer than the genesis": {more: only + 3, want: "30"}, "ends below it": {more: 2, want: "12"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			w := newTwoHistories(t)
			w.keep(t)
			w.say(t, "before", only)
			a, stop := w.archive(t, func(o *archiver.Options) { o.StartLatest = true })
			embeddedtest.Eventually(t, 30*time.Second, func() error { _, err := w.book.Head(t.Context(), w.stream); return err })
			w.say(t, "first", 5)
			w.sealed(t, a, w.stream, shared+only+5)
			stop()
			w.setBack(t)
			w.say(t, "second", c.more)
			a, _ = w.run(t)
			w.sealed(t, a, w.stream, int64(shared+c.more))
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				_, _, view := w.archivedRows(t)
				if got := points(view.Branches); got != c.want || view.Genesis.Next != shared+only {
					return fmt.Errorf("genesis at %d, branches at %q, want %q", view.Genesis.Next, got, c.want)
				}
				return nil
			})
			w.say(t, "third", only)
			w.sealed(t, a, w.stream, int64(shared+c.more+only))
			current, all, _ := w.archivedRows(t)
			if count(all, "first") != 5 || count(current, "first") != 0 || count(current, "third") != only {
				t.Errorf("%d, %d, %d", count(all, "first"), count(current, "first"), count(current, "third"))
			}
		})
	}
}

// While the archiver reads, the log is set back.
func TestDivergedWhileUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sealed   bool // what the first history has more is archived
		indexed  bool // … or at least given to the index
		elected  bool
		more     int
		branches string
	}{
		"sealed, log shorter":             {sealed: true, more: 5, branches: "10"},
		"sealed, log longer, elected":     {sealed: true, more: 30, elected: true, branches: "10"},
		"buffered, log shorter":           {more: 5},
		"buffered, log longer, elected":   {more: 30, elected: true},
		"indexed, log shorter":            {more: 5, indexed: true, branches: "10"},
		"indexed, log longer and elected": {more: 30, indexed: true, elected: true, branches: "10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			w := newTwoHistories(t)
			w.keep(t)
			gate := &gate{Index: w.rig.index}
			w.rig.through = gate
			w.metrics = prometheus.NewRegistry()
			a, _ := w.archive(t, func(o *archiver.Options) {
				o.Feed, o.Registerer = archiver.Feed{Every: time.Millisecond}, w.metrics
			})
			w.archivesWhatIsServed(t, a)
			if !c.indexed && !c.sealed {
				w.occupy(t, gate)
			}
			w.say(t, "first", only)
			if c.sealed {
				w.archivesWhatIsServed(t, a)
			}
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				if n := w.metric(t, "annals_archiver_unsealed_records", ""); !c.sealed && n < only {
					return fmt.Errorf("%.0f records were taken in", n)
				}
				if n := w.sql(t, "SELECT count() FROM DB.records WHERE offset >= 10"); c.indexed && n != fmt.Sprint(only) {
					return fmt.Errorf("%s records are indexed", n)
				}
				return nil
			})
			w.setBack(t)
			if c.elected {
				w.elect(t)
			}
			w.say(t, "second", c.more)
			embeddedtest.Eventually(t, 30*time.Second, func() error {
				if n := w.metric(t, "annals_archiver_guards_total", ""); n == 0 {
					return errors.New("no guard was asked")
				}
				return nil
			})
			gate.open()
			got := points(w.archivesWhatIsServed(t, a))
			if got != c.branches {
				t.Errorf("branches at %q, want %q", got, c.branches)
			}
			embeddedtest.Eventually(t, 20*time.Second, func() error { // the group was lost with the broker
				if said := a.Health(); len(said) > 0 {
					return fmt.Errorf("it went on, and yet: %v", said)
				}
				return nil
			})
		})
	}
}

// gate is an index that takes records only while it is open.
type gate struct {
	archiver.Index
	mu     sync.RWMutex
	closed bool
}

func (g *gate) InsertRecords(ctx context.Context, rows []index.Row, at time.Time) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.Index.InsertRecords(ctx, rows, at)
}

func (g *gate) open() {
	if g.closed {
		g.mu.Unlock()
	}
	g.closed = false
}

// occupy closes the gate and keeps all of the feed busy with another topic.
func (w *twoHistories) occupy(t *testing.T, g *gate) {
	t.Helper()
	g.mu.Lock()
	g.closed = true
	t.Cleanup(g.open)
	for i := range 4 {
		if i == 0 {
			w.topic(t, "noise", 1)
		}
		must(t, w.client.ProduceSync(t.Context(), &kgo.Record{Topic: "noise", Value: []byte("x")}).FirstErr())
		want := float64(shared + i + 1)
		embeddedtest.Eventually(t, 30*time.Second, func() error {
			if n := w.metric(t, "annals_archiver_records_total", ""); n < want {
				return fmt.Errorf("%.0f records were taken in", n)
			}
			return nil
		})
		time.Sleep(20 * time.Millisecond) // several batches
	}
}

// A compacted log has not got the newest archived record any more: an older
// one is compared, and if there is none, it is said that nothing was.
func TestGuardOnACompactedTopic(t *testing.T) {
	t.Parallel()
	compact, forEver := "compact", "-1" // kfake's retention does not ask for the policy
	for name, c := range map[string]struct {
		replaced int // of the archived records, the newest
		epochs   bool
		diverge  bool
		outcome  string
	}{
		"an older record is left, diverged":     {replaced: only / 2, diverge: true, outcome: "diverged"},
		"diverged, epochs known":                {replaced: only / 2, diverge: true, epochs: true, outcome: "diverged"},
		"an older record is left":               {replaced: only / 2, outcome: "same"},
		"nothing that is archived is left":      {replaced: only + shared, outcome: "unknown"},
		"nothing is left, the epoch is known":   {replaced: only + shared, epochs: true, outcome: "epoch"},
		"an older record is left, epochs known": {replaced: only / 2, epochs: true, outcome: "same"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they compute
			w := twoHistoriesIn(t, filepath.Join(t.TempDir(), "data"), map[string]*string{"cleanup.policy": &compact, "retention.ms": &forEver})
			w.keep(t)
			w.say(t, "first", only)
			a, stop := w.run(t)
			w.archivesWhatIsServed(t, a)
			stop()
			if c.diverge {
				w.setBack(t)
				w.say(t, "second", only)
			}
			keys := make([]string, 0, shared+only)
			for _, r := range w.served(t) {
				keys = append(keys, string(r.Key))
			}
			for _, key := range keys[len(keys)-c.replaced:] {
				must(t, w.client.ProduceSync(t.Context(), &kgo.Record{Topic: "log", Key: []byte(key), Value: []byte("newer")}).FirstErr())
			}
			w.say(t, "last", 1)
			w.broker.Cluster().Compact()
			before := w.served(t)
			if slices.ContainsFunc(before, func(r *kgo.Record) bool { return r.Offset == shared+only-1 }) {
				t.Fatal("the newest archived record is still there")
			}
			if !c.epochs {
				w.forgetEpochs()
			}
			a, _ = w.run(t)
			w.sealed(t, a, w.stream, before[len(before)-1].Offset+1)
			if n := w.metric(t, "annals_archiver_guards_total", c.outcome); n != 1 {
				t.Errorf("%s was found %.0f times", c.outcome, n)
			}
			if n := w.metric(t, "annals_archiver_unproven_partitions", ""); (n == 1) != (c.outcome == "unknown") {
				t.Errorf("%.0f partitions are unproven", n)
			}
			current, _, view := w.archivedRows(t)
			if (points(view.Branches) == "10") != c.diverge || len(view.Branches) > 2 {
				t.Errorf("branches at %q", points(view.Branches))
			}
			for _, r := range before { // all that is served is archived
				if !slices.ContainsFunc(current, func(row segment.Row) bool { return row.Offset == r.Offset && bytes.Equal(row.Value, r.Value) }) {
					t.Errorf("offset %d is not what is served", r.Offset)
				}
			}
		})
	}
}
