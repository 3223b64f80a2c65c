package ledger

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/schema"
)

// MaxFindings bounds the findings that a Report lists; more are counted.
const MaxFindings = 1000

// VerifyOptions say how much of a stream is read.
type VerifyOptions struct {
	// Deep reads every byte: each commit from its own object, not from rollups,
	// and each segment to hash it. Else commits behind a rollup and segments
	// are looked for, and their sizes compared.
	Deep bool
	// Progress, if set, is called now and then, from one goroutine at a time.
	Progress func(Report)
}

// Finding is one thing that does not hold. Err is Corrupt.
type Finding struct {
	Seq int64
	Key string
	Err error
}

// Report is what a verification counted and found. It holds when Findings is
// zero.
type Report struct {
	Stream   schema.Stream
	Head     Head
	Commits  int64
	Segments int64
	// Rows and GapOffsets sum over segment and gap commits, of all branches.
	Rows       schema.Counts
	GapOffsets int64
	// Bytes of segments and raw batches that were looked for, and of those that were hashed.
	Bytes, Hashed int64
	Rollups       int64
	// Batches are the raw batches that gaps name: what could not be read.
	Batches int64
	// Findings counts; Listed holds the first MaxFindings of them.
	Findings int64
	Listed   []Finding
}

// Verify recounts a stream: the chain holds, every commit has its object, the
// rollups repeat it, and every segment, gap list and raw batch that it names is there
// with the size, and if asked the hash, that it names. What does not hold is
// in the report. The error says that the verification could not be done:
// NotFound when there is no chain, Unavailable, or the context's.
//
// It proves that the archive is consistent in itself. That a chain was not cut
// off or rewritten as a whole takes a checkpoint kept elsewhere.
func (l *Ledger) Verify(ctx context.Context, s schema.Stream, o VerifyOptions) (Report, error) {
	v := verification{ledger: l, options: o, report: Report{Stream: s}}
	err := v.chain(ctx, s)
	if err == nil {
		err = v.objects(ctx)
	}
	if err != nil {
		return v.report, fmt.Errorf("verify %s: %w", s, err)
	}
	v.progress()
	return v.report, nil
}

type verification struct {
	ledger  *Ledger
	options VerifyOptions
	view    View

	mu     sync.Mutex
	report Report
}

// note sorts an error: what is Corrupt, or missing though it was promised, is a
// finding; everything else ends the verification.
func (v *verification) note(seq int64, key string, err error) error {
	switch schema.KindOf(err) {
	case schema.Corrupt, schema.NotFound:
		v.mu.Lock()
		defer v.mu.Unlock()
		v.report.Findings++
		if len(v.report.Listed) < MaxFindings {
			v.report.Listed = append(v.report.Listed, Finding{Seq: seq, Key: key, Err: err})
		}
		return nil
	default:
		return err
	}
}

func (v *verification) progress() {
	if v.options.Progress != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.options.Progress(v.report)
	}
}

// chain walks the commits. Where the chain breaks, it ends: what is behind
// cannot be vouched for.
func (v *verification) chain(ctx context.Context, s schema.Stream) error {
	head, err := v.ledger.Head(ctx, s)
	if err != nil {
		if schema.KindOf(err) == schema.Corrupt {
			return v.note(-1, schema.LedgerStreamPrefix(s), err)
		}
		return err
	}
	v.report.Head = head
	w := walk{ledger: v.ledger, stream: s, end: head, singly: v.options.Deep}
	var thousand []Entry
	for e, err := range w.entries(ctx) {
		if err != nil {
			return v.note(w.at.seq(), schema.CommitKey(s, w.at.seq()), err)
		}
		if err := v.view.apply(e); err != nil {
			return v.note(e.Commit.Seq, schema.CommitKey(s, e.Commit.Seq), err)
		}
		v.count(e.Commit)
		thousand = append(thousand, e)
		if last := e.Commit.Seq == head.Commit.Seq; last || len(thousand) == perRollup {
			if err := v.folder(ctx, s, thousand); err != nil {
				return err
			}
			thousand = thousand[:0]
			v.progress()
		}
	}
	return nil
}

func (v *verification) count(c *schema.Commit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Commits++
	v.report.Stream = v.view.Stream
	if c.Kind == schema.KindSegment || c.Kind == schema.KindGap {
		v.report.Rows.Committed += c.Records.Committed
		v.report.Rows.Aborted += c.Records.Aborted
		v.report.Rows.Control += c.Records.Control
		v.report.GapOffsets += c.GapOffsets
	}
}

