package archiver

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/schema"
)

// at gives a moment of the tests' clock, in seconds.
func at(seconds int) time.Time { return time.Unix(1_800_000_000+int64(seconds), 0) }

// lagging is a partition whose ledger ends at 10, with the ends of its log as
// they were seen: end and second, in turn.
func lagging(ends ...int) *partition {
	p := opened(10)
	p.marks = nil
	for i := 0; i < len(ends); i += 2 {
		p.marks.note(int64(ends[i]), at(ends[i+1]))
	}
	return p
}

// TestAgeOfTheOldestUnsealedOffset: between the last moment at which the log
// ended below the offset and the first at which it did not, its own timestamp
// is believed, and outside it is not.
func TestAgeOfTheOldestUnsealedOffset(t *testing.T) {
	const now = 1000
	for name, c := range map[string]struct {
		p     *partition
		stamp int // of the offset's record, in seconds; 0: it is not read yet
		kind  schema.TimestampType
		want  int
	}{
		"nothing is known":                     {p: lagging(), want: 0},
		"everything is sealed":                 {p: lagging(8, 100, 10, 200), want: 0},
		"not read: as early as it can be":      {p: lagging(10, 100, 12, 200), want: 900},
		"stamped between":                      {p: lagging(10, 100, 12, 200), stamp: 150, want: 850},
		"stamped long before":                  {p: lagging(10, 100, 12, 200), stamp: -900_000_000, want: 900},
		"stamped in the future":                {p: lagging(10, 100, 12, 200), stamp: 5000, want: 800},
		"the log's end is seen for a while":    {p: lagging(10, 100, 10, 190, 12, 200), stamp: 120, want: 810},
		"there at the first look":              {p: lagging(12, 200), stamp: 150, want: 800},
		"there at the first look, by a broker": {p: lagging(12, 200), stamp: 150, kind: schema.LogAppendTime, want: 850},
		"later ends do not matter":             {p: lagging(10, 100, 12, 200, 14, 300, 19, 900), stamp: 150, want: 850},
		"a log that was cut off and grew":      {p: lagging(10, 100, 12, 200, 9, 300, 12, 400), stamp: 350, want: 650},
	} {
		if c.stamp != 0 {
			c.p.rows.add(&schema.Record{Offset: 10, Timestamp: at(c.stamp).UnixMilli(), TimestampType: c.kind})
		}
		if got := c.p.lagTime(at(now)); got != time.Duration(c.want)*time.Second {
			t.Errorf("%s: %s, want %d s", name, got, c.want)
		}
	}
}

// TestMarksStayFewAndTrue: however the log grows, few marks are kept, and the
// moment at which an unsealed offset came lies between the two that they give.
func TestMarksStayFewAndTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var m marks
		var came []time.Time // by offset
		now, next := at(0), int64(0)
		m.note(0, now)
		for range rapid.IntRange(1, 300).Draw(rt, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "pause")) * time.Millisecond)
			for range rapid.IntRange(0, 3).Draw(rt, "records") {
				came = append(came, now)
			}
			now = now.Add(time.Millisecond)
			m.note(int64(len(came)), now)
			if rapid.IntRange(0, 9).Draw(rt, "seal") == 0 {
				next = rapid.Int64Range(next, int64(len(came))).Draw(rt, "next")
				m.forget(next)
			}
			if len(m) > mostMarks {
				rt.Fatalf("%d marks are kept", len(m))
			}
			for offset := next; offset < int64(len(came)); offset++ {
				since, until := m.came(offset)
				if until.IsZero() || since.After(came[offset]) || until.Before(came[offset]) {
					rt.Fatalf("offset %d came at %s, the marks say %s to %s", offset, came[offset], since, until)
				}
			}
			if next == int64(len(came)) && m.end() != next {
				rt.Fatalf("the log ends at %d, the marks say %d", next, m.end())
			}
		}
	})
}

func TestShareOfRetention(t *testing.T) {
	for name, c := range map[string]struct {
		retention retention
		want      float64
		known     bool
	}{
		"unknown":          {known: false},
		"unlimited":        {retention{known: true}, 0, true},
		"by age":           {retention{known: true, age: 1000 * time.Second}, 0.85, true},
		"by size":          {retention{known: true, bytes: 400}, 0.5, true}, // 2 records of 100 bytes
		"by what is worse": {retention{known: true, age: 1000 * time.Second, bytes: 100}, 2, true},
	} {
		p := lagging(10, 100, 12, 200)
		p.rows.add(&schema.Record{Offset: 10, Timestamp: at(150).UnixMilli()})
		p.tally.records, p.tally.bytes = 10, 1000
		p.retention = c.retention
		got, waited, known := p.retentionShare(at(1000))
		if got != c.want || waited != c.want || known != c.known {
			t.Errorf("%s: %v, %v waited, known %t, want %v, %t", name, got, waited, known, c.want, c.known)
		}
		p.rows.at(0).Timestamp = 0 // produced with a timestamp of 1970
		if old, still, _ := p.retentionShare(at(1000)); c.retention.age > 0 && (old < 1000 || still < c.want || still > 2) {
			t.Errorf("%s: a record of 1970 has used %v, and waited for %v", name, old, still)
		}
	}
}

// TestSeriesAreBounded: whatever partitions there are, no more readings are
// left than allowed, every partition is in one of them, and what is not shown
// by itself is counted.
func TestSeriesAreBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var list []reading
		for i, n := range rapid.SliceOfN(rapid.IntRange(1, 9), 0, 12).Draw(rt, "topics") {
			for number := range n {
				r := reading{topic: fmt.Sprintf("t%02d", i), partition: int32(number), behind: 1}
				r.records = 1
				list = append(list, r)
			}
		}
		limit := rapid.IntRange(1, 40).Draw(rt, "limit")
		shown, hidden := bounded(list, limit, func(string) tally { return tally{records: 100} })
		var behind, records int64
		own, shared := 0, 0
		for i := range shown {
			behind += shown[i].behind
			if records += shown[i].records; shown[i].shared {
				shared++
			} else {
				own++
			}
		}
		switch {
		case len(shown) > limit:
			rt.Fatalf("%d readings, %d are allowed", len(shown), limit)
		case behind != int64(len(list)):
			rt.Fatalf("%d partitions, %d of them are counted", len(list), behind)
		case own+hidden != len(list):
			rt.Fatalf("%d shown, %d said not to be, of %d", own, hidden, len(list))
		case hidden == 0 && shared > 0, shared > 0 && len(list) <= limit:
			rt.Fatal("some are taken together without need")
		}
	})
}
