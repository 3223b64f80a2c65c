package archiver

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/forecast"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

func opened(next int64) *partition {
	return newPartition(
		schema.Stream{Cluster: "c", Topic: "t", TopicID: schema.TopicID{1}},
		ledger.Head{Commit: &schema.Commit{Kind: schema.KindGenesis}, Next: next},
	)
}

func marker(kind uint16) []byte { return binary.BigEndian.AppendUint16([]byte{0, 0}, kind) }

// history draws what a broker could serve: plain records, transactions of a
// few producers that interleave, markers, and holes where a cleaner was. It
// returns the records with the verdict each must get, as far as it is known.
func history(t *rapid.T) ([]schema.Record, []schema.Status) {
	n := rapid.IntRange(0, 60).Draw(t, "records")
	var records []schema.Record
	var verdicts []schema.Status
	open := map[int64][]int{}
	offset := int64(0)
	for range n {
		offset += rapid.SampledFrom([]int64{0, 0, 0, 0, 3}).Draw(t, "hole")
		r := schema.Record{Offset: offset, ProducerID: rapid.Int64Range(1, 3).Draw(t, "producer"), Value: []byte("v")}
		verdict := schema.Committed
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1, 2:
			r.Status = schema.Undecided
			open[r.ProducerID] = append(open[r.ProducerID], len(records))
			verdict = schema.Undecided
		case 3:
			r.Status, r.Key = schema.Control, marker(uint16(rapid.IntRange(0, 2).Draw(t, "marker")))
			verdict = schema.Control
			if m := kafka.MarkerOf(r.Key); m != kafka.MarkerOther {
				for _, i := range open[r.ProducerID] {
					verdicts[i] = map[kafka.Marker]schema.Status{kafka.MarkerAbort: schema.Aborted, kafka.MarkerCommit: schema.Committed}[m]
				}
				open[r.ProducerID] = nil
			}
		default:
			r.Status = schema.Committed
		}
		records, verdicts = append(records, r), append(verdicts, verdict)
		offset++
	}
	return records, verdicts
}

// Whatever is served, in whatever batches, with repetitions, and wherever cuts
// fall: every offset below a cut is a row with the right verdict or in a gap,
// once, and nothing undecided is below a cut.
func TestPartitionAccountsForEveryOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, verdicts := history(t)
		p := opened(0)
		now := time.Now()
		var held int64
		next := int64(0)
		seen := 0
		check := func(j *job) {
			at := j.base
			if at != next {
				t.Fatalf("cut begins at %d, the last one ended at %d", at, next)
			}
			gaps := j.gaps
			for _, r := range j.rows.all() {
				for len(gaps) > 0 && gaps[0].From == at {
					at, gaps = gaps[0].To, gaps[1:]
				}
				if r.Offset != at || records[seen].Offset != at {
					t.Fatalf("row %d at %d, expected %d (%+v)", r.Offset, at, records[seen].Offset, j.gaps)
				}
				if r.Status != verdicts[seen] || r.Status == schema.Undecided {
					t.Fatalf("offset %d is %s, should be %s", r.Offset, r.Status, verdicts[seen])
				}
				at++
				seen++
			}
			for len(gaps) > 0 && gaps[0].From == at {
				at, gaps = gaps[0].To, gaps[1:]
			}
			if at != j.next || len(gaps) > 0 {
				t.Fatalf("cut says %d–%d, rows and gaps reach %d, left %v", j.base, j.next, at, gaps)
			}
			next = j.next
		}
		for i := 0; i < len(records); {
			k := min(len(records), i+rapid.IntRange(1, 9).Draw(t, "batch"))
			from := max(0, i-rapid.IntRange(0, 2).Draw(t, "repeated"))
			batch := append([]schema.Record{}, records[from:k]...)
			held += p.take(&kafka.Batch{Records: batch, LogStart: 0}, now)
			i = k
			if p.cuttable(p.decided) && rapid.Bool().Draw(t, "cut") {
				j := p.cut(cutAsked, p.decided, now)
				check(j)
				held -= p.release(j.rows.len(), ledger.Head{Commit: p.head.Commit, Next: j.next})
			}
			if held != p.memory() || p.bytes < 0 || p.decidedBytes > p.bytes {
				t.Fatalf("accounted %d, holds %d of which decided %d", held, p.memory(), p.decidedBytes)
			}
		}
		if p.rows.len() == 0 && p.bytes != 0 {
			t.Fatalf("empty, yet %d bytes", p.bytes)
		}
	})
}

