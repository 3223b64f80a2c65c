package custody_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

func TestMain(m *testing.M) { embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// archive is a small real one: the embedded S3, real segments and chains,
// filled by hand instead of by an archiver.
type archive struct {
	t       testing.TB
	dir     string // of the bucket's prefix on disk
	store   *objstore.Store
	book    *ledger.Ledger
	rules   *extract.Rules
	streams map[string]*stream
	clock   time.Time
	raw     *schema.ObjectRef // of skipped offsets: they could not be read; nil: they were cleaned
}

// stream is one partition while it is written.
type stream struct {
	schema.Stream
	branch  int32
	head    ledger.Head
	next    int64
	pending []*schema.Record
}

func newArchive(t testing.TB, edits ...func(*objstore.Options)) *archive {
	t.Helper()
	store, folder := objstoretest.EmbeddedIn(t, edits...)
	rules, err := extract.New(extract.Options{})
	must(t, err)
	return &archive{
		t: t, dir: folder, store: store, book: ledger.New(store, nil), rules: rules,
		streams: map[string]*stream{}, clock: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC),
	}
}

func (a *archive) stream(topic string, partition int32) *stream {
	name := fmt.Sprintf("%s/%d", topic, partition)
	if a.streams[name] == nil {
		sum := sha256.Sum256([]byte(topic))
		a.streams[name] = &stream{Stream: schema.Stream{Cluster: "c1", Topic: topic, TopicID: schema.TopicID(sum[:16]), Partition: partition}}
	}
	return a.streams[name]
}

// produce appends a record to a partition; change may be nil.
func (a *archive) produce(topic string, partition int32, at time.Time, value string, change func(*schema.Record)) *schema.Record {
	s := a.stream(topic, partition)
	r := &schema.Record{
		Topic: topic, TopicID: s.TopicID, Partition: partition, Branch: s.branch, Offset: s.next,
		Timestamp: at.UnixMilli(), TimestampType: schema.CreateTime, ProducerID: -1, ProducerEpoch: -1,
		Status: schema.Committed, Key: []byte("k"), Value: []byte(value),
	}
	if change != nil {
		change(r)
	}
	s.next = r.Offset + 1
	s.pending = append(s.pending, r)
	return r
}

func (a *archive) commit(s *stream, kind schema.CommitKind) *schema.Commit {
	a.clock = a.clock.Add(time.Second)
	c := &schema.Commit{
		Format: schema.CommitFormat, Kind: kind, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID,
		Partition: s.Partition, Branch: s.branch, Attempt: uuid.NewString(), Writer: "test",
		Base: s.head.Next, Next: s.head.Next,
		Versions: schema.Versions{Segment: segment.Format, Extract: schema.ExtractVersion, Build: "test"},
		Clock:    a.clock.Format(time.RFC3339Nano),
	}
	if !s.head.IsZero() {
		c.Seq = s.head.Commit.Seq + 1
		digest := s.head.Digest
		c.Previous = &digest
	}
	return c
}

func (a *archive) append(s *stream, c *schema.Commit) {
	a.t.Helper()
	head, err := a.book.Append(a.t.Context(), s.head, c)
	must(a.t, err)
	s.head = head
}

// seal cuts what is pending of every stream into a segment.
func (a *archive) seal() {
	a.t.Helper()
	for _, s := range a.streams {
		if s.head.IsZero() {
			c := a.commit(s, schema.KindGenesis)
			c.Start = &schema.Start{Policy: "earliest"}
			a.append(s, c)
		}
		if len(s.pending) > 0 {
			a.sealStream(s)
		}
	}
}

func (a *archive) skipped(from, to int64) schema.Gap {
	if a.raw != nil {
		return schema.Gap{Class: schema.GapUnreadable, From: from, To: to, Object: a.raw}
	}
	return schema.Gap{Class: schema.GapCleaned, From: from, To: to}
}

func (a *archive) sealStream(s *stream) {
	a.t.Helper()
	raw, summary := a.segment(s.Stream, s.branch, s.pending)
	c := a.commit(s, schema.KindSegment)
	c.Next, c.Records, c.LeaderEpochs = s.next, summary.Counts, summary.LeaderEpochs
	at := c.Base
	for _, r := range s.pending { // an offset that was skipped is a gap
		if r.Offset > at {
			c.Gaps = append(c.Gaps, a.skipped(at, r.Offset))
			c.GapOffsets += r.Offset - at
		}
		at = r.Offset + 1
	}
	if at < c.Next {
		c.Gaps = append(c.Gaps, schema.Gap{Class: schema.GapCleaned, From: at, To: c.Next})
		c.GapOffsets += c.Next - at
	}
	key := schema.SegmentKey(s.Stream, c.Base, c.Next, summary.SHA256)
	_, err := a.store.Put(a.t.Context(), key, raw)
	must(a.t, err)
	c.Segment = &schema.SegmentRef{
		ObjectRef:  schema.ObjectRef{Key: key, SHA256: summary.SHA256, Bytes: summary.Bytes},
		RecordRoot: summary.RecordRoot, MinTimestamp: summary.MinTimestamp, MaxTimestamp: summary.MaxTimestamp,
	}
	a.append(s, c)
	s.pending = nil
}

