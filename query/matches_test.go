package query_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// exported gives the coordinates in a file of matches.
func exported(t *testing.T, format answer.Format, body []byte) (places []string) {
	t.Helper()
	add := func(topic string, partition, offset any) {
		places = append(places, fmt.Sprintf("%s/%v/%v", topic, partition, offset))
	}
	switch format {
	case answer.NDJSON:
		lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
		for _, line := range lines[:len(lines)-1] {
			var r struct {
				Topic     string
				Partition int32
				Offset    int64
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			add(r.Topic, r.Partition, r.Offset)
		}
	case answer.CSV:
		rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
		if err != nil || rows[0][0] != "topic" || rows[0][2] != "partition" || rows[0][4] != "offset" {
			t.Fatalf("%v: %v", err, rows[:1])
		}
		for _, r := range rows[1:] {
			add(r[0], r[2], r[4])
		}
	case answer.Parquet:
		type row struct {
			Topic     string `parquet:"topic,optional"`
			Partition int64  `parquet:"partition,optional"`
			Offset    int64  `parquet:"offset,optional"`
		}
		rows, err := parquet.Read[row](bytes.NewReader(body), int64(len(body)))
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		for _, r := range rows {
			add(r.Topic, r.Partition, r.Offset)
		}
	}
	return places
}

// TestMatchesAreAllThatASearchFinds holds every format to the pages of the same
// search.
func TestMatchesAreAllThatASearchFinds(t *testing.T) {
	a := newArchive(t, nil)
	p := newPipeline(a, 3)
	var trace string
	for range 3 {
		trace, _ = p.day()
		a.sealAll()
	}
	for _, c := range []struct {
		who policy.Principal
		r   answer.SearchRequest
	}{
		{everybody(), answer.SearchRequest{}},
		{everybody(), answer.SearchRequest{Query: "type:FxRate* topic:fx.rates.*"}},
		{everybody(), answer.SearchRequest{ID: trace}},
		{only(t, "*alerts"), answer.SearchRequest{}},
	} {
		want := a.searchAll(c.who, c.r)
		if len(want) == 0 {
			t.Fatalf("%+v finds nothing", c.r)
		}
		for _, format := range []answer.Format{answer.NDJSON, answer.CSV, answer.Parquet} {
			var out bytes.Buffer
			said, err := a.Matches(t.Context(), c.who, c.r, format, &out)
			if err != nil {
				t.Fatal(err)
			}
			if got := exported(t, format, out.Bytes()); !slices.Equal(got, want) || said.Records != int64(len(want)) || !said.Complete || said.Unsealed != 0 {
				t.Errorf("%s of %+v: %v, want %v; %+v", format, c.r, got, want, said)
			}
		}
	}
	fresh := a.produce("orders", "k", "{}", time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC), "eventType", "=cmd()")
	a.indexAll()
	var out bytes.Buffer
	said, err := a.Matches(t.Context(), everybody(), answer.SearchRequest{Query: "topic:orders"}, answer.NDJSON, &out)
	if err != nil || said.Complete || said.Unsealed != 1 || said.Records != 0 || !strings.Contains(out.String(), `{"statement":{"records":0,"unsealed":1,"complete":false`) {
		t.Errorf("%s is not sealed: %s, %+v, %v", position(fresh), out.String(), said, err)
	}
	a.sealAll()
	out.Reset()
	if _, err := a.Matches(t.Context(), everybody(), answer.SearchRequest{Query: "topic:orders"}, answer.CSV, &out); err != nil || !strings.Contains(out.String(), ",'=cmd(),") {
		t.Errorf("a spreadsheet would take it for a formula: %s, %v", out.String(), err)
	}
	said, err = a.Matches(t.Context(), everybody(), answer.SearchRequest{Topics: []string{"nothing"}}, answer.CSV, io.Discard)
	if err != nil || said.Complete || len(said.Notes) != 1 {
		t.Errorf("no such topic: %+v, %v", said, err)
	}
	for field, r := range map[string]answer.SearchRequest{"limit": {Limit: 5}, "q": {Query: "typ:a"}} {
		var fault *schema.Error
		if _, err := a.Matches(t.Context(), everybody(), r, answer.CSV, io.Discard); !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := a.Matches(t.Context(), everybody(), answer.SearchRequest{}, "xlsx", io.Discard); schema.KindOf(err) != schema.Invalid {
		t.Errorf("xlsx: %v", err)
	}
}

// peak counts what is written, and the heap while it is.
type peak struct{ bytes, heap uint64 }

func (p *peak) Write(b []byte) (int, error) {
	if p.bytes += uint64(len(b)); p.bytes%8 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.heap = max(p.heap, m.HeapAlloc)
	}
	return len(b), nil
}

// TestMatchesAreStreamed exports many pages, and holds the heap to a few.
func TestMatchesAreStreamed(t *testing.T) {
	a := newArchive(t, nil)
	for range 30 {
		for i := range 1000 {
			a.produce("orders", "k", "{}", time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i)*time.Second), "eventType", "OrderCreated", "eventId", hexID(16))
		}
		a.sealAll()
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, format := range []answer.Format{answer.NDJSON, answer.Parquet} {
		var p peak
		said, err := a.Matches(t.Context(), everybody(), answer.SearchRequest{}, format, &p)
		if err != nil || said.Records != 30_000 || !said.Complete {
			t.Fatalf("%+v, %v", said, err)
		}
		if p.heap > before.HeapAlloc+96<<20 {
			t.Errorf("%s: the heap grew from %d to %d bytes", format, before.HeapAlloc, p.heap)
		}
	}
}

// kinds is an index that keeps whose turn each read takes.
type kinds struct {
	query.Index
	mu       sync.Mutex
	searches []index.Turn
	catalogs []index.Turn
}

func (k *kinds) Search(ctx context.Context, f index.Filter, scope index.Scope, limit int) ([]index.Hit, bool, error) {
	k.mu.Lock()
	k.searches = append(k.searches, index.TurnOf(ctx))
	k.mu.Unlock()
	return k.Index.Search(ctx, f, scope, limit)
}

func (k *kinds) Branches(ctx context.Context) ([]index.Branch, error) {
	k.mu.Lock()
	k.catalogs = append(k.catalogs, index.TurnOf(ctx))
	k.mu.Unlock()
	return k.Index.Branches(ctx)
}

// An export reads as much as there is: it must not take the turns of who looks one
// thing up, and the catalog that it asks for is everybody's.
func TestAnExportReadsInBulk(t *testing.T) {
	var seen *kinds
	a := newArchive(t, func(o *query.Options) { seen = &kinds{Index: o.Index}; o.Index = seen })
	a.produce("orders", "k", "{}", time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC), "eventType", "Ordered")
	a.sealAll()
	if _, err := a.Matches(t.Context(), everybody(), answer.SearchRequest{}, answer.CSV, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Search(t.Context(), everybody(), answer.SearchRequest{}); err != nil {
		t.Fatal(err)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if want := []index.Turn{index.Bulk, index.Short}; !slices.Equal(seen.searches, want) {
		t.Errorf("an export and a page read as %v, want %v", seen.searches, want)
	}
	if len(seen.catalogs) == 0 || slices.ContainsFunc(seen.catalogs, func(turn index.Turn) bool { return turn != index.Shared }) {
		t.Errorf("catalogs are read as %v, want %v", seen.catalogs, index.Shared)
	}
}