func TestGapClasses(t *testing.T) {
	for name, c := range map[string]struct {
		compacted bool
		logStart  int64
		want      schema.GapClass
	}{
		"compacted topic":      {true, 0, schema.GapCleaned},
		"log start moved past": {true, 10, schema.GapBeforeLogStart},
		"no known reason":      {false, 3, schema.GapUnexplained},
	} {
		p := opened(5)
		p.compacted = c.compacted
		p.take(&kafka.Batch{Records: []schema.Record{{Offset: 10, Status: schema.Committed}}, LogStart: c.logStart}, time.Now())
		if len(p.gaps) != 1 || p.gaps[0].Class != c.want || p.gaps[0].From != 5 || p.gaps[0].To != 10 {
			t.Errorf("%s: %+v, want %s", name, p.gaps, c.want)
		}
	}
}

// Offsets that the log's start has passed are not unexplained because others,
// above it, are.
func TestGapAcrossTheLogStart(t *testing.T) {
	p := opened(5)
	p.take(&kafka.Batch{Records: []schema.Record{{Offset: 10, Status: schema.Committed}}, LogStart: 8}, time.Now())
	want := []schema.Gap{{Class: schema.GapBeforeLogStart, From: 5, To: 8}, {Class: schema.GapUnexplained, From: 8, To: 10}}
	if !slices.EqualFunc(p.gaps, want, func(got, want schema.Gap) bool {
		return got.Class == want.Class && got.From == want.From && got.To == want.To && got.Evidence != nil
	}) {
		t.Errorf("%+v, want %+v, each with its evidence", p.gaps, want)
	}
}

