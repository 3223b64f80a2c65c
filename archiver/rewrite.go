package archiver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// rewrite joins a group of current segments: it writes the joined one into a
// file, says in a job what it will put, puts it, and commits. Before the
// commit nothing has changed for anybody; after it only where the rows are.
func (a *Archiver) rewrite(ctx context.Context, s schema.Stream, group []ledger.Segment) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("compact %s from %d to %d: %w", s, group[0].Base, group[len(group)-1].Next, err)
		}
	}()
	began := time.Now()
	out, err := unnamed(a.upkeep.compact.TempDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	id := uuid.NewString()
	written, err := a.join(ctx, s, group, id, out)
	if err != nil {
		return err
	}
	base, next := group[0].Base, group[len(group)-1].Next
	key := schema.SegmentKey(s, base, next, written.SHA256)
	job := &claim{
		Format: claimFormat, ID: id, State: claimOpen, Writer: a.options.Writer, Output: key,
		Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition,
		Clock: time.Now().UTC().Format(time.RFC3339Nano),
	}
	for _, old := range group {
		job.Inputs = append(job.Inputs, old.Ref.Key)
	}
	head, err := a.stillCurrent(ctx, s, group)
	if err != nil {
		return err
	}
	job.Seq = head.Commit.Seq + 1
	etag, err := placeClaim(ctx, a.store, job)
	if err != nil {
		return err
	}
	object, err := a.store.PutFile(ctx, key, out, written.Bytes, written.SHA256)
	if err != nil {
		return err
	}
	c := a.commit(schema.KindCompaction, s, head)
	c.Base, c.Next, c.Records, c.LeaderEpochs = base, next, written.Counts, written.LeaderEpochs
	c.Versions.Segment = segment.FormatJoined
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: key, SHA256: written.SHA256, Bytes: written.Bytes},
		RecordRoot: written.RecordRoot, MinTimestamp: written.MinTimestamp, MaxTimestamp: written.MaxTimestamp,
	}
	if object.VersionID != "" {
		c.Segment.VersionID = &object.VersionID
	}
	for _, old := range group {
		c.Replaced = append(c.Replaced, old.Ref.ObjectRef)
	}
	if err := a.place(ctx, s, group, c, head, job, etag); err != nil {
		return err
	}
	a.log.Info("segments joined", "topic", s.Topic, "partition", s.Partition, "offset", base, "to", next,
		"segments", len(group), "records", written.Counts.Rows(), "bytes", written.Bytes, "took", time.Since(began).String())
	return nil
}

// placeAttempts bounds how often a compaction that lost its seq takes another.
const placeAttempts = 8

// place commits. When the seq is another's, and the segments are current all
// the same, the job is given the next seq and a new attempt is made there.
func (a *Archiver) place(ctx context.Context, s schema.Stream, group []ledger.Segment, c *schema.Commit, head ledger.Head, job *claim, etag string) error {
	for n := 1; ; n++ {
		if !a.owns(s) {
			return schema.Errorf(schema.Conflict, "the partition went to another archiver")
		}
		now, err := a.ledger.Append(ctx, head, c)
		if err == nil {
			a.placed(s, now)
			return nil
		}
		var lost *ledger.LostError
		if !errors.As(err, &lost) || n == placeAttempts {
			return err
		}
		if head, err = a.stillCurrent(ctx, s, group); err != nil {
			return err
		}
		job.Seq = head.Commit.Seq + 1
		if etag, err = changeClaim(ctx, a.store, job, etag); err != nil {
			return err
		}
		digest := head.Digest
		c.Attempt, c.Seq, c.Previous = uuid.NewString(), head.Commit.Seq+1, &digest
	}
}

// stillCurrent reads the chain and tells whether the segments are as they were
// planned.
func (a *Archiver) stillCurrent(ctx context.Context, s schema.Stream, group []ledger.Segment) (ledger.Head, error) {
	view, err := a.ledger.View(ctx, s, nil)
	if err != nil {
		return ledger.Head{}, err
	}
	current := view.Current()
	for _, old := range group {
		same := slices.ContainsFunc(current, func(now ledger.Segment) bool {
			return now.Ref.Key == old.Ref.Key && now.Until == now.Next && now.Branch == view.Head.Commit.Branch
		})
		if !same {
			return ledger.Head{}, schema.Errorf(schema.Conflict, "segment %s is not current any more", old.Ref.Key)
		}
	}
	return view.Head, nil
}

