package custody_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

// varied is an archive with everything that a chain may name: segments, gaps,
// raw bytes, a branch, two clusters with a topic of one name.
func varied(t *testing.T, edits ...func(*objstore.Options)) *archive {
	t.Helper()
	a := newArchive(t, edits...)
	at := time.Date(2024, 6, 1, 9, 0, 0, 0, time.UTC)
	for i := range 300 {
		a.produce("fx.rates", int32(i%2), at.Add(time.Duration(i)*time.Second), strings.Repeat("r", i), nil)
	}
	a.seal()
	a.produce("fx.rates", 0, at, "behind a gap", func(r *schema.Record) { r.Offset += 7 })
	a.seal()
	raw := []byte("what nobody could decode")
	sha := schema.CommitDigest(raw)
	s := a.stream("fx.rates", 1)
	key := schema.BatchKey(s.Stream, s.next, s.next+2, sha)
	_, err := a.store.Put(t.Context(), key, raw)
	must(t, err)
	a.raw = &schema.ObjectRef{Key: key, SHA256: sha, Bytes: int64(len(raw))}
	a.produce("fx.rates", 1, at, "behind raw bytes", func(r *schema.Record) { r.Offset += 2 })
	a.seal()
	a.raw = nil
	a.diverge(a.stream("fx.rates", 0), 100)
	a.produce("fx.rates", 0, at, "on another branch", nil)
	other := a.stream("fx.rates/c2", 0)
	other.Cluster, other.Topic = "c2", "fx.rates"
	a.produce("fx.rates/c2", 0, at, "in another cluster", func(r *schema.Record) { r.Topic = "fx.rates" })
	a.seal()
	return a
}

func (a *archive) verify(o custody.ArchiveOptions) *custody.ArchiveReport {
	a.t.Helper()
	report, err := custody.VerifyArchive(a.t.Context(), a.store, ledger.New(a.store, nil), o)
	must(a.t, err)
	return report
}

// TestVerifyArchiveTellsWhatWent: the ends of chains are counted, with what Kafka had
// behind them and nobody archived.
func TestVerifyArchiveTellsWhatWent(t *testing.T) {
	a := varied(t)
	end := func(s *stream, seen *int64) {
		c := a.commit(s, schema.KindEnd)
		c.HighWatermark = seen
		a.append(s, c)
	}
	at := a.stream("fx.rates", 0)
	seen := at.head.Next + 3
	end(at, &seen)
	end(a.stream("fx.rates", 1), nil)
	r := a.verify(custody.ArchiveOptions{})
	if r.Result != custody.OK || r.Ended != 2 || r.Went != 3 || r.WentUnknown != 1 {
		t.Errorf("%+v", r)
	}
	said := strings.Join(r.NotChecked, "\n")
	if !strings.Contains(said, "3 offsets behind the ends") || !strings.Contains(said, "behind the ends of 1 chains") {
		t.Errorf("not checked: %s", said)
	}
}

func TestVerifyArchiveReadsAllOfIt(t *testing.T) {
	a := varied(t)
	var last custody.ArchiveProgress
	r := a.verify(custody.ArchiveOptions{Progress: func(p custody.ArchiveProgress) { last = p }})
	if r.Result != custody.OK || r.ExitCode() != 0 || r.Chains != 3 || r.Clusters != 2 || r.Records.Rows() != 304 || r.GapOffsets != 9 || r.Batches != 1 {
		t.Fatalf("%+v", r)
	}
	if r.SegmentsRead != r.Segments || r.BytesRead != r.Bytes || r.Orphans != 0 || r.Foreign != 0 || !strings.Contains(r.Note, "unsigned") {
		t.Errorf("%+v", r)
	}
	if last.Streams != last.Chains || last.Chains != 3 || last.Bytes == 0 || last.Records != 304 {
		t.Errorf("the last progress is %+v", last)
	}
	s := a.stream("fx.rates", 0)
	orphan := schema.SegmentKey(s.Stream, 5, 6, schema.Digest{1})
	_, err := a.store.Put(t.Context(), orphan, []byte("left behind"))
	must(t, err)
	_, err = a.store.Put(t.Context(), "data/notes.txt", []byte("somebody's"))
	must(t, err)
	if r := a.verify(custody.ArchiveOptions{}); r.Result != custody.OK || r.Orphans != 1 || r.OrphanBytes != 11 || r.Foreign != 1 {
		t.Errorf("%+v", r)
	}
	var text bytes.Buffer
	must(t, r.WriteText(&text))
	if !strings.HasPrefix(text.String(), "ok: ") || !strings.Contains(text.String(), "not checked\n") {
		t.Errorf("%s", text.String())
	}
}

