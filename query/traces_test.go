package query_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// lookedUp counts the look-ups of traces, and gives no more than most of each.
type lookedUp struct {
	query.Index
	n, most int
}

func (l *lookedUp) Trace(ctx context.Context, spellings []string, scope index.Scope, limit int) ([]index.Hit, bool, error) {
	l.n++
	return l.Index.Trace(ctx, spellings, scope, min(limit, l.most))
}

// TestManyTraces holds a hundred traces that are asked for together against each of
// them asked for alone: the same records, in one look-up of the index, or in as many
// as their number asks for.
func TestManyTraces(t *testing.T) {
	counted := &lookedUp{most: index.MaxTrace}
	a := newArchive(t, func(o *query.Options) { counted.Index, o.Index = o.Index, counted })
	const traces, hops = 100, 7
	ids, start := make([]string, traces), a.clock
	for i := range ids {
		ids[i] = strings.ReplaceAll(uuid.NewString(), "-", "")
		for hop := range hops + i%3 {
			a.produce(fmt.Sprintf("topic-%d", hop), ids[i], "{}", start.AddDate(0, 0, i%5), "traceparent", fmt.Sprintf("00-%s-%016x-01", ids[i], 1+hop))
		}
	}
	ids[1] = strings.ToUpper(ids[1]) // in another spelling
	a.sealAll()
	want := make([][]answer.Hit, traces)
	for i, id := range ids {
		for _, hop := range a.trace(everybody(), id, answer.TraceRequest{FactsOnly: true}).Hops {
			want[i] = append(want[i], hop.Hit)
		}
		slices.SortFunc(want[i], byPlace)
		if len(want[i]) != hops+i%3 {
			t.Fatalf("trace %d alone has %d records", i, len(want[i]))
		}
	}
	for most, lookups := range map[int]int{index.MaxTrace: 1, traces * hops: 3, 20: 127} {
		counted.n, counted.most = 0, most
		found, err := a.Traced(t.Context(), everybody(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			slices.SortFunc(found[i].Records, byPlace)
			if found[i].TraceID != ids[i] || found[i].Truncated || !equalHits(found[i].Records, want[i]) {
				t.Fatalf("at most %d: trace %d: %+v, want %+v", most, i, found[i], want[i])
			}
		}
		if counted.n != lookups {
			t.Errorf("at most %d records a look-up: %d look-ups, want %d", most, counted.n, lookups)
		}
	}
	checkManyTracesRefused(t, a, counted, ids)
}

func checkManyTracesRefused(t *testing.T, a *archive, counted *lookedUp, ids []string) {
	counted.most = 5
	found, err := a.Traced(t.Context(), everybody(), ids[:2])
	if err != nil || !found[0].Truncated || !found[1].Truncated {
		t.Errorf("%+v, %v, want both cut", found, err)
	}
	counted.most = index.MaxTrace
	_, err = a.Traced(t.Context(), everybody(), append(ids[:2:2], "nobody knows it"))
	if missing := (*answer.NotFoundError)(nil); !errors.As(err, &missing) || !strings.Contains(err.Error(), "nobody knows it") {
		t.Errorf("a trace that nobody knows: %v", err)
	}
	if _, err = a.Traced(t.Context(), everybody(), []string{ids[0], "\x00"}); schema.KindOf(err) != schema.Invalid {
		t.Errorf("no trace's id: %v", err)
	}
	// Of what a viewer may not see nothing is given.
	seen, err := a.Traced(t.Context(), only(t, "topic-2"), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range seen {
		if len(one.Records) != 1 || one.Records[0].Topic != "topic-2" {
			t.Fatalf("%+v", one)
		}
	}
	long := make([]string, 200) // more than a URL takes
	for i := range long {
		long[i] = ids[i%len(ids)]
		if i > 0 {
			long[i] = strings.Repeat(" ", 400) + long[i]
		}
	}
	counted.n = 0
	if _, err = a.Traced(t.Context(), everybody(), long); err != nil || counted.n < 2 || counted.n > 20 {
		t.Errorf("%d look-ups: %v", counted.n, err)
	}
}

func byPlace(a, b answer.Hit) int { return strings.Compare(placeOf(a), placeOf(b)) }

func placeOf(h answer.Hit) string { return fmt.Sprintf("%s/%d/%09d", h.Topic, h.Partition, h.Offset) }

func equalHits(a, b []answer.Hit) bool {
	return slices.EqualFunc(a, b, func(a, b answer.Hit) bool {
		return placeOf(a) == placeOf(b) && a.TraceID == b.TraceID && a.Sealed == b.Sealed && a.Branch == b.Branch && a.Status == b.Status
	})
}
