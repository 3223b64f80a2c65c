package custody

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// Bucket is what a verification needs of the object store. *objstore.Store is
// one; it repeats what passes. Calls are concurrent.
type Bucket interface {
	Ranges
	List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error]
	Folders(ctx context.Context, prefix, after string) iter.Seq2[string, error]
}

// Ranges reads parts of objects.
type Ranges interface {
	ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt
}

// Chains is the ledger as a verification reads it. *ledger.Ledger is one.
type Chains interface {
	// Folders yields what has a chain, sound or not; see ledger.Ledger.
	Folders(ctx context.Context) iter.Seq2[schema.Stream, error]
	Verify(ctx context.Context, s schema.Stream, o ledger.VerifyOptions) (ledger.Report, error)
}

// ArchiveOptions say how much of an archive is verified.
type ArchiveOptions struct {
	// Sample is the share of the segments whose bytes and rows are read, above 0
	// and at most 1, which is 0 too. Of the others the size is compared.
	Sample float64
	// Seed chooses the sample: the same one, for the same archive, the same.
	Seed uint64
	// Progress, if set, is called at most some times a second, from one goroutine
	// at a time.
	Progress func(ArchiveProgress)
}

// ArchiveProgress is how far the verification of an archive is. Total is what
// the segments have, times the share of them that is read; Bytes of it were.
type ArchiveProgress struct {
	Streams, Chains int // chains that are done, of all
	Bytes, Total    int64
	Records         int64 // of the chains that are done
}

// VerifyArchive verifies a whole archive by its bucket alone: no Kafka, no index
// and no Annals need to run. Of each stream the chain of commits holds, and
// every object that it names is there with the hash, rows, record root, times
// and leader epochs that its commit names; of every offset from the first in
// scope to the chain's end there is one row or one gap. What does not hold, and
// what could not be found out, is in the report, which is complete with every
// error: that says that the verification was cut short.
func VerifyArchive(ctx context.Context, store Bucket, book Chains, o ArchiveOptions) (*ArchiveReport, error) {
	if o.Sample == 0 {
		o.Sample = 1
	}
	if !(o.Sample > 0 && o.Sample <= 1) { // NaN too
		return nil, schema.InvalidField("sample", "a sample of %v of the segments: want more than 0 and at most 1", o.Sample)
	}
	v := archiveVerifier{
		store: store, book: book, options: o, reading: make(chan struct{}, min(4, max(2, runtime.GOMAXPROCS(0)))),
		read: map[schema.Stream]int64{}, folders: map[string]*sharedFolder{},
		report: ArchiveReport{Result: OK, Sample: o.Sample, Seed: o.Seed, Findings: []ArchiveFinding{}, Unknown: []ArchiveFinding{}},
	}
	err := v.run(ctx)
	if err != nil {
		v.report.unknown(schema.Stream{}, "", err)
	}
	v.report.explain()
	return &v.report, err
}

type archiveVerifier struct {
	store   Bucket
	book    Chains
	options ArchiveOptions
	reading chan struct{} // as many segments are read at once, each of them in memory

	mu     sync.Mutex
	report ArchiveReport
	at     ArchiveProgress
	read   map[schema.Stream]int64 // bytes read of streams under way
	// folders are those below data/ that may be of several chains, by prefix.
	folders map[string]*sharedFolder
	told    time.Time
}

func (v *archiveVerifier) run(ctx context.Context) error {
	streams, err := v.streams(ctx)
	if err != nil {
		return err
	}
	if err := v.survey(ctx, streams); err != nil {
		return err
	}
	v.at.Chains = len(streams)
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(cap(v.reading))
	for _, s := range streams {
		group.Go(func() error { return v.stream(working, s) })
	}
	return group.Wait()
}

// streams lists what has a chain. A folder that is no chain's is a finding.
func (v *archiveVerifier) streams(ctx context.Context) ([]schema.Stream, error) {
	var streams []schema.Stream
	for s, err := range v.book.Folders(ctx) {
		switch {
		case err == nil:
			streams = append(streams, s)
		case schema.KindOf(err) == schema.Corrupt:
			v.report.find(s, -1, schema.LedgerPrefix, err)
		default:
			return nil, err
		}
	}
	return streams, nil
}