// TestVerifyArchiveNamesWhatIsDamaged flips a bit in the middle of every object,
// and takes every object away: each time that object is named. Only the newest
// commit of a chain can go unnoticed, which the report says.
func TestVerifyArchiveNamesWhatIsDamaged(t *testing.T) {
	a := varied(t)
	newest := map[string]bool{}
	for _, s := range a.streams {
		newest[schema.CommitKey(s.Stream, s.head.Commit.Seq)] = true
	}
	objects := 0
	must(t, filepath.WalkDir(a.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		objects++
		relative, err := filepath.Rel(a.dir, path)
		must(t, err)
		key := filepath.ToSlash(relative)
		whole, err := os.ReadFile(path)
		must(t, err)
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		must(t, os.WriteFile(path, flipped, 0o600))
		a.named(key, "a flipped bit")
		if newest[key] {
			must(t, os.WriteFile(path, whole, 0o600))
			return nil
		}
		must(t, os.Remove(path))
		a.named(key, "gone")
		return os.WriteFile(path, whole, 0o600)
	}))
	if objects < 12 {
		t.Errorf("%d objects", objects)
	}
	if r := a.verify(custody.ArchiveOptions{}); r.Result != custody.OK {
		t.Errorf("with all bytes back: %+v", r)
	}
}

// named expects a finding of an object: by its key, or, of a commit that does not
// parse, by its chain's folder.
func (a *archive) named(key, what string) {
	a.t.Helper()
	r := a.verify(custody.ArchiveOptions{})
	for _, f := range r.Findings {
		if f.Key == key || strings.HasPrefix(key, f.Key) && strings.Contains(f.What, filepath.Base(key)) {
			return
		}
	}
	a.t.Errorf("%s, %s: %s, %+v, unknown %+v", key, what, r.Result, r.Findings, r.Unknown)
}

// TestVerifyArchiveCountsRowsAgainstGaps holds it against commits that add up
// and are wrong all the same.
func TestVerifyArchiveCountsRowsAgainstGaps(t *testing.T) {
	for name, forge := range map[string]func(c *schema.Commit){
		"a gap where a row is":    func(c *schema.Commit) { c.Gaps[0].From, c.Gaps[0].To = 1, 2 },
		"another record root":     func(c *schema.Commit) { c.Segment.RecordRoot[0]++ },
		"another status":          func(c *schema.Commit) { c.Records.Committed--; c.Records.Aborted++ },
		"other times":             func(c *schema.Commit) { c.Segment.MaxTimestamp++ },
		"an earlier leader epoch": func(c *schema.Commit) { c.LeaderEpochs[1].Start++ },
		"a leader epoch more": func(c *schema.Commit) {
			c.LeaderEpochs = append(c.LeaderEpochs, schema.LeaderEpoch{Epoch: 9, Start: 3})
		},
		"no leader epochs":         func(c *schema.Commit) { c.LeaderEpochs = nil },
		"a name of other offsets":  func(c *schema.Commit) { c.Segment.Key = strings.Replace(c.Segment.Key, "-", "-9", 1) },
		"a branch that never was":  nil,
		"a segment of another one": nil,
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			s := a.stream("fx.rates", 0)
			at := time.Date(2024, 6, 1, 9, 0, 0, 0, time.UTC)
			for _, offset := range []int64{0, 1, 3} {
				a.produce("fx.rates", 0, at, "x", func(r *schema.Record) { r.Offset = offset })
			}
			a.append(s, a.genesis(s))
			of, branch := s.Stream, int32(0)
			switch name {
			case "a branch that never was":
				branch = 1
			case "a segment of another one":
				of.Partition = 1
			}
			for _, r := range s.pending {
				r.Branch, r.Partition, r.LeaderEpoch = branch, of.Partition, int32(r.Offset) // each has its own
			}
			raw, summary := a.segment(of, branch, s.pending)
			c := a.commit(s, schema.KindSegment)
			c.Next, c.Records, c.LeaderEpochs = 4, summary.Counts, summary.LeaderEpochs
			c.Gaps, c.GapOffsets = []schema.Gap{{Class: schema.GapCleaned, From: 2, To: 3}}, 1
			c.Segment = &schema.SegmentRef{
				ObjectRef:  schema.ObjectRef{Key: schema.SegmentKey(s.Stream, 0, 4, summary.SHA256), SHA256: summary.SHA256, Bytes: summary.Bytes},
				RecordRoot: summary.RecordRoot, MinTimestamp: summary.MinTimestamp, MaxTimestamp: summary.MaxTimestamp,
			}
			if forge != nil {
				forge(c)
			}
			_, err := a.store.Put(t.Context(), c.Segment.Key, raw)
			must(t, err)
			a.append(s, c)
			if r := a.verify(custody.ArchiveOptions{}); r.Result != custody.Damaged || len(r.Findings) != 1 || r.Findings[0].Key != c.Segment.Key || r.Findings[0].Seq != 1 {
				t.Errorf("%s: %+v", r.Result, r.Findings)
			}
		})
	}
}