// placed is what follows the commit: the index hears of it by comparison, so
// that the row comes behind those of the commits it joins.
func (a *Archiver) placed(s schema.Stream, now ledger.Head) {
	a.mu.Lock()
	p := a.partitions[kafkaKey(s)]
	if departs := a.departing[s.Key()]; departs != nil {
		p = departs
	}
	if p != nil && p.stream == s && !p.sealing && p.head.Commit.Seq+1 == now.Commit.Seq {
		p.head = now // it would find out, and lose an attempt
	}
	a.mu.Unlock()
	a.rollup(s, now)
	a.catchup.compare(s)
}

// join writes the rows of segments into one, each part under the seed that it
// had, and extracts anew, so that all of it is of one version of the rules. A
// row group of the segment read and one of that written are in memory.
func (a *Archiver) join(ctx context.Context, s schema.Stream, group []ledger.Segment, id string, out *os.File) (segment.Summary, error) {
	w, err := segment.NewWriter(out, segment.Options{Stream: s, Branch: group[0].Branch, Rewrite: id})
	if err != nil {
		return segment.Summary{}, err
	}
	var want schema.Counts
	for _, old := range group {
		if err := a.paced(ctx, old.Ref.Bytes); err != nil {
			return segment.Summary{}, err
		}
		if !a.owns(s) {
			return segment.Summary{}, schema.Errorf(schema.Conflict, "the partition went to another archiver")
		}
		if err := a.copyRows(ctx, s, old, w); err != nil {
			return segment.Summary{}, &unjoinable{old.Ref.Key, err}
		}
		want.Committed += old.Records.Committed
		want.Aborted += old.Records.Aborted
		want.Control += old.Records.Control
	}
	written, err := w.Close()
	if err != nil {
		return written, err
	}
	// The writer computed every leaf again, under the seeds that the rows had.
	if root := ledger.JoinedRoot(group); written.RecordRoot != root || written.Counts != want {
		return written, schema.Errorf(schema.Corrupt, "the rows have record root %s and counts %+v, their commits say %s and %+v",
			written.RecordRoot, written.Counts, root, want)
	}
	return written, nil
}

func (a *Archiver) copyRows(ctx context.Context, s schema.Stream, old ledger.Segment, w *segment.Writer) (err error) {
	in, err := unnamed(a.upkeep.compact.TempDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := fetch(ctx, a.store, old.Ref.ObjectRef, in); err != nil {
		return err
	}
	reader, err := segment.Open(ctx, in, old.Ref.Bytes)
	if err != nil {
		return err
	}
	footer := reader.Footer()
	if footer.RecordRoot != old.Ref.RecordRoot || footer.Counts != old.Records || footer.Branch != old.Branch || footer.Stream != s {
		return schema.Errorf(schema.Corrupt, "its footer is not what commit %d says", old.Seq)
	}
	var x schema.Extraction
	for i := range footer.Parts {
		part := &footer.Parts[i]
		if err := w.BeginPart(part.Seed); err != nil {
			return err
		}
		for row, err := range reader.Rows(ctx, part.FirstOffset, part.LastOffset+1, segment.Times, segment.Broker, segment.Payload) {
			if err != nil {
				return err
			}
			x.Reset()
			a.rules.Extract(&row.Record, &x)
			if err := w.Append(&row.Record, &x); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchBytes is how much of an object one request asks for.
const fetchBytes = 4 << 20

// fetch copies an object and holds it against its hash. into may be
// io.Discard, to see whether it is whole.
func fetch(ctx context.Context, store Segments, ref schema.ObjectRef, into io.Writer) error {
	hash := sha256.New()
	source := io.NewSectionReader(store.ReaderAt(ctx, ref.Key, ref.Bytes), 0, ref.Bytes)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(hash, into)}, struct{ io.Reader }{source}, make([]byte, min(fetchBytes, max(ref.Bytes, 1))))
	if err != nil {
		return err
	}
	if got := schema.Digest(hash.Sum(nil)); n != ref.Bytes || got != ref.SHA256 {
		return schema.Errorf(schema.Corrupt, "its %d bytes hash to %s, the ledger says %s", n, got, ref.SHA256)
	}
	return nil
}

// unnamed makes a temporary file that no crash can leave behind.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "annals-compact-*")
	if err != nil {
		return nil, schema.WithHint(schema.Errorf(schema.Unavailable, "make temporary file: %w", err),
			"compaction needs room for two segments; check the folder's rights and free space")
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
