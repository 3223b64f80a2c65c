package demo

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// A service that was killed anywhere goes on as one that was not: whatever
// the rates, gaps, lost events and runs, however the partitions are mixed,
// and wherever it is cut, the rebuilt state leads to the same records.
func TestRebuiltStateIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		received := drawReceived(t)
		enriched := goesOnTheSame(t, "enricher", received, func() step { return newEnricher() })
		goesOnTheSame(t, "engine", logsOf(enriched), func() step { return newEngine() })
	})
}

var drawnCodes = []string{"CHF", "GBP", "JPY", "NOK", "SEK", "USD"}

func partitionOf(key []byte) int32 { return int32(slices.Index(drawnCodes, string(key))) % 3 }

// drawReceived draws the received rates of some days, by partition.
func drawReceived(t *rapid.T) [][]*kgo.Record {
	var records []*kgo.Record
	runs := rapid.IntRange(1, 2).Draw(t, "runs")
	days := rapid.IntRange(1, 70).Draw(t, "days")
	absent := map[string]int{} // until which day a currency has no quote
	start := dayOf(time.Date(2009, 11, 1, 0, 0, 0, 0, time.UTC))
	for run := 1; run <= runs; run++ {
		for d := range days {
			var quoted []string
			for _, code := range drawnCodes {
				if d == 0 && rapid.Bool().Draw(t, "begins later") || rapid.IntRange(0, 150).Draw(t, "stops") == 97 {
					absent[code] = d + rapid.IntRange(1, 12).Draw(t, "for")
				}
				if absent[code] <= d {
					quoted = append(quoted, code)
				}
			}
			trace := randomID()
			for i, code := range quoted {
				if rapid.IntRange(0, 200).Draw(t, "lost") == 113 {
					continue
				}
				at := start + day(d)
				value, err := encode(rateReceived{
					contract: contract{EventID: randomID(), EventType: eventReceived, SourceService: ECBGateway, TraceID: trace},
					Run:      run, FixingDate: at.String(), Currency: code, RatesInFixing: len(quoted),
					Rate: json.Number(strconv.Itoa(rapid.IntRange(900, 1100).Draw(t, "rate"))),
				})
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, &kgo.Record{Topic: TopicReceived, Key: []byte(code), Value: value, Timestamp: at.fixedAt().Add(time.Duration(i) * time.Millisecond)})
			}
		}
		clear(absent)
	}
	return logsOf(records)
}

// logsOf deals records out to partitions, with transaction markers between.
func logsOf(records []*kgo.Record) [][]*kgo.Record {
	logs := make([][]*kgo.Record, 3)
	next := make([]int64, 3)
	for i, r := range records {
		p := partitionOf(r.Key)
		r.Partition, r.Offset = p, next[p]
		next[p]++
		if i%7 == 0 {
			next[p]++ // a marker's offset
		}
		logs[p] = append(logs[p], r)
	}
	return logs
}

// committedAt is what is committed beside a partition's offset.
type committedAt struct {
	position
	next int64
}

// goesOnTheSame feeds logs to a step in batches, rebuilds another step at a
// drawn point, feeds the rest to both, and compares. It returns all the first
// one's records.
func goesOnTheSame(t *rapid.T, what string, logs [][]*kgo.Record, create func() step) []*kgo.Record {
	whole := create()
	whole.rebuild(fixing{}, len(logs))
	whole.rebuilt()
	read := make([]int, len(logs))
	marks := map[partition]committedAt{}
	var out []*kgo.Record
	cut := rapid.IntRange(0, 20).Draw(t, what+" cut")
	var rebuilt step
	for batch := 0; ; batch++ {
		if batch == cut {
			rebuilt = rebuildFrom(logs, marks, create)
		}
		var touched []partition
		for p := range logs {
			left := len(logs[p]) - read[p]
			n := min(left, rapid.IntRange(0, 25).Draw(t, what+" batch"))
			if batch > 40 {
				n = left
			}
			if n == 0 {
				continue
			}
			at := partition{logs[p][0].Topic, int32(p)}
			touched = append(touched, at)
			for _, r := range logs[p][read[p] : read[p]+n] {
				got := process(whole, r)
				out = append(out, got...)
				if rebuilt != nil {
					if want, also := describeAll(got), describeAll(process(rebuilt, r)); want != also {
						t.Fatalf("%s, rebuilt before batch %d: after %s/%d offset %d it makes\n%s\nwant\n%s", what, cut, r.Topic, r.Partition, r.Offset, also, want)
					}
				}
			}
			read[p] += n
			marks[at] = committedAt{next: logs[p][read[p]-1].Offset + 1}
		}
		for _, at := range touched {
			m := marks[at]
			m.From, m.Floor = whole.position(at, m.next)
			marks[at] = m
			if rebuilt != nil {
				rebuilt.position(at, m.next)
			}
		}
		done := true
		for p := range logs {
			done = done && read[p] == len(logs[p])
		}
		if done && rebuilt != nil {
			return out
		}
	}
}

