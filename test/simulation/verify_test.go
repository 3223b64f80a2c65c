//go:build synctests

package simulation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// patience is how long, in virtual time, a calm cluster may take until
// everything is archived.
const patience = 15 * time.Minute

// rest ends what is open, makes all faults cease and waits until everything is
// archived, and the index has it.
func (w *world) rest(ctx context.Context) error {
	for _, t := range w.producers.transactional {
		if t.open != nil {
			w.producers.end(ctx, t, w.script.chance(0.5))
		}
	}
	for _, p := range w.all {
		if _, err := p.faults.Deliver(); err != nil {
			return err
		}
	}
	w.setCalm(true)
	w.note("calm")
	for _, p := range w.running {
		p.gate.unlock(false)
	}
	if len(w.running) == 0 {
		if _, err := w.launch(); err != nil {
			return err
		}
	}
	time.Sleep(70 * time.Second) // the coordinator has ended what a crashed producer left open
	if err := w.kafka.observe(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		missing, err := w.missing(ctx)
		if err != nil {
			return err
		}
		if missing == "" {
			break
		}
		for _, p := range w.running {
			select {
			case <-p.done:
				return fmt.Errorf("archiver %s gave up: %w", p.name, p.err)
			default:
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stuck: %s after %s of calm: %s", missing, patience, w.ailments())
		}
		for _, p := range w.running {
			if _, err := p.a.Seal(ctx, false); err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
	}
	for _, p := range w.running {
		p.cancel()
	}
	for _, p := range w.all {
		<-p.done
	}
	return nil
}

// missing names what is not archived, or not indexed, yet.
func (w *world) missing(ctx context.Context) (string, error) {
	for _, s := range w.kafka.streams() {
		head, err := w.book.Head(ctx, w.streamOf(s))
		if schema.KindOf(err) == schema.NotFound && err != nil {
			return fmt.Sprintf("%s has no chain", s), nil
		}
		if err != nil {
			return "", err
		}
		if end := int64(len(w.kafka.truth[s].records)); head.Next != end {
			return fmt.Sprintf("%s is archived to %d of %d", s, head.Next, end), nil
		}
		if seq, _ := w.index.FirstMissing(ctx, w.streamOf(s), schema.ExtractVersion); seq != head.Commit.Seq+1 {
			return fmt.Sprintf("%s is indexed to commit %d of %d", s, seq, head.Commit.Seq), nil
		}
	}
	owned, doubted := 0.0, 0.0
	for _, p := range w.running {
		if n := p.disk.measured("annals_archiver_spool_bytes"); n > 0 {
			return fmt.Sprintf("the spool of archiver %s holds %.0f bytes, which nothing needs,", p.name, n), nil
		}
		owned += p.measured("annals_archiver_partitions")
		doubted += p.measured("annals_archiver_doubted_partitions")
	}
	// A log that was set back may end where its archive does: nobody has compared
	// the two before somebody reads it.
	if all := len(w.kafka.streams()); owned < float64(all) || doubted > 0 {
		return fmt.Sprintf("%.0f of %d partitions are read, %.0f of them in doubt: all", owned, all, doubted), nil
	}
	return w.unindexed(ctx)
}

// unindexed names what the index misses of topics that are gone.
func (w *world) unindexed(ctx context.Context) (string, error) {
	for s, err := range w.book.Streams(ctx) {
		if err != nil {
			return "", err
		}
		h := w.kafka.truth[stream{s.Topic, s.TopicID, s.Partition}]
		if h == nil || !h.gone {
			continue
		}
		head, err := w.book.Head(ctx, s)
		if err != nil {
			return "", err
		}
		if seq, _ := w.index.FirstMissing(ctx, s, schema.ExtractVersion); seq != head.Commit.Seq+1 {
			return fmt.Sprintf("%s, which is gone, is indexed to commit %d of %d", s, seq, head.Commit.Seq), nil
		}
	}
	return "", nil
}

func (w *world) ailments() string {
	var all []string
	for _, p := range w.running {
		all = append(all, fmt.Sprintf("%s: %+v", p.name, p.a.Health()))
	}
	return strings.Join(all, "; ")
}

// verify holds every chain against what the logs were.
func (w *world) verify(ctx context.Context) error {
	var all []error
	for s, err := range w.book.Streams(ctx) {
		if err != nil {
			return err
		}
		h := w.kafka.truth[stream{s.Topic, s.TopicID, s.Partition}]
		if h == nil {
			all = append(all, fmt.Errorf("%s was never created", s))
			continue
		}
		if err := w.verifyStream(ctx, s, h); err != nil {
			all = append(all, fmt.Errorf("%s: %w", s, err))
		}
	}
	return errors.Join(all...)
}

func (w *world) verifyStream(ctx context.Context, s schema.Stream, h *history) error {
	report, err := w.book.Verify(ctx, s, ledger.VerifyOptions{Deep: true})
	if err != nil {
		return err
	}
	if report.Findings > 0 {
		return fmt.Errorf("chain: %d findings: %v", report.Findings, report.Listed[0].Err)
	}
	view, err := w.book.View(ctx, s, nil)
	if err != nil {
		return err
	}
	rows, err := w.rows(ctx, view, h)
	if err != nil {
		return err
	}
	gaps, err := w.gaps(ctx, view)
	if err != nil {
		return err
	}
	next := view.Head.Next
	if !h.gone && next != int64(len(h.records)) {
		return fmt.Errorf("chain: next is %d, the log ends at %d", next, len(h.records))
	}
	begin := view.Genesis.Next
	for _, b := range view.Branches[1:] {
		begin = min(begin, b.Point) // the log fell back behind where the archive begins
	}
	for offset := begin; offset < next; offset++ {
		class, gapped := gaps[offset]
		switch {
		case rows[offset] && gapped:
			return fmt.Errorf("chain: offset %d is a row and a gap", offset)
		case rows[offset]:
		case !gapped:
			return fmt.Errorf("chain: offset %d is neither a row nor a gap", offset)
		case class != schema.GapBeforeLogStart:
			return fmt.Errorf("gap: offset %d is %s, nothing was but deleted", offset, class)
		case offset >= h.deleted:
			return fmt.Errorf("gap: offset %d was never deleted, the log began at %d at most", offset, h.deleted)
		}
	}
	for offset := range rows {
		if offset < begin || offset >= next {
			return fmt.Errorf("chain: row %d is outside of %d to %d", offset, begin, next)
		}
	}
	return w.acknowledged(h)
}

// rows reads every object of the view, and holds current rows against the log,
// the others against the logs that were lost.
func (w *world) rows(ctx context.Context, view *ledger.View, h *history) (map[int64]bool, error) {
	rows := map[int64]bool{}
	for _, g := range view.All() {
		reader, err := segment.Open(ctx, w.store.ReaderAt(ctx, g.Ref.Key, g.Ref.Bytes), g.Ref.Bytes)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		for row, err := range reader.Rows(ctx, g.Base, g.Next) {
			if err != nil {
				return nil, fmt.Errorf("store: %w", err)
			}
			r := &row.Record
			if !w.index.rows[r.Position()] {
				return nil, fmt.Errorf("index: row %d of branch %d, of commit %d, is not in", r.Offset, r.Branch, g.Seq)
			}
			if r.Offset >= g.Until || h.gone {
				if !everWas(h, r) {
					return nil, fmt.Errorf("rows: %d of branch %d was in no log", r.Offset, r.Branch)
				}
				if r.Offset < g.Until {
					rows[r.Offset] = true
				}
				continue
			}
			if rows[r.Offset] {
				return nil, fmt.Errorf("rows: %d is there twice", r.Offset)
			}
			rows[r.Offset] = true
			if err := isRow(h, r); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// isRow holds a current row against the log. What was deleted from it may be
// of a history that was lost before: nothing is served that could tell.
func isRow(h *history, r *schema.Record) error {
	err := inLog(h.records, r)
	if err != nil && r.Offset < h.deleted && everWas(h, r) {
		return nil
	}
	return err
}

func inLog(log []record, r *schema.Record) error {
	if r.Offset >= int64(len(log)) {
		return fmt.Errorf("rows: %d is not in the log, which ends at %d", r.Offset, len(log))
	}
	was := &log[r.Offset]
	if !same(was, r) {
		return fmt.Errorf("rows: %d is another record: %s in the log, %s archived", r.Offset, was, archivedAs(r))
	}
	if want := verdict(log, int(r.Offset)); r.Status != want {
		return fmt.Errorf("rows: a record's status: %d is %s, the markers say %s", r.Offset, r.Status, want)
	}
	return nil
}

func same(was *record, r *schema.Record) bool {
	return was.offset == r.Offset && was.epoch == r.LeaderEpoch && was.producer == r.ProducerID && was.pepoch == r.ProducerEpoch &&
		was.timestamp == r.Timestamp && was.control == (r.Status == schema.Control) && was.key == string(r.Key) && was.value == string(r.Value)
}

func archivedAs(r *schema.Record) *record {
	return &record{
		offset: r.Offset, epoch: r.LeaderEpoch, producer: r.ProducerID, pepoch: r.ProducerEpoch, timestamp: r.Timestamp,
		control: r.Status == schema.Control, key: string(r.Key), value: string(r.Value),
	}
}

func everWas(h *history, r *schema.Record) bool {
	for _, log := range append([][]record{h.records}, h.lost...) {
		if inLog(log, r) == nil {
			return true
		}
	}
	return false
}

// gaps gives the class of every offset that the latest view says was not
// served.
func (w *world) gaps(ctx context.Context, view *ledger.View) (map[int64]schema.GapClass, error) {
	gaps := map[int64]schema.GapClass{}
	for _, g := range view.Gapped {
		list, err := w.book.Gaps(ctx, g.Commit)
		if err != nil {
			return nil, err
		}
		for _, gap := range list {
			for offset := gap.From; offset < min(gap.To, g.Until); offset++ {
				gaps[offset] = gap.Class
			}
		}
	}
	return gaps, nil
}

// acknowledged holds what producers were told against the logs: if it fails,
// the brokers, or this simulation, are wrong. That the archive has the logs is
// checked above.
func (w *world) acknowledged(h *history) error {
	for _, a := range h.acks {
		if a.offset < 0 {
			continue // the broker had it already, and did not say where
		}
		if a.offset >= int64(len(h.records)) || h.records[a.offset].value != a.value {
			return fmt.Errorf("brokers: offset %d was acknowledged and is not in the log", a.offset)
		}
		if a.txn == nil || !a.txn.ended {
			continue
		}
		want := schema.Aborted
		if a.txn.committed {
			want = schema.Committed
		}
		if got := verdict(h.records, int(a.offset)); got != want && len(h.lost) == 0 {
			return fmt.Errorf("brokers: the transaction of offset %d was ended as %s, the log says %s: %s", a.offset, want, got, trail(h.records, a.offset))
		}
	}
	return nil
}

// trail tells what a log has of a record's producer, from that record to the
// marker that decides it: whether a transaction went on under another epoch.
func trail(log []record, from int64) string {
	var all []string
	for i := from; i < int64(len(log)); i++ {
		if r := &log[i]; r.producer == log[from].producer {
			all = append(all, r.String()+" at "+time.UnixMilli(r.timestamp).UTC().Format(time.StampMilli))
			if r.control {
				break
			}
		}
	}
	return strings.Join(all, "; ")
}