func TestCutDue(t *testing.T) {
	c := Cut{Bytes: 1000, MinBytes: 400, Age: time.Minute, MaxAge: time.Hour}
	now := time.Now()
	for name, x := range map[string]struct {
		bytes  int
		age    time.Duration
		change func(*partition)
		want   string
	}{
		"full":                        {2000, 0, nil, cutBytes},
		"small and young":             {10, time.Second, nil, ""},
		"small and older":             {10, 2 * time.Minute, nil, ""},
		"enough and older":            {450, 2 * time.Minute, nil, cutAge},
		"small and old":               {10, 2 * time.Hour, nil, cutMaxAge},
		"asked":                       {10, 0, func(p *partition) { p.sealTo = 1 }, cutAsked},
		"a cut is on its way":         {2000, 0, func(p *partition) { p.sealing = true }, ""},
		"nothing decided, very large": {2000, time.Hour, func(p *partition) { p.rows.at(0).Status = schema.Undecided; p.decided, p.decidedRaw = 0, 0 }, ""},
		"memory takes more, but that is no size of a segment": {900, 0, nil, ""},
	} {
		p := opened(0)
		if p.take(&kafka.Batch{Records: []schema.Record{{Value: make([]byte, x.bytes), Status: schema.Committed}}}, now.Add(-x.age)) <= int64(x.bytes) {
			t.Errorf("%s: the budget does not count what memory takes beside", name)
		}
		if x.change != nil {
			x.change(p)
		}
		if got := c.due(p, p.decided, now); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

// The class of a gap, and its evidence, follow from what the broker answered.
func TestGapsSayWhatTheyFollowFrom(t *testing.T) {
	config := &schema.Digest{}
	for name, x := range map[string]struct {
		logStart  int64
		compacted bool
		config    *schema.Digest
		class     schema.GapClass
		evidence  string
	}{
		"the log starts behind":  {20, true, config, schema.GapBeforeLogStart, "log start 20"},
		"compacted":              {3, true, config, schema.GapCleaned, "has compact"},
		"not compacted":          {3, false, config, schema.GapUnexplained, "log start 3, cleanup.policy has no compact"},
		"configuration not seen": {3, false, nil, schema.GapUnexplained, "cleanup.policy unknown"},
	} {
		p := opened(10)
		p.compacted, p.config = x.compacted, x.config
		p.take(&kafka.Batch{LogStart: x.logStart, Records: []schema.Record{{Offset: 20, Status: schema.Committed}}}, time.Now())
		if len(p.gaps) != 1 || p.gaps[0].From != 10 || p.gaps[0].To != 20 || p.gaps[0].Class != x.class ||
			p.gaps[0].Evidence == nil || !strings.Contains(*p.gaps[0].Evidence, x.evidence) {
			t.Errorf("%s: %+v, want %s with %q", name, p.gaps, x.class, x.evidence)
		}
	}
}

// A transaction is open, and what was to be read next was cleaned away: nothing that
// was served tells whether its marker was there, and most times it was not. The next
// one counts, which docs/formats/gaps.md says can be another's.
func TestMarkerBehindWhatWasCleanedCounts(t *testing.T) {
	p := opened(0)
	p.compacted = true
	p.take(&kafka.Batch{Records: []schema.Record{{Offset: 0, ProducerID: 2, Status: schema.Undecided}}}, time.Now())
	if p.take(&kafka.Batch{Records: []schema.Record{{Offset: 5, ProducerID: -1, Status: schema.Committed}}}, time.Now()); p.decided != 0 {
		t.Fatalf("%d rows are decided without a marker", p.decided)
	}
	p.take(&kafka.Batch{Records: []schema.Record{{Offset: 6, ProducerID: 2, Status: schema.Control, Key: marker(0)}}}, time.Now())
	if p.decided != 3 || p.rows.at(0).Status != schema.Aborted || len(p.gaps) != 1 || p.gaps[0].Class != schema.GapCleaned {
		t.Errorf("%d rows are decided, the first is %s, gaps %+v", p.decided, p.rows.at(0).Status, p.gaps)
	}
}

// A transaction is open, and the log's start passes what was to be read next: its
// marker may be gone, and the next one of its producer can be another
// transaction's. The rows are not given that one's verdict.
func TestMarkerThatWasDeletedDecidesNothing(t *testing.T) {
	now := time.Now()
	records := []schema.Record{
		{Offset: 0, ProducerID: 1, Status: schema.Undecided},
		{Offset: 1, ProducerID: 2, Status: schema.Undecided},
		{Offset: 2, ProducerID: -1, Status: schema.Committed},
		{Offset: 3, ProducerID: 2, Status: schema.Undecided},
		{Offset: 4, ProducerID: 1, Status: schema.Control, Key: marker(1)},
	}
	later := []schema.Record{
		{Offset: 8, ProducerID: 2, Status: schema.Undecided},
		{Offset: 9, ProducerID: 2, Status: schema.Control, Key: marker(1)},
	}
	for name, move := range map[string]func(*partition){
		"a fetch jumps": func(p *partition) { p.take(&kafka.Batch{LogStart: 8, Records: slices.Clone(later)}, now) },
		"it is out of range": func(p *partition) {
			a := &Archiver{log: slog.New(slog.DiscardHandler)}
			a.overtaken(p, kafka.Offsets{LogStart: 8, HighWatermark: 10}, now)
			if a.held != p.memory()-held(records) {
				t.Errorf("accounted %d, want %d", a.held, p.memory()-held(records))
			}
			p.take(&kafka.Batch{LogStart: 8, Records: slices.Clone(later)}, now)
		},
	} {
		p := opened(0)
		p.take(&kafka.Batch{Records: slices.Clone(records)}, now)
		move(p)
		var rows, gaps []string
		for _, r := range p.rows.all() {
			rows = append(rows, fmt.Sprintf("%d %s", r.Offset, r.Status))
		}
		for _, g := range p.gaps {
			gaps = append(gaps, fmt.Sprintf("%d-%d %s", g.From, g.To, g.Class))
		}
		if got, want := fmt.Sprint(rows), "[0 committed 2 committed 4 control 8 committed 9 control]"; got != want {
			t.Errorf("%s: rows %s, want %s", name, got, want)
		}
		if got, want := fmt.Sprint(gaps), "[1-2 before_log_start 3-4 before_log_start 5-8 before_log_start]"; got != want {
			t.Errorf("%s: gaps %s, want %s", name, got, want)
		}
		if p.decided != 5 || !strings.Contains(*p.gaps[0].Evidence, "open transaction") {
			t.Errorf("%s: %d decided, evidence %q", name, p.decided, *p.gaps[0].Evidence)
		}
		j := p.cut(cutAsked, p.decided, now)
		if j.rows.len() != 5 || len(j.gaps) != 3 || j.next != 10 {
			t.Errorf("%s: the cut has %d rows, gaps %v, up to %d", name, j.rows.len(), j.gaps, j.next)
		}
	}
}

// held is what records take of the budget.
func held(records []schema.Record) (n int64) {
	for i := range records {
		n += cost(&records[i])
	}
	return n
}

// annals plan reckons with what a record takes of a buffer.
func TestForecastKnowsWhatARecordCosts(t *testing.T) {
	r := schema.Record{Value: make([]byte, 100), Headers: []schema.Header{{}, {}}}
	if got, want := cost(&r), int64(100+forecast.RowOverhead+2*forecast.HeaderOverhead); got != want {
		t.Errorf("a record costs %d, the forecast says %d", got, want)
	}
}
