package query_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/proof"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/property"
)

// chainModel is what a chain says, offset by offset: a status, a gap's class
// or "purged".
type chainModel struct {
	a        *archive
	engine   *query.Engine
	t        *rapid.T
	stream   *stream
	latest   map[int64]string
	branches []map[int64]string
	from     int64
}

func (m *chainModel) append(c *schema.Commit) {
	m.t.Helper()
	head, err := m.a.ledger.Append(m.a.t.Context(), m.stream.head, c)
	if err != nil {
		m.t.Fatal(err)
	}
	m.stream.head = head
}

// cut appends a commit of n offsets, each of which is a row or lies in a gap.
func (m *chainModel) cut(n int64, gapOnly bool) {
	kinds := []string{"committed", "aborted", "control", "cleaned", "before_log_start", "unexplained"}
	if gapOnly {
		kinds = kinds[3:]
	}
	s := m.stream
	kind := schema.KindGap
	var rows []*schema.Record
	var gaps []schema.Gap
	for offset := s.head.Next; offset < s.head.Next+n; offset++ {
		is := rapid.SampledFrom(kinds).Draw(m.t, "is")
		m.latest[offset], m.branches[s.branch][offset] = is, is
		status, err := schema.ParseStatus(is)
		last := len(gaps) - 1
		switch {
		case err == nil:
			kind = schema.KindSegment
			rows = append(rows, &schema.Record{
				Topic: s.Topic, TopicID: s.TopicID, Partition: s.Partition, Branch: s.branch, Offset: offset, Timestamp: offset, Status: status,
			})
		case last >= 0 && gaps[last].To == offset && string(gaps[last].Class) == is:
			gaps[last].To++
		default:
			gaps = append(gaps, schema.Gap{Class: schema.GapClass(is), From: offset, To: offset + 1})
		}
	}
	c := m.a.commit(s, kind)
	c.Next = c.Base + n
	if err := m.a.ledger.PlaceGaps(m.a.t.Context(), c, gaps); err != nil {
		m.t.Fatal(err)
	}
	if kind == schema.KindSegment {
		m.put(c, rows, s.branch)
	}
	m.append(c)
}

// put stores a segment of rows for a commit.
func (m *chainModel) put(c *schema.Commit, rows []*schema.Record, branch int32) {
	var file bytes.Buffer
	w, err := segment.NewWriter(&file, segment.Options{Stream: m.stream.Stream, Branch: branch})
	if err != nil {
		m.t.Fatal(err)
	}
	if err := w.BeginPart(proof.Seed{1}); err != nil { // the same for all: what is rewritten keeps its root
		m.t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Append(r, &schema.Extraction{}); err != nil {
			m.t.Fatal(err)
		}
	}
	written, err := w.Close()
	if err != nil {
		m.t.Fatal(err)
	}
	key := schema.SegmentKey(m.stream.Stream, c.Base, c.Next, written.SHA256)
	if _, err := m.a.store.Put(m.a.t.Context(), key, file.Bytes()); err != nil {
		m.t.Fatal(err)
	}
	c.Records = written.Counts
	c.Segment = &schema.SegmentRef{ObjectRef: schema.ObjectRef{Key: key, SHA256: written.SHA256, Bytes: written.Bytes}, RecordRoot: written.RecordRoot}
}

// diverge goes back to a point and begins a branch.
func (m *chainModel) diverge() {
	s := m.stream
	point := rapid.Int64Range(max(0, s.head.Next-12), s.head.Next).Draw(m.t, "point")
	c := m.a.commit(s, schema.KindDivergence)
	c.Branch++
	c.Base, c.Next = point, point
	c.Divergence = &schema.Divergence{ArchivedNext: s.head.Next, BranchPoint: point, Evidence: "test"}
	m.append(c)
	s.branch++
	m.branches = append(m.branches, map[int64]string{})
	m.from = min(m.from, point)
	maps.DeleteFunc(m.latest, func(offset int64, _ string) bool { return offset >= point })
}