// survey goes through data/: how much there is to read, and whether what lies
// there has a chain. A stream's genesis is there before its first segment.
func (v *archiveVerifier) survey(ctx context.Context, streams []schema.Stream) error {
	known := map[schema.StreamKey]int{} // chains
	for _, s := range streams {
		known[s.Key()]++
	}
	var total int64
	lost := map[schema.Stream]bool{}
	for o, err := range v.store.List(ctx, schema.DataPrefix, "") {
		if err != nil {
			return err
		}
		s, ours := schema.DataStream(o.Key)
		switch {
		case !ours:
			v.report.Foreign++
		case known[s.Key()] > 0:
			total += o.Size
			if known[s.Key()] > 1 {
				f := v.folder(s)
				f.objects++
				f.bytes += o.Size
			}
		case !lost[s]:
			lost[s] = true
			v.report.find(s, -1, o.Key, schema.Errorf(schema.Corrupt, "objects without a chain: nothing below %s has their topic ID and partition", schema.LedgerPrefix))
		}
	}
	v.at.Total = int64(float64(total) * v.options.Sample)
	return nil
}

// sharedFolder is a folder of objects in which chains of several clusters may have
// theirs, since they have one topic ID.
type sharedFolder struct{ chains, objects, bytes int64 }

func (v *archiveVerifier) folder(s schema.Stream) *sharedFolder {
	prefix := schema.DataStreamPrefix(s)
	if v.folders[prefix] == nil {
		v.folders[prefix] = &sharedFolder{}
	}
	return v.folders[prefix]
}

// stream verifies one chain, and adds what was found to the report.
func (v *archiveVerifier) stream(ctx context.Context, s schema.Stream) error {
	found, err := v.book.Verify(ctx, s, ledger.VerifyOptions{
		Deep: true, Segment: v.segment,
		Progress: func(r ledger.Report) { v.progress(s, r.Hashed) },
	})
	v.mu.Lock()
	v.report.add(&found)
	v.report.shared(v.folders[schema.DataStreamPrefix(found.Stream)])
	if err != nil {
		v.report.unknown(found.Stream, schema.LedgerStreamPrefix(s), err)
	}
	end := len(v.report.Unknown) > ledger.MaxUnknown
	v.at.Streams++
	v.at.Records += found.Rows.Rows()
	v.mu.Unlock()
	v.progress(s, found.Hashed)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case end: // not the objects', the store's
		return schema.Errorf(schema.Unavailable, "more than %d objects were not given; the rest was not asked for", ledger.MaxUnknown)
	}
	return nil
}

func (v *archiveVerifier) progress(s schema.Stream, read int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.Topic = "" // known late
	v.at.Bytes += read - v.read[s]
	v.read[s] = read
	if v.options.Progress == nil || time.Since(v.told) < progressPause && v.at.Streams < v.at.Chains {
		return
	}
	v.told = time.Now()
	v.options.Progress(v.at)
}

// progressPause is how often progress is told, at most.
const progressPause = 200 * time.Millisecond