func (a *archive) genesis(s *stream) *schema.Commit {
	c := a.commit(s, schema.KindGenesis)
	c.Start = &schema.Start{Policy: "earliest"}
	return c
}

// TestVerifyArchiveIsNotSureWhereItCannotBe: no answer, a newer version and an
// empty bucket are neither sound nor damaged.
func TestVerifyArchiveIsNotSureWhereItCannotBe(t *testing.T) {
	if r := newArchive(t).verify(custody.ArchiveOptions{}); r.Result != custody.Indeterminate || r.ExitCode() != 3 {
		t.Errorf("no archive: %+v", r)
	}
	faults := &objstoretest.Faults{}
	a := varied(t, func(o *objstore.Options) { faults.Base, o.Transport = o.Transport, faults })
	s := a.stream("fx.rates", 1)
	key := schema.CommitKey(s.Stream, s.head.Commit.Seq)
	whole, _, err := a.store.Get(t.Context(), key, schema.MaxCommitBytes)
	must(t, err)
	later := bytes.Replace(whole, []byte(`"annals.commit/1","kind"`), []byte(`"annals.commit/2","more":1,"kind"`), 1)
	_, err = a.store.Put(t.Context(), key, later)
	must(t, err)
	r := a.verify(custody.ArchiveOptions{})
	if r.Result != custody.Indeterminate || len(r.Unknown) != 1 || !strings.Contains(r.Unknown[0].What, "newer version of Annals") {
		t.Errorf("a newer commit: %+v", r)
	}
	_, err = a.store.Put(t.Context(), key, whole)
	must(t, err)
	faults.Choose = func(q *http.Request) objstoretest.Fault {
		if q.Method == http.MethodGet && strings.HasSuffix(q.URL.Path, ".parquet") {
			return objstoretest.Forbidden
		}
		return objstoretest.None
	}
	r = a.verify(custody.ArchiveOptions{})
	if r.Result != custody.Indeterminate || len(r.Unknown) != int(r.Segments) || r.Segments == 0 || r.SegmentsRead != 0 {
		t.Errorf("no answer: %+v", r)
	}
}

// TestVerifyArchiveSamples reads some of the segments, and says which it did
// not.
func TestVerifyArchiveSamples(t *testing.T) {
	a := newArchive(t)
	at := time.Date(2024, 6, 1, 9, 0, 0, 0, time.UTC)
	for i := range 40 {
		a.produce("fx.rates", 0, at, fmt.Sprint(i), nil)
		a.seal()
	}
	r := a.verify(custody.ArchiveOptions{Sample: 0.5, Seed: 7})
	if r.Result != custody.OK || r.SegmentsRead < 8 || r.SegmentsRead > 32 || r.Segments != 40 || !strings.Contains(r.Note, "sampled") {
		t.Fatalf("%+v", r)
	}
	if again := a.verify(custody.ArchiveOptions{Sample: 0.5, Seed: 7}); again.SegmentsRead != r.SegmentsRead || again.BytesRead != r.BytesRead {
		t.Errorf("the same seed reads another sample")
	}
	for _, none := range []float64{-1, 1.5} {
		if _, err := custody.VerifyArchive(t.Context(), a.store, a.book, custody.ArchiveOptions{Sample: none}); schema.KindOf(err) != schema.Invalid {
			t.Errorf("a sample of %v: %v", none, err)
		}
	}
}