func (m *chainModel) view() *ledger.View {
	v, err := m.a.ledger.View(m.a.t.Context(), m.stream.Stream, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}

// rewrite takes a segment away by a purge, or writes it anew by a compaction.
func (m *chainModel) rewrite(kind schema.CommitKind) {
	all := m.view().All()
	if len(all) == 0 {
		return
	}
	old := rapid.SampledFrom(all).Draw(m.t, "segment")
	c := m.a.commit(m.stream, kind)
	c.Replaced = []schema.ObjectRef{old.Ref.ObjectRef}
	if kind == schema.KindCompaction {
		c.Base, c.Next = old.Base, old.Next
		var rows []*schema.Record
		for _, offset := range slices.Sorted(maps.Keys(m.branches[old.Branch])) {
			status, err := schema.ParseStatus(m.branches[old.Branch][offset])
			if err == nil && offset >= old.Base && offset < old.Next {
				rows = append(rows, &schema.Record{
					Topic: m.stream.Topic, TopicID: m.stream.TopicID, Partition: m.stream.Partition, Branch: old.Branch,
					Offset: offset, Timestamp: offset, Status: status,
				})
			}
		}
		m.put(c, rows, old.Branch)
	} else {
		c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test", ApprovedBy: []string{}}
		for offset := old.Base; offset < old.Next; offset++ {
			if _, err := schema.ParseStatus(m.branches[old.Branch][offset]); err != nil {
				continue
			}
			m.branches[old.Branch][offset] = "purged"
			if offset < old.Until { // what the latest view shows of a later branch stays
				m.latest[offset] = "purged"
			}
		}
	}
	m.append(c)
}

// counted is a model's account.
func counted(of map[int64]string) map[string]int64 {
	sums := map[string]int64{}
	for _, is := range of {
		sums[is]++
	}
	return sums
}

func countedBy(a *answer.Account) map[string]int64 {
	sums := map[string]int64{"committed": a.Committed, "aborted": a.Aborted, "control": a.Marker, "purged": a.Purged}
	for _, c := range a.Classes {
		sums[string(c.Class)] += c.Offsets
	}
	maps.DeleteFunc(sums, func(_ string, n int64) bool { return n == 0 })
	return sums
}

func (m *chainModel) check() {
	m.t.Helper()
	all, err := m.engine.Coverage(m.a.t.Context(), everybody(), m.stream.Topic)
	if err != nil || len(all.Partitions) != 1 {
		m.t.Fatalf("%+v, %v", all, err)
	}
	p := all.Partitions[0]
	if got, want := countedBy(&p.Account), counted(m.latest); !maps.Equal(got, want) || p.Unaccounted != 0 ||
		p.ArchivedFrom != m.from || p.ArchivedTo != m.stream.head.Next {
		m.t.Fatalf("latest: %d–%d %v, %d unaccounted; want %d–%d %v", p.ArchivedFrom, p.ArchivedTo, got, p.Unaccounted, m.from, m.stream.head.Next, want)
	}
	if len(m.branches) == 1 {
		if len(p.Branches) != 0 {
			m.t.Fatalf("branches %+v of a chain with one", p.Branches)
		}
		return
	}
	for i, b := range p.Branches {
		if got, want := countedBy(&b.Account), counted(m.branches[i]); !maps.Equal(got, want) || b.Unaccounted != 0 {
			m.t.Fatalf("branch %d, %d–%d: %v, %d unaccounted; want %v", i, b.From, b.To, got, b.Unaccounted, want)
		}
	}
	m.checkGaps(&p)
}

// checkGaps turns all pages and holds them against the model.
func (m *chainModel) checkGaps(p *answer.PartitionCoverage) {
	m.t.Helper()
	request := answer.GapRequest{Topic: m.stream.Topic, Limit: rapid.IntRange(1, 7).Draw(m.t, "limit")}
	listed := map[int64]string{}
	var newest []answer.FoundGap
	last := time.Now().AddDate(100, 0, 0)
	for {
		page, err := m.engine.Gaps(m.a.t.Context(), everybody(), request)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, g := range page.Gaps {
			if g.Found.After(last) || g.Found.IsZero() {
				m.t.Fatalf("gap %d–%d was found at %s, the one before it at %s", g.From, g.To, g.Found, last)
			}
			last = g.Found
			if g.Class == schema.GapBeforeGenesis {
				if g.From != 0 || g.To != m.from || g.Evidence == nil {
					m.t.Fatalf("before genesis: %+v, the archive begins at %d", g, m.from)
				}
				continue
			}
			newest = append(newest, g)
			for offset := g.From; offset < g.To; offset++ {
				if listed[offset] != "" {
					m.t.Fatalf("offset %d is listed twice", offset)
				}
				listed[offset] = string(g.Class)
			}
		}
		if request.Cursor = page.NextCursor; request.Cursor == "" {
			break
		}
	}
	want := maps.Clone(m.latest)
	maps.DeleteFunc(want, func(_ int64, is string) bool { return !schema.GapClass(is).Known() })
	if !maps.Equal(listed, want) || int64(len(newest)) != p.GapRanges {
		m.t.Fatalf("the pages list %v, %d ranges of %d; want %v", listed, len(newest), p.GapRanges, want)
	}
	if head := newest[:min(len(newest), 50)]; !slices.EqualFunc(head, p.Gaps, func(a, b answer.FoundGap) bool { return a.From == b.From && a.To == b.To && a.Seq == b.Seq }) {
		m.t.Fatalf("coverage lists %+v, the pages %+v", p.Gaps, head)
	}
}

// Whatever a chain went through, its offsets sum to its range, class by class.
func TestEveryOffsetIsAccountedFor(t *testing.T) {
	a := newArchive(t, nil)
	property.Few(t, "20") // each check reads a chain a dozen times
	topics := 0
	rapid.Check(t, func(rt *rapid.T) {
		topics++
		name := fmt.Sprint("chain-", topics)
		engine, err := query.New(query.Options{Index: a.index, Store: a.store, Ledger: a.ledger, Extract: a.rules})
		if err != nil {
			rt.Fatal(err)
		}
		m := &chainModel{a: a, engine: engine, t: rt, stream: a.stream(name, 0), latest: map[int64]string{}, branches: []map[int64]string{{}}}
		m.from = rapid.SampledFrom([]int64{0, 100}).Draw(rt, "from")
		c := a.commit(m.stream, schema.KindGenesis)
		c.Base, c.Next, c.Start = m.from, m.from, &schema.Start{Policy: "earliest", LogStart: m.from}
		m.append(c)
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"segment", "segment", "segment", "gap", "diverge", "compact", "purge"}).Draw(rt, "step") {
			case "segment":
				m.cut(rapid.Int64Range(1, 15).Draw(rt, "n"), false)
			case "gap":
				m.cut(rapid.Int64Range(1, 5).Draw(rt, "n"), true)
			case "diverge":
				m.diverge()
			case "compact":
				m.rewrite(schema.KindCompaction)
			case "purge":
				m.rewrite(schema.KindPurge)
			}
			m.check()
		}
	})
}