func (a *archive) segment(s schema.Stream, branch int32, records []*schema.Record) ([]byte, segment.Summary) {
	a.t.Helper()
	var file bytes.Buffer
	w, err := segment.NewWriter(&file, segment.Options{Stream: s, Branch: branch, Rows: len(records)})
	must(a.t, err)
	for _, r := range records {
		must(a.t, w.Append(r, a.extract(r)))
	}
	summary, err := w.Close()
	must(a.t, err)
	return file.Bytes(), summary
}

func (a *archive) extract(r *schema.Record) *schema.Extraction {
	x := &schema.Extraction{}
	a.rules.Extract(r, x)
	return x
}

// diverge goes on at an earlier offset on the next branch, as after an unclean
// leader election.
func (a *archive) diverge(s *stream, point int64) {
	s.branch++
	c := a.commit(s, schema.KindDivergence)
	c.Base, c.Next = point, point
	c.Divergence = &schema.Divergence{ArchivedNext: s.head.Next, BranchPoint: point, Evidence: "test"}
	a.append(s, c)
	s.next = point
}

// traces names records of a trace as an index would.
type traces struct{ found answer.Trace }

func (x *traces) Trace(context.Context, policy.Principal, answer.TraceRequest) (*answer.Trace, error) {
	return &x.found, nil
}

func traceOf(id string, records ...*schema.Record) *traces {
	x := &traces{found: answer.Trace{TraceID: id}}
	for _, r := range records {
		x.found.Hops = append(x.found.Hops, answer.Hop{Hit: answer.Hit{
			Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, Branch: r.Branch, Offset: r.Offset,
			Timestamp: r.Timestamp, Status: schema.Committed, Stage: schema.StageIngestion, Service: "svc",
		}})
	}
	return x
}

// behind says what an index would, of how many records are not sealed.
type behind struct {
	n   int64
	err error
}

func (b behind) Unsealed(context.Context, policy.Principal, []answer.Tail, *int64, *int64) (int64, error) {
	return b.n, b.err
}

func (a *archive) exporter(change func(*custody.Options)) *custody.Exporter {
	a.t.Helper()
	options := custody.Options{Store: a.store, Ledger: a.book, Fresh: behind{}, TempDir: a.t.TempDir(), Agent: "annals test"}
	if change != nil {
		change(&options)
	}
	e, err := custody.New(options)
	must(a.t, err)
	a.t.Cleanup(func() {
		left, err := os.ReadDir(options.TempDir)
		if err != nil || len(left) > 0 {
			a.t.Errorf("temporary files are left: %v, %v", left, err)
		}
	})
	return e
}

// export writes a bag and unpacks it.
func (a *archive) export(e *custody.Exporter, who policy.Principal, r answer.ExportRequest) string {
	a.t.Helper()
	var stream bytes.Buffer
	must(a.t, e.Export(a.t.Context(), who, r, &stream))
	dir := filepath.Join(a.t.TempDir(), "bag")
	must(a.t, custody.Unpack(a.t.Context(), &stream, dir))
	return dir
}

func verify(t testing.TB, dir string) *custody.Report {
	t.Helper()
	report, err := custody.Verify(t.Context(), dir, nil)
	must(t, err)
	return report
}

// sound fails the test unless the bag verifies.
func sound(t testing.TB, dir string) *custody.Report {
	t.Helper()
	report := verify(t, dir)
	if report.Result != custody.OK || len(report.Findings) > 0 {
		t.Fatalf("a bag as exported: %+v", report)
	}
	return report
}

// filesOf lists a bag's files.
func filesOf(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

func readFile(t testing.TB, dir, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return raw
}

func writeFile(t testing.TB, dir, name string, raw []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, name), raw, 0o644))
}

// rehash closes a changed bag again, as somebody who covers tracks would.
func rehash(t testing.TB, dir string) {
	t.Helper()
	list := func(names []string) []byte {
		slices.Sort(names)
		var text strings.Builder
		for _, name := range names {
			fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(readFile(t, dir, name)), name)
		}
		return []byte(text.String())
	}
	var payload []string
	var size int
	for _, name := range filesOf(t, dir) {
		if strings.HasPrefix(name, "data/") {
			payload = append(payload, name)
			size += len(readFile(t, dir, name))
		}
	}
	var info strings.Builder
	for line := range strings.Lines(string(readFile(t, dir, "bag-info.txt"))) {
		switch {
		case strings.HasPrefix(line, "Payload-Oxum: "):
			fmt.Fprintf(&info, "Payload-Oxum: %d.%d\n", size, len(payload))
		case !strings.HasPrefix(line, "Annals-Info-SHA256: "):
			info.WriteString(line)
		}
	}
	fmt.Fprintf(&info, "Annals-Info-SHA256: %x\n", sha256.Sum256([]byte(info.String())))
	writeFile(t, dir, "bag-info.txt", []byte(info.String()))
	writeFile(t, dir, "manifest-sha256.txt", list(payload))
	writeFile(t, dir, "tagmanifest-sha256.txt", list([]string{"bagit.txt", "bag-info.txt", "manifest-sha256.txt"}))
}