func rebuildFrom(logs [][]*kgo.Record, marks map[partition]committedAt, create func() step) step {
	s := create()
	var floor fixing
	for _, m := range marks {
		if floor.before(m.Floor) {
			floor = m.Floor
		}
	}
	s.rebuild(floor, len(logs))
	for at, m := range marks { // partitions in any order
		for _, r := range logs[at.number] {
			if r.Offset >= m.From && r.Offset < m.next {
				process(s, r)
			}
		}
	}
	s.rebuilt()
	return s
}

func process(s step, r *kgo.Record) []*kgo.Record {
	rs, err := s.process(r)
	if err != nil {
		return []*kgo.Record{{Topic: "dead letter", Value: []byte(err.Error())}}
	}
	return rs
}

// describeAll says what is in records but for their own random ids.
func describeAll(rs []*kgo.Record) string {
	var b strings.Builder
	for _, r := range rs {
		value := map[string]any{}
		if json.Unmarshal(r.Value, &value) == nil {
			delete(value, "eventId")
		} else {
			value["text"] = string(r.Value)
		}
		fmt.Fprintf(&b, "%s %s %s", r.Topic, r.Key, r.Timestamp)
		for _, k := range slices.Sorted(maps.Keys(value)) {
			fmt.Fprintf(&b, " %s=%v", k, value[k])
		}
		for _, h := range r.Headers {
			switch h.Key {
			case "eventId", "ce_id", "ce_traceparent":
			default:
				fmt.Fprintf(&b, " %s:%s", h.Key, h.Value)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Until a day is complete, a partition that is behind may still bring days
// from before everything that the others have committed.
func TestRebuildBeforeFirstCompleteDay(t *testing.T) {
	event := func(p int32, offset int64, code string, date string, expected int) *kgo.Record {
		value, err := encode(rateEnriched{rateReceived: rateReceived{
			contract: contract{EventID: randomID(), TraceID: strings.Repeat("a", 32)},
			Run:      1, FixingDate: date, Currency: code, Rate: "1000", RatesInFixing: expected,
		}})
		if err != nil {
			t.Fatal(err)
		}
		return &kgo.Record{Topic: TopicEnriched, Partition: p, Offset: offset, Key: []byte(code), Value: value}
	}
	whole, rebuilt := newEngine(), newEngine()
	whole.rebuild(fixing{}, 3)
	whole.rebuilt()
	ahead, behind := event(0, 0, "CHF", "2024-01-03", 3), event(1, 0, "GBP", "2024-01-02", 2)
	var floor fixing
	for _, r := range []*kgo.Record{ahead, behind} { // a transaction each
		process(whole, r)
		from, f := whole.position(partition{r.Topic, r.Partition}, r.Offset+1)
		if from != r.Offset {
			t.Errorf("state of partition %d begins at %d, want %d", r.Partition, from, r.Offset)
		}
		if floor.before(f) {
			floor = f
		}
	}
	rebuilt.rebuild(floor, 3)
	process(rebuilt, ahead)
	process(rebuilt, behind)
	rebuilt.rebuilt()
	last := event(2, 0, "JPY", "2024-01-02", 2)
	want, got := describeAll(process(whole, last)), describeAll(process(rebuilt, last))
	if want == "" || got != want {
		t.Errorf("the first day's exposures are\n%s\nwant\n%s", got, want)
	}
}
