package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/schema"
)

// MaxFindings bounds the findings that a Report lists; more are counted.
const MaxFindings = 1000

// MaxUnknown bounds the objects without an answer: with more, it is the store
// that gives none, and the verification ends.
const MaxUnknown = 20

// VerifyOptions say how much of a stream is read.
type VerifyOptions struct {
	// Deep reads every byte: each commit from its own object, not from rollups,
	// and each segment to hash it. Else commits behind a rollup and segments
	// are looked for, and their sizes compared.
	Deep bool
	// Segment, if set, stands in for the hashing of segments: it reads one and
	// holds its bytes and rows against s and the gaps between its rows, and says
	// how many bytes it has read; 0 for a segment that it leaves out. Its errors
	// are sorted as the verification's own: Corrupt and NotFound are findings. It
	// is called from several goroutines.
	Segment func(ctx context.Context, of schema.Stream, s Segment, gaps []schema.Gap) (read int64, err error)
	// Progress, if set, is called now and then, from one goroutine at a time.
	Progress func(Report)
}

// Finding is one thing that does not hold, or could not be found out. Err is
// Corrupt, or NotFound of an object that was promised, or why there was no
// answer.
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
	// Read are the segments whose bytes were read.
	Read int64
	// Orphans are the objects in the stream's folder below data/ that no commit
	// names, and OrphanBytes theirs: what writers left behind that died or lost.
	Orphans, OrphanBytes int64
	// Ended tells that the chain ended with its topic. Went are the offsets that
	// Kafka had behind its next then and that are not archived; -1: what it had is
	// not known.
	Ended bool
	Went  int64
	// Findings counts; Listed holds the first MaxFindings of them.
	Findings int64
	Listed   []Finding
	// Unknown are objects that the store would not give, at most MaxUnknown: what
	// they hold is not known.
	Unknown []Finding
}

// Verify recounts a stream: the chain holds, every commit has its object, the
// rollups repeat it, and every segment, gap list and raw batch that it names is there
// with the size, and if asked the hash, that it names. What does not hold is
// in the report, and so are objects that the store would not give. The error
// says that the verification could not be done or ended: NotFound when there is
// no chain, Unavailable, Permission, or the context's; the report has what was
// found until then.
//
// It proves that the archive is consistent in itself. That a chain was not cut
// off or rewritten as a whole takes a checkpoint kept elsewhere.
func (l *Ledger) Verify(ctx context.Context, s schema.Stream, o VerifyOptions) (Report, error) {
	v := verification{ledger: l, options: o, report: Report{Stream: s}, named: map[string]bool{}}
	err := v.chain(ctx, s)
	if err == nil && v.view.Genesis != nil {
		err = v.data(ctx)
	}
	if err == nil {
		err = v.objects(ctx)
	}
	if err == nil {
		v.orphans()
	}
	if err != nil {
		return v.report, fmt.Errorf("verify %s: %w", s, err)
	}
	if v.view.End != nil {
		v.report.Ended, v.report.Went = true, -1
		if end, known := v.view.Went(); known {
			v.report.Went = end - v.view.Head.Next
		}
	}
	v.progress()
	return v.report, nil
}

type verification struct {
	ledger  *Ledger
	options VerifyOptions
	view    View
	sizes   map[string]int64 // of what is in the stream's folder below data/

	mu     sync.Mutex
	report Report
	named  map[string]bool // keys below data/ that a commit names
}