// folder holds one folder of commit objects against the commits of the chain,
// and a full thousand against its rollup.
func (v *verification) folder(ctx context.Context, s schema.Stream, thousand []Entry) error {
	sizes := make(map[string]int64, len(thousand))
	first := thousand[0].Commit.Seq
	folder := fmt.Sprintf("%s%017d/", schema.LedgerStreamPrefix(s), first/perRollup)
	for o, err := range v.ledger.store.List(ctx, folder, "") {
		if err != nil {
			return err
		}
		sizes[o.Key] = o.Size
	}
	for _, e := range thousand {
		key := schema.CommitKey(s, e.Commit.Seq)
		size, there := sizes[key]
		if there && size == int64(len(e.Raw)) {
			continue
		}
		// A listing of a folder that is being written to may leave out names.
		if err := v.size(ctx, e.Commit.Seq, key, int64(len(e.Raw))); err != nil {
			return err
		}
	}
	if len(thousand) < perRollup {
		return nil
	}
	return v.rollup(ctx, s, thousand)
}

func (v *verification) rollup(ctx context.Context, s schema.Stream, thousand []Entry) error {
	seq := thousand[0].Commit.Seq
	key := schema.RollupKey(s, seq/perRollup)
	raw, _, err := v.ledger.store.Get(ctx, key, maxRollupBytes)
	if schema.KindOf(err) == schema.NotFound {
		return nil // it is a convenience
	}
	if err != nil {
		return v.note(seq, key, err)
	}
	batch, err := parseRollup(s, seq/perRollup, raw)
	for i := 0; err == nil && i < len(batch); i++ {
		if batch[i].Digest != thousand[i].Digest {
			err = schema.Errorf(schema.Corrupt, "line %d is not commit %d", i+1, thousand[i].Commit.Seq)
		}
	}
	v.report.Rollups++
	return v.note(seq, key, err)
}

// size looks for an object of a known size.
func (v *verification) size(ctx context.Context, seq int64, key string, want int64) error {
	o, err := v.ledger.store.Stat(ctx, key)
	if err == nil && o.Size != want {
		err = schema.Errorf(schema.Corrupt, "%s has %d bytes, the ledger says %d", key, o.Size, want)
	}
	return v.note(seq, key, err)
}

// objects looks for what the chain names: segments and gap lists.
func (v *verification) objects(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for _, s := range v.view.All() {
		group.Go(func() error { return v.segment(ctx, s) })
	}
	for _, g := range v.view.Gapped {
		group.Go(func() error { return v.gaps(ctx, g.Commit) })
	}
	return group.Wait()
}

// gaps reads a commit's gap list, and looks for the raw batches that it names.
func (v *verification) gaps(ctx context.Context, c *schema.Commit) error {
	gaps, err := v.ledger.Gaps(ctx, c)
	if err != nil {
		return v.note(c.Seq, c.GapsObject.Key, err)
	}
	for _, g := range gaps {
		if g.Object == nil {
			continue
		}
		if err := v.object(ctx, c.Seq, *g.Object); err != nil {
			return err
		}
		v.mu.Lock()
		v.report.Batches++
		v.mu.Unlock()
	}
	return nil
}

func (v *verification) segment(ctx context.Context, s Segment) error {
	if err := v.object(ctx, s.Seq, s.Ref.ObjectRef); err != nil {
		return err
	}
	v.mu.Lock()
	v.report.Segments++
	due := v.report.Segments%perRollup == 0
	v.mu.Unlock()
	if due {
		v.progress()
	}
	return nil
}

// object looks for what a commit names by hash, and hashes it if asked.
func (v *verification) object(ctx context.Context, seq int64, ref schema.ObjectRef) error {
	if err := v.size(ctx, seq, ref.Key, ref.Bytes); err != nil {
		return err
	}
	var hashed int64
	if v.options.Deep {
		var err error
		if hashed, err = v.ledger.hash(ctx, ref); err != nil {
			if err := v.note(seq, ref.Key, err); err != nil {
				return err
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Bytes += ref.Bytes
	v.report.Hashed += hashed
	return nil
}

// hash reads an object, some megabytes at a time.
func (l *Ledger) hash(ctx context.Context, ref schema.ObjectRef) (int64, error) {
	object := io.NewSectionReader(l.store.ReaderAt(ctx, ref.Key, ref.Bytes), 0, ref.Bytes)
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, readerOnly{object}, make([]byte, min(4<<20, max(1, ref.Bytes))))
	if err != nil {
		return n, err
	}
	if got := schema.Digest(sum.Sum(nil)); got != ref.SHA256 {
		return n, schema.Errorf(schema.Corrupt, "%s has the hash %s, the ledger says %s", ref.Key, got, ref.SHA256)
	}
	return n, nil
}

// readerOnly hides everything but Read, so that io.CopyBuffer uses its buffer.
type readerOnly struct{ io.Reader }
