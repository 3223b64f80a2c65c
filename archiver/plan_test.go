package archiver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
	"github.com/fx-risk-ai/annals/schema"
)

// planned is a chain written by hand, and the clock of its writer.
type planned struct {
	t    *testing.T
	book *ledger.Ledger
	head ledger.Head
	at   time.Time
}

func (p *planned) append(kind schema.CommitKind, change func(c *schema.Commit)) {
	p.t.Helper()
	s := schema.Stream{Cluster: "c", Topic: "t", TopicID: schema.TopicID{1}}
	c := (&Archiver{options: Options{Writer: "test", Build: "test"}}).commit(kind, s, p.head)
	c.Clock = p.at.Format(time.RFC3339Nano)
	change(c)
	head, err := p.book.Append(p.t.Context(), p.head, c)
	if err != nil {
		p.t.Fatal(err)
	}
	p.head = head
}

// seal appends a segment of ten rows and so many MiB.
func (p *planned) seal(mib int64) {
	p.append(schema.KindSegment, func(c *schema.Commit) {
		c.Next, c.Records = c.Base+10, schema.Counts{Committed: 10}
		c.Segment = &schema.SegmentRef{ObjectRef: schema.ObjectRef{Key: "data/" + uuid.NewString(), Bytes: mib << 20}}
	})
}

func (p *planned) seals(n int, mib int64) {
	for range n {
		p.seal(mib)
	}
}

// groups writes the plan as ranges of offsets.
func (p *planned) groups(c Compact) string {
	p.t.Helper()
	v, err := p.book.View(p.t.Context(), p.head.Commit.Stream(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	var all []string
	for _, g := range c.plan(v, nil) {
		all = append(all, fmt.Sprintf("%d-%d", g[0].Base, g[len(g)-1].Next))
	}
	return strings.Join(all, " ")
}

func TestPlanJoinsNeighboursOfOneClosedDay(t *testing.T) {
	monday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for name, one := range map[string]struct {
		write func(p *planned)
		now   time.Time
		want  string
	}{
		"a closed day":      {func(p *planned) { p.seals(5, 1) }, monday.Add(48 * time.Hour), "0-50"},
		"not closed yet":    {func(p *planned) { p.seals(5, 1) }, monday.Add(48*time.Hour - time.Second), ""},
		"too few":           {func(p *planned) { p.seals(3, 1) }, monday.Add(99 * time.Hour), ""},
		"up to the target":  {func(p *planned) { p.seals(12, 10) }, monday.Add(99 * time.Hour), "0-100"},
		"several":           {func(p *planned) { p.seals(14, 20) }, monday.Add(99 * time.Hour), "0-50 50-100 100-140"},
		"a large one apart": {func(p *planned) { p.seals(4, 1); p.seal(60); p.seals(4, 1) }, monday.Add(99 * time.Hour), "0-40 50-90"},
		"never over midnight": {func(p *planned) {
			p.seals(4, 1)
			p.at = monday.Add(day)
			p.seals(4, 1)
		}, monday.Add(99 * time.Hour), "0-40 40-80"},
		"over gaps": {func(p *planned) {
			p.seals(2, 1)
			p.append(schema.KindGap, func(c *schema.Commit) {
				c.Next, c.GapOffsets = c.Base+5, 5
				c.Gaps = []schema.Gap{{Class: schema.GapCleaned, From: c.Base, To: c.Next}}
			})
			p.seals(2, 1)
		}, monday.Add(99 * time.Hour), "0-45"},
		"not over what was purged": {func(p *planned) {
			p.seals(5, 1)
			v, err := p.book.View(t.Context(), p.head.Commit.Stream(), nil)
			if err != nil {
				t.Fatal(err)
			}
			p.append(schema.KindPurge, func(c *schema.Commit) {
				c.Base, c.Next = 20, 30
				c.Replaced = []schema.ObjectRef{v.Current()[2].Ref.ObjectRef}
				c.Authority = &schema.Authority{Reason: "test", RequestedBy: "test"}
			})
		}, monday.Add(99 * time.Hour), ""},
		"the newest branch, whole segments": {func(p *planned) {
			p.seals(5, 1)
			p.append(schema.KindDivergence, func(c *schema.Commit) {
				c.Branch++
				c.Base, c.Next = 45, 45
				c.Divergence = &schema.Divergence{ArchivedNext: 50, BranchPoint: 45, Evidence: "test"}
			})
			p.seals(4, 1)
		}, monday.Add(99 * time.Hour), "45-85"},
		"what one commit can say of leader epochs": {func(p *planned) {
			for range 10 {
				p.append(schema.KindSegment, func(c *schema.Commit) {
					c.Next, c.Records = c.Base+100, schema.Counts{Committed: 100}
					c.Segment = &schema.SegmentRef{ObjectRef: schema.ObjectRef{Key: "data/" + uuid.NewString(), Bytes: 1 << 20}}
					for at := c.Base; at < c.Next; at++ {
						c.LeaderEpochs = append(c.LeaderEpochs, schema.LeaderEpoch{Epoch: int32(at), Start: at})
					}
				})
			}
		}, monday.Add(99 * time.Hour), "0-700"},
		"what one commit can name": {func(p *planned) { p.seals(300, 0) }, monday.Add(99 * time.Hour), "0-2210 2210-3000"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &planned{t: t, book: ledger.New(objstoretest.Embedded(t), nil), at: monday}
			p.append(schema.KindGenesis, func(c *schema.Commit) { c.Start = &schema.Start{Policy: "earliest"} })
			one.write(p)
			now := func() time.Time { return one.now }
			if got := p.groups(Compact{Target: 100 << 20, Now: now}.orDefault()); got != one.want {
				t.Errorf("got %q, want %q", got, one.want)
			}
		})
	}
}