// segment reads one segment, if it belongs to the sample.
func (v *archiveVerifier) segment(ctx context.Context, s schema.Stream, of ledger.Segment, gaps []schema.Gap) (int64, error) {
	if v.options.Sample < 1 {
		sha := of.Ref.SHA256
		dice := rand.New(rand.NewPCG(v.options.Seed, binary.BigEndian.Uint64(sha[:8])))
		if dice.Float64() >= v.options.Sample {
			return 0, nil
		}
	}
	select {
	case v.reading <- struct{}{}:
		defer func() { <-v.reading }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return VerifySegment(ctx, v.store, s, of, gaps)
}

// VerifySegment reads a segment of a stream from end to end and holds it
// against what its commit says: name, hash, stream, branch, counts, record
// root, times, leader epochs. Its rows and the gaps between them are all of its offsets, each
// once. It says how many bytes it has read; the error is Corrupt where
// something differs. A segment of at most maxHeld is fetched once and takes as
// much memory; a larger one is fetched twice, by ranges.
func VerifySegment(ctx context.Context, store Ranges, s schema.Stream, of ledger.Segment, gaps []schema.Gap) (int64, error) {
	ref := of.Ref
	if want := schema.SegmentKey(s, of.Base, of.Next, ref.SHA256); ref.Key != want {
		return 0, schema.Errorf(schema.Corrupt, "%s: its stream, range and hash name it %s", ref.Key, want)
	}
	source, err := held(store.ReaderAt(ctx, ref.Key, ref.Bytes), ref.Bytes)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", ref.Key, err)
	}
	unreadable := func(err error) (int64, error) {
		if sum, failed := hashOf(source, ref.Bytes); failed == nil && sum != ref.SHA256 {
			err = schema.Errorf(schema.Corrupt, "the hash is %s; commit %d says otherwise: %w", sum, of.Seq, err)
		}
		return ref.Bytes, fmt.Errorf("%s: %w", ref.Key, err)
	}
	r, err := segment.Open(ctx, source, ref.Bytes)
	if err != nil {
		return unreadable(err)
	}
	next := of.Base
	skip := func() {
		for len(gaps) > 0 && gaps[0].From <= next {
			next, gaps = max(next, gaps[0].To), gaps[1:]
		}
	}
	found, err := r.Recount(ctx, func(offset int64) error {
		if skip(); offset != next {
			return schema.Errorf(schema.Corrupt, "a row has offset %d, the next one that no gap has is %d", offset, next)
		}
		next++
		return nil
	})
	if err != nil {
		return unreadable(err)
	}
	skip()
	what := ""
	footer := r.Footer()
	switch {
	case found.SHA256 != ref.SHA256 || found.Bytes != ref.Bytes:
		what = fmt.Sprintf("the hash is %s", found.SHA256)
	case footer.Stream != s || footer.Branch != of.Branch:
		what = fmt.Sprintf("it is a segment of %s in cluster %s, branch %d", footer.Stream, footer.Stream.Cluster, footer.Branch)
	case found.RecordRoot != ref.RecordRoot:
		what = fmt.Sprintf("the record root of its rows is %s", found.RecordRoot)
	case found.Counts != of.Records:
		what = fmt.Sprintf("it has %+v", found.Counts)
	case found.MinTimestamp != ref.MinTimestamp || found.MaxTimestamp != ref.MaxTimestamp:
		what = fmt.Sprintf("its times are %d to %d", found.MinTimestamp, found.MaxTimestamp)
	case !slices.Equal(found.LeaderEpochs, of.LeaderEpochs):
		what = fmt.Sprintf("the leader epochs of its rows are %+v", found.LeaderEpochs)
	case next != of.Next:
		what = fmt.Sprintf("its rows and gaps account for the offsets below %d only", next)
	default:
		return ref.Bytes, nil
	}
	return ref.Bytes, schema.Errorf(schema.Corrupt, "%s: %s; commit %d says otherwise", ref.Key, what, of.Seq)
}

// hashOf says whether what cannot be read as a segment is what was committed.
func hashOf(source io.ReaderAt, size int64) (sum schema.Digest, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(source, 0, size)); err != nil {
		return sum, err
	}
	return schema.Digest(h.Sum(nil)), nil
}

// maxHeld is the largest segment that is read into memory: somewhat more than
// the target of a compaction.
const maxHeld = 160 << 20

// held reads what is small enough into memory, some megabytes at a time.
func held(source io.ReaderAt, size int64) (io.ReaderAt, error) {
	if size > maxHeld {
		return source, nil
	}
	all := make([]byte, size)
	for from := int64(0); from < size; from += piece {
		part := all[from:min(size, from+piece)]
		if n, err := source.ReadAt(part, from); n < len(part) {
			return nil, fmt.Errorf("read bytes from %d: %w", from, err)
		}
	}
	return bytes.NewReader(all), nil
}

const piece = 8 << 20
