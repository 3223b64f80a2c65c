package query_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/test/property"
)

// turning is an archive whose pages are turned while it changes.
type turning struct {
	*archive
	there map[string]*schema.Record // what is indexed, by coordinates
	parts []*part                   // what is sealed
	n     int
	check int // numbers the topics and ids of one check
}

// part is a sealed range and the version that its rows are of.
type part struct {
	row     index.SegmentRow
	records []*schema.Record
}

// arrive indexes some records, of times all over a day and often the same.
func (a *turning) arrive(t *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(t, "records") {
		at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "hour")) * 2 * time.Hour)
		topic := fmt.Sprintf("c%d.%s", a.check, rapid.SampledFrom([]string{"orders", "payments"}).Draw(t, "topic"))
		a.n++
		r := a.produce(topic, fmt.Sprint(a.n), `{}`, at, "eventType", rapid.SampledFrom([]string{"OrderCreated", "OrderPaid"}).Draw(t, "type"), "eventId", fmt.Sprintf("all-have-one-id-%d", a.check))
		a.there[position(r)] = r
	}
	a.indexAll()
}

// sealOne seals what a stream holds.
func (a *turning) sealOne(t *rapid.T) {
	var names []string
	for name, s := range a.streams {
		if len(s.pending) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	s := a.streams[rapid.SampledFrom(names).Draw(t, "sealed stream")]
	records := s.pending
	a.seal(s)
	a.parts = append(a.parts, &part{index.SegmentOf(s.head.Commit), records})
}

// readAgain does what a reindex does to one range: new rows, then the segment
// that names them, then the old rows go; it may stop after any of the three.
func (a *turning) readAgain(t *rapid.T) {
	if len(a.parts) == 0 {
		return
	}
	p := rapid.SampledFrom(a.parts).Draw(t, "range")
	version, err := p.row.Version.Again()
	if err != nil {
		t.Fatal(err)
	}
	rows := a.rows(p.records)
	for i := range rows {
		rows[i].Version = version
	}
	steps := rapid.IntRange(1, 3).Draw(t, "steps")
	if err := a.index.InsertRecords(a.t.Context(), rows, indexedAt); err != nil {
		t.Fatal(err)
	}
	if steps == 1 {
		return
	}
	p.row.Version, p.row.Again = version, true
	if err := a.index.InsertSegments(a.t.Context(), []index.SegmentRow{p.row}); err != nil {
		t.Fatal(err)
	}
	if steps == 3 {
		s := p.row.Stream
		if err := a.index.Forget(a.t.Context(), []index.Range{{TopicID: s.TopicID, Partition: s.Partition, Branch: p.row.Branch, Base: p.row.Base, Next: p.row.Next, Version: version}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPagesNeitherSkipNorRepeat turns the pages of searches while records
// arrive, are sealed and are read again: what was there when the first page was
// asked for comes once, and nothing twice.
func TestPagesNeitherSkipNorRepeat(t *testing.T) {
	a := &turning{archive: newArchive(t, nil)}
	searches := map[string]func(*schema.Record) bool{
		"":                   func(*schema.Record) bool { return true },
		"topic:CHECK.orders": func(r *schema.Record) bool { return strings.HasSuffix(r.Topic, ".orders") },
		"type:OrderP*":       func(r *schema.Record) bool { return string(r.Headers[0].Value) == "OrderPaid" },
		"after:2024-05-01T06:00": func(r *schema.Record) bool {
			return time.UnixMilli(r.Timestamp).UTC().Hour() >= 6 || time.UnixMilli(r.Timestamp).UTC().Day() > 1
		},
		"all-have-one-id-CHECK":                   func(*schema.Record) bool { return true },
		"all-have-one-id-CHECK type:OrderCreated": func(r *schema.Record) bool { return string(r.Headers[0].Value) == "OrderCreated" },
	}
	var queries []string
	for q := range searches {
		queries = append(queries, q)
	}
	slices.Sort(queries)
	property.Few(t, "8") // each check asks dozens of questions
	rapid.Check(t, func(rt *rapid.T) {
		change := func() {
			for range rapid.IntRange(0, 2).Draw(rt, "changes") {
				rapid.SampledFrom([]func(*rapid.T){a.arrive, a.sealOne, a.readAgain}).Draw(rt, "change")(rt)
			}
		}
		// Each check has topics of its own, or the last would turn the pages of all.
		a.check, a.there, a.parts = a.check+1, map[string]*schema.Record{}, nil
		a.arrive(rt)
		change()
		q := rapid.SampledFrom(queries).Draw(rt, "query")
		want := map[string]bool{}
		for at, r := range a.there {
			if searches[q](r) {
				want[at] = true
			}
		}
		own := fmt.Sprintf("c%d", a.check)
		asked := strings.ReplaceAll(strings.ReplaceAll(q, "-CHECK", "-"+own[1:]), "CHECK", own)
		if !strings.Contains(asked, "topic:") {
			asked += " topic:" + own + ".*"
		}
		time.Sleep(1100 * time.Millisecond) // a topic is known a second after its first record
		request := answer.SearchRequest{Query: asked, Limit: rapid.IntRange(1, 25).Draw(rt, "limit")}
		seen := map[string]bool{}
		var before *answer.Hit
		for {
			page, err := a.Search(t.Context(), everybody(), request)
			if err != nil {
				rt.Fatal(err)
			}
			for i := range page.Records {
				h := &page.Records[i]
				at := h.Coordinates().String()
				if seen[at] || a.there[at] == nil || !searches[q](a.there[at]) {
					rt.Fatalf("%q: %s comes twice, or does not match", q, at)
				}
				if before != nil && h.Timestamp > before.Timestamp {
					rt.Fatalf("%q: %s is newer than the one before it", q, at)
				}
				seen[at], before = true, h
				delete(want, at)
			}
			if request.Cursor = page.NextCursor; request.Cursor == "" {
				break
			}
			change()
		}
		if len(want) > 0 {
			rt.Fatalf("%q: %d of the records that were there are on no page: %v", q, len(want), want)
		}
	})
}

// TestAgesCountFromTheFirstPage turns a page as if time had passed since the
// first: what a cursor says of that moment counts, not the clock.
func TestAgesCountFromTheFirstPage(t *testing.T) {
	a := newArchive(t, nil)
	now := time.Now()
	a.produce("orders", "k", "{}", now)
	old := a.produce("orders", "k", "{}", now.Add(-18*30*24*time.Hour))
	a.sealAll()
	request := answer.SearchRequest{Query: "after:2y", Limit: 1}
	first, err := a.Search(t.Context(), everybody(), request)
	if err != nil || len(first.Records) != 1 || first.NextCursor == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(first.NextCursor)
	if err != nil {
		t.Fatal(err)
	}
	for later, want := range map[time.Duration]int{0: 1, 365 * 24 * time.Hour: 0} {
		binary.BigEndian.PutUint64(raw[9:], uint64(now.Add(later).UnixNano()))
		request.Cursor = base64.RawURLEncoding.EncodeToString(raw)
		page, err := a.Search(t.Context(), everybody(), request)
		if err != nil || len(page.Records) != want || want == 1 && page.Records[0].Coordinates().String() != position(old) {
			t.Errorf("asked %v later: %+v, %v", later, page, err)
		}
	}
}
