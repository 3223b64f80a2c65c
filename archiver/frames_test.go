package archiver

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/spool"
	"github.com/fx-risk-ai/annals/schema"
)

func openSpool(t testing.TB, bytes int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(t.TempDir(), bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// twins are a buffer in memory and one that is spooled in every way, which are
// given the same.
type twins struct {
	t          *rapid.T
	records    []schema.Record
	verdicts   []schema.Status
	disk       *spool.Spool
	plain, own *partition
	flying     *spill // not taken by the partition yet
	took       int    // records that both were given
	reader     spool.Reader
	sealed     []schema.Record
	fed        map[int64]bool
}

func (w *twins) bring(p *partition, from, to int) {
	batch := slices.Clone(w.records[from:to])
	p.take(&kafka.Batch{Records: batch}, time.Now())
}

// sound holds what the spooled buffer counts against what it holds.
func (w *twins) sound() {
	w.t.Helper()
	p := w.own
	var bytes, decidedBytes, decidedRaw, cost_, decidedCost, disk int64
	n := 0
	for _, f := range p.frames {
		if f.at != p.first+int64(n) {
			w.t.Fatalf("a frame begins at row %d, %d rows are before it", f.at-p.first, n)
		}
		if n += f.Rows; n <= p.decided {
			decidedCost += f.cost
			decidedRaw += f.raw
			if len(f.waits) > 0 {
				w.t.Fatalf("a decided frame waits for %v", f.waits)
			}
		}
		cost_, disk = cost_+f.cost, disk+f.Bytes()
	}
	for i, row := range p.rows.all() {
		size := cost(row)
		bytes += size
		if n+i < p.decided {
			decidedBytes += size
			decidedRaw += row.Bytes()
		}
	}
	if n != p.inFrames || bytes != p.bytes || decidedBytes != p.decidedBytes || decidedRaw != p.decidedRaw || cost_ != p.cost || decidedCost != p.decidedCost || disk != p.disk {
		w.t.Fatalf("rows %d, bytes %d, decided %d, raw %d, spooled %d, decided %d, disk %d; counted %+v, %d, %d, %d",
			n, bytes, decidedBytes, decidedRaw, cost_, decidedCost, disk, p.spooled, p.bytes, p.decidedBytes, p.decidedRaw)
	}
	if p.decided > w.plain.decided || p.fed > p.decided {
		w.t.Fatalf("decided %d, fed %d; without a spool %d are decided", p.decided, p.fed, w.plain.decided)
	}
	if p.whole(p.fed) != p.fed || p.whole(p.decided) != p.decided {
		w.t.Fatalf("fed %d, decided %d are inside of frames", p.fed, p.decided)
	}
	if a, b := w.plain.last(), p.last(); (a == nil) != (b == nil) || a != nil && (a.Offset != b.Offset || b.difference(&b.Record, &a.Record) != "") {
		w.t.Fatalf("the last row is %+v, not %+v", b, a)
	}
	if w.plain.lastEpoch() != p.lastEpoch() || w.plain.expected != p.expected {
		w.t.Fatalf("at %d of epoch %d, not at %d of %d", p.expected, p.lastEpoch(), w.plain.expected, w.plain.lastEpoch())
	}
}

// cut cuts both at the same offset, and holds the two segments against each
// other: rows, gaps, the marker behind them, and the root.
func (w *twins) cut(n int) {
	p := w.own
	if !p.cuttable(p.whole(n)) {
		return
	}
	j := p.cut(cutAsked, n, time.Now())
	rows := 0
	for rows < w.plain.count() && w.plain.row(rows).Offset < j.next {
		rows++
	}
	if n == p.decided && j.next == p.expected {
		rows = w.plain.decided
	}
	want := w.plain.cut(cutAsked, rows, time.Now())
	var got []schema.Record
	tree, wanted, hasher := proof.Tree{}, proof.Tree{}, proof.NewHasher()
	if err := j.each(&w.reader, func(r *schema.Record) error {
		got = append(got, copyOf(r))
		tree.Append(hasher.Leaf(proof.Seed{1}, r))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	for _, row := range want.rows.all() {
		wanted.Append(hasher.Leaf(proof.Seed{1}, row))
	}
	if records := want.rows.copied(); len(got) != len(records) || len(got) > 0 && (!reflect.DeepEqual(got, records) || tree.Root() != wanted.Root()) {
		w.t.Fatalf("a segment of\n%+v, not\n%+v", got, records)
	}
	if !reflect.DeepEqual(j.gaps, want.gaps) || !reflect.DeepEqual(j.decidedBy, want.decidedBy) || j.rowsEnd() != want.rowsEnd() || j.next != want.next || j.count() != len(got) {
		w.t.Fatalf("%+v %+v to %d, not %+v %+v to %d", j.gaps, j.decidedBy, j.next, want.gaps, want.decidedBy, want.next)
	}
	w.sealed = append(w.sealed, got...)
	for i := range got[min(len(got), p.fed):] { // the index is away: it reads them from S3
		w.fed[got[p.fed+i].Offset] = true
	}
	head := ledger.Head{Commit: p.head.Commit, Next: j.next}
	if w.flying != nil && rapid.Bool().Draw(w.t, "the disk answers while it is sealed") {
		w.land()
	}
	p.release(j.count(), head)
	j.letGo()
	w.plain.release(want.rows.len(), head)
}

func copyOf(r *schema.Record) schema.Record {
	out := *r
	out.Key, out.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	return out
}

func (w *twins) land() {
	if w.flying == nil {
		return
	}
	if err := w.flying.write(); err != nil {
		w.t.Fatal(err)
	}
	held := w.own.memory()
	if freed := w.own.spooledBy(w.flying, time.Now()); held-freed != w.own.memory() {
		w.t.Fatalf("%d bytes were held, %d are, %d came free", held, w.own.memory(), freed)
	}
	w.flying = nil
}

// hand gives the index what is decided, as the feed does.
func (w *twins) hand(room int) {
	b := feeding{room: room, bytes: 1 << 20}
	b.take(w.own)
	for _, f := range b.next.frames {
		rows, err := f.read(&w.reader)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range rows {
			w.handed(&rows[i])
		}
		f.Drop()
	}
	for _, r := range b.next.records {
		w.handed(r)
	}
}

func (w *twins) handed(r *schema.Record) {
	i := slices.IndexFunc(w.records, func(x schema.Record) bool { return x.Offset == r.Offset })
	if r.Status != w.verdicts[i] {
		w.t.Fatalf("the index was given offset %d as %s, it is %s", r.Offset, r.Status, w.verdicts[i])
	}
	w.fed[r.Offset] = true
}

func (w *twins) step() {
	p := w.own
	switch rapid.IntRange(0, 9).Draw(w.t, "step") {
	case 0, 1, 2, 3:
		to := min(len(w.records), w.took+rapid.IntRange(1, 9).Draw(w.t, "batch"))
		w.bring(w.plain, w.took, to)
		w.bring(p, w.took, to)
		w.took = to
	case 4, 5:
		n := p.settledRows(false)
		if rapid.Bool().Draw(w.t, "with what waits") {
			n = p.allRows(rapid.Bool().Draw(w.t, "index away"))
		}
		if n = min(n, rapid.IntRange(0, 40).Draw(w.t, "spilled")); w.flying == nil && n > 0 {
			w.flying = p.spill(w.disk, n, time.Now())
		}
	case 6:
		w.land()
	case 7:
		w.hand(rapid.IntRange(1, 30).Draw(w.t, "room"))
	case 8:
		w.cut(p.most(rapid.SampledFrom([]int{p.fed, p.decided}).Draw(w.t, "cut"), rapid.Int64Range(1, 1<<14).Draw(w.t, "size")))
	case 9:
		if p.decided < p.count() && rapid.IntRange(0, 3).Draw(w.t, "set aside") == 0 {
			p.truncate()
			from := slices.IndexFunc(w.records, func(r schema.Record) bool { return r.Offset >= p.expected })
			w.bring(p, from, w.took) // as it is read again
		} else if rapid.IntRange(0, 5).Draw(w.t, "index lost it") == 0 {
			p.fed = 0
		}
	}
}

// A buffer that was spooled, in whatever parts and moments, gives the same
// segments and record roots as one that was not, the index the same verdicts;
// and nothing is left in the spool.
func TestSpooledBufferIsTheSame(t *testing.T) {
	disk := openSpool(t, 1<<30)
	rapid.Check(t, func(t *rapid.T) {
		records, verdicts := history(t)
		for i := range records {
			records[i].TopicID, records[i].Topic = schema.TopicID{1}, "t"
			records[i].Timestamp = int64(i) * 7
		}
		w := &twins{t: t, records: records, verdicts: verdicts, disk: disk, plain: opened(0), own: opened(0), fed: map[int64]bool{}}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			w.step()
			w.sound()
		}
		w.bring(w.plain, w.took, len(records))
		w.bring(w.own, w.took, len(records))
		w.took = len(records)
		w.land()
		w.hand(1 << 20)
		w.cut(w.own.decided)
		w.sound()
		for i := range w.sealed {
			if w.sealed[i].Offset != records[i].Offset || w.sealed[i].Status != verdicts[i] || !w.fed[records[i].Offset] {
				t.Fatalf("row %d is %+v, should be %+v, %s, and in the index: %t", i, w.sealed[i], records[i], verdicts[i], w.fed[records[i].Offset])
			}
		}
		w.own.abandon()
		if disk.Used() != 0 {
			t.Fatalf("%d bytes are left in the spool", disk.Used())
		}
	})
}

// What is kept of short transactions whose rows are spooled does not grow with
// them: only of those that a cut can part is it known who decided them.
func TestVerdictsInsideOfFramesGo(t *testing.T) {
	p, disk := opened(0), openSpool(t, 64<<20)
	const transactions = 20_000
	for at := int64(0); at < 2*transactions; {
		var batch kafka.Batch
		for range 1000 {
			batch.Records = append(batch.Records,
				schema.Record{Offset: at, ProducerID: at % 7, Status: schema.Undecided, Value: []byte("v")},
				schema.Record{Offset: at + 1, ProducerID: at % 7, Status: schema.Control, Key: marker(1)})
			at += 2
		}
		p.take(&batch, time.Now())
		p.fed = p.decided
		s := p.spill(disk, p.rows.len()-1, time.Now()) // the last marker stays in memory
		if err := s.write(); err != nil {
			t.Fatal(err)
		}
		p.spooledBy(s, time.Now())
	}
	if n := len(p.verdicts); n > len(p.frames)+1 || n == 0 || p.decided < 2*transactions-2 {
		t.Errorf("%d verdicts are kept of %d transactions in %d frames, %d rows are decided", n, transactions, len(p.frames), p.decided)
	}
	d := decidedBy(p.verdicts, 2*transactions-1)
	if d == nil || d.Offset != 2*transactions-1 || d.From != 2*transactions-2 {
		t.Errorf("the marker behind the last frame is %+v", d)
	}
}
