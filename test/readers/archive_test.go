package readers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

// archive is a real one on the embedded S3: real segments, and a ledger whose
// compaction has put two of them out of use, which still lie under data/.
type archive struct {
	s3      embeddedtest.Store
	rows    []row
	current []string // keys below the bucket of the segments that count
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{s3: embeddedtest.S3(t)}
	store := objstoretest.Open(t, objstore.Options{
		Endpoint: a.s3.Endpoint, Region: a.s3.Region, Bucket: a.s3.Bucket, Prefix: a.s3.Prefix, PathStyle: true,
		AccessKey: a.s3.AccessKey, SecretKey: a.s3.SecretKey,
	})
	book := ledger.New(store, nil)
	for partition, rows := range [][]segment.Row{oddRows(0), oddRows(1), farRows()} {
		w := &chainWriter{t: t, store: store, book: book, stream: stream(int32(partition))}
		w.append(w.commit(schema.KindGenesis, rows[0].Offset, rows[0].Offset))
		// The cut at 7 leaves the gap behind the seventh row to the second one.
		for _, cut := range [][2]int{{0, 7}, {7, 40}, {40, len(rows)}} {
			if part := rows[min(cut[0], len(rows)):min(cut[1], len(rows))]; len(part) > 0 {
				w.segment(part)
			}
		}
		if partition == 0 {
			w.compact(rows[:40])
		}
		view, err := book.View(t.Context(), w.stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range view.Current() {
			a.current = append(a.current, a.s3.Prefix+"/"+s.Ref.Key)
		}
		for i := range rows {
			a.rows = append(a.rows, rowOf(&rows[i]))
		}
	}
	return a
}

// files are the current segments on disk; all are also those out of use.
func (a *archive) files() (current, all []string) {
	for _, key := range a.current {
		current = append(current, filepath.Join(a.s3.Dir, filepath.FromSlash(key)))
	}
	data := filepath.Join(a.s3.Dir, a.s3.Prefix, "data")
	_ = filepath.WalkDir(data, func(path string, entry os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			all = append(all, path)
		}
		return err
	})
	return current, all
}

// chainWriter writes one stream's segments and commits.
type chainWriter struct {
	t      *testing.T
	store  *objstore.Store
	book   *ledger.Ledger
	stream schema.Stream
	head   ledger.Head
	refs   []schema.SegmentRef
	starts []int64 // the first offset of each segment that was sealed
}

func (w *chainWriter) commit(kind schema.CommitKind, base, next int64) *schema.Commit {
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind,
		Cluster: w.stream.Cluster, Topic: w.stream.Topic, TopicID: w.stream.TopicID, Partition: w.stream.Partition,
		Attempt: uuid.NewString(), Writer: "test", Base: base, Next: next,
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "test"},
		Clock:    "2026-01-02T03:04:05.000000006Z",
	}
	if w.head.Commit != nil {
		digest := w.head.Digest
		c.Seq, c.Previous = w.head.Commit.Seq+1, &digest
	} else {
		c.Start = &schema.Start{Policy: "earliest", LogStart: base}
	}
	return c
}

func (w *chainWriter) append(c *schema.Commit) {
	w.t.Helper()
	head, err := w.book.Append(w.t.Context(), w.head, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.head = head
}

func (w *chainWriter) segment(rows []segment.Row) {
	w.t.Helper()
	c := w.commit(schema.KindSegment, w.head.Next, rows[len(rows)-1].Offset+1)
	w.starts = append(w.starts, rows[0].Offset)
	w.put(c, rows)
	if missing := rows[0].Offset - c.Base; missing > 0 {
		c.GapOffsets, c.Gaps = missing, []schema.Gap{{Class: schema.GapCleaned, From: c.Base, To: rows[0].Offset}}
	}
	w.append(c)
	w.refs = append(w.refs, *c.Segment)
}

// compact puts one segment in the place of the first two.
func (w *chainWriter) compact(rows []segment.Row) {
	w.t.Helper()
	c := w.commit(schema.KindCompaction, rows[0].Offset, rows[len(rows)-1].Offset+1)
	w.put(c, rows)
	c.LeaderEpochs = nil
	c.Replaced = []schema.ObjectRef{w.refs[0].ObjectRef, w.refs[1].ObjectRef}
	w.append(c)
}

func (w *chainWriter) put(c *schema.Commit, rows []segment.Row) {
	w.t.Helper()
	var body bytes.Buffer
	writer, err := segment.NewWriter(&body, segment.Options{Stream: w.stream, RowGroupBytes: 1 << 20, Rewrite: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range rows {
		if slices.Contains(w.starts, rows[i].Offset) { // one seed for all: what is joined keeps its roots
			if err := writer.BeginPart(proof.Seed{1}); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := writer.Append(&rows[i].Record, &rows[i].X); err != nil {
			w.t.Fatal(err)
		}
	}
	written, err := writer.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	key := schema.SegmentKey(w.stream, c.Base, c.Next, written.SHA256)
	if _, err := w.store.Put(w.t.Context(), key, body.Bytes()); err != nil {
		w.t.Fatal(err)
	}
	c.Records, c.LeaderEpochs = written.Counts, written.LeaderEpochs
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: key, SHA256: written.SHA256, Bytes: written.Bytes},
		RecordRoot: written.RecordRoot, MinTimestamp: written.MinTimestamp, MaxTimestamp: written.MaxTimestamp,
	}
}