// note sorts an error: what is Corrupt, or missing though it was promised, is a
// finding, and an object that the store would not give is unknown, unless there
// are many; everything else ends the verification.
func (v *verification) note(seq int64, key string, err error) error {
	kind := schema.KindOf(err)
	if errors.Is(err, schema.ErrNewer) {
		kind = schema.Unavailable
	}
	switch kind {
	case schema.Corrupt, schema.NotFound:
		v.mu.Lock()
		defer v.mu.Unlock()
		v.report.Findings++
		if len(v.report.Listed) < MaxFindings {
			v.report.Listed = append(v.report.Listed, Finding{Seq: seq, Key: key, Err: err})
		}
		return nil
	case schema.Unavailable, schema.Permission:
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(v.report.Unknown) >= MaxUnknown {
			return err
		}
		v.report.Unknown = append(v.report.Unknown, Finding{Seq: seq, Key: key, Err: err})
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
	switch {
	case schema.KindOf(err) == schema.Corrupt && err != nil:
		return v.note(-1, schema.LedgerStreamPrefix(s), err)
	case err != nil:
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
	if c.Segment != nil {
		v.named[c.Segment.Key] = true
	}
	for _, ref := range c.Replaced {
		v.named[ref.Key] = true
	}
	if c.GapsObject != nil {
		v.named[c.GapsObject.Key] = true
	}
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
		if err := v.note(e.Commit.Seq, key, v.size(ctx, key, int64(len(e.Raw)))); err != nil {
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

// data lists the stream's folder: one LIST for a thousand segments instead of
// a HEAD for each.
func (v *verification) data(ctx context.Context) error {
	v.sizes = map[string]int64{}
	for o, err := range v.ledger.store.List(ctx, schema.DataStreamPrefix(v.view.Stream), "") {
		if err != nil {
			return err
		}
		v.sizes[o.Key] = o.Size
	}
	return nil
}

// orphans counts what nothing names. Objects whose names are none of ours are
// somebody else's.
func (v *verification) orphans() {
	for key, size := range v.sizes {
		if _, _, ours := schema.ParseDataKey(v.view.Stream, key); ours && !v.named[key] {
			v.report.Orphans++
			v.report.OrphanBytes += size
		}
	}
}

// size looks for an object of a known size, in the listing or, since that may
// leave out what is written meanwhile, by itself.
func (v *verification) size(ctx context.Context, key string, want int64) error {
	if got, there := v.sizes[key]; there && got == want {
		return nil
	}
	o, err := v.ledger.store.Stat(ctx, key)
	if err == nil && o.Size != want {
		err = schema.Errorf(schema.Corrupt, "%s has %d bytes, the ledger says %d", key, o.Size, want)
	}
	return err
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
		v.mu.Lock()
		v.report.Batches++
		v.named[g.Object.Key] = true
		v.mu.Unlock()
		_, err := v.object(ctx, *g.Object)
		if err := v.note(c.Seq, g.Object.Key, err); err != nil {
			return err
		}
	}
	return nil
}

// segment looks for a segment and reads it if asked.
func (v *verification) segment(ctx context.Context, s Segment) error {
	read, err := v.readSegment(ctx, s)
	if schema.KindOf(err) == schema.NotFound {
		err = v.gone(ctx, s, err)
	}
	if err := v.note(s.Seq, s.Ref.Key, err); err != nil {
		return err
	}
	v.mu.Lock()
	v.report.Segments++
	if read > 0 {
		v.report.Read++
	}
	due := read > 0 || v.report.Segments%perRollup == 0
	v.mu.Unlock()
	if due {
		v.progress()
	}
	return nil
}

// gone tells a segment that is missing from one that was joined with others
// since the chain was read, and collected. That one's rows are elsewhere now,
// where nobody has looked.
func (v *verification) gone(ctx context.Context, s Segment, err error) error {
	now, viewErr := v.ledger.View(ctx, v.view.Stream, &v.view)
	if viewErr != nil {
		return err
	}
	if at, ok := now.Holding(s.Branch, s.Base); !ok || at.Ref.Key == s.Ref.Key {
		return err
	}
	return schema.Errorf(schema.Unavailable, "%s was joined with others while it was looked for; verify again: %w", s.Ref.Key, err)
}

func (v *verification) readSegment(ctx context.Context, s Segment) (read int64, err error) {
	if v.options.Segment == nil {
		return v.object(ctx, s.Ref.ObjectRef)
	}
	if err := v.size(ctx, s.Ref.Key, s.Ref.Bytes); err != nil {
		return 0, err
	}
	gaps, err := v.within(ctx, s)
	switch {
	case schema.KindOf(err) == schema.Corrupt && err != nil:
		return 0, nil // the list of gaps is a finding of its own
	case err != nil:
		return 0, err
	}
	read, err = v.options.Segment(ctx, v.view.Stream, s, gaps)
	v.counted(s.Ref.Bytes, read)
	return read, err
}

// within gives the gaps between a segment's rows, by offset: those of the
// commit that sealed it, or of all whose segments were joined into it.
func (v *verification) within(ctx context.Context, s Segment) ([]schema.Gap, error) {
	var gaps []schema.Gap
	list := v.view.Gapped
	first, _ := slices.BinarySearchFunc(list, s, func(g Gapped, s Segment) int {
		return cmp.Or(cmp.Compare(g.Commit.Branch, s.Branch), cmp.Compare(g.Commit.Base, s.Base))
	})
	for _, g := range list[first:] {
		if g.Commit.Branch != s.Branch || g.Commit.Base >= s.Next {
			break
		}
		more, err := v.ledger.Gaps(ctx, g.Commit)
		if err != nil {
			return nil, err
		}
		gaps = append(gaps, more...)
	}
	return gaps, nil
}

// object looks for what a commit names by hash, and hashes it if asked.
func (v *verification) object(ctx context.Context, ref schema.ObjectRef) (hashed int64, err error) {
	err = v.size(ctx, ref.Key, ref.Bytes)
	if err == nil && v.options.Deep {
		hashed, err = v.ledger.hash(ctx, ref)
	}
	v.counted(ref.Bytes, hashed)
	return hashed, err
}

func (v *verification) counted(bytes, read int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Bytes += bytes
	v.report.Hashed += read
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
