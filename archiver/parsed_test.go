package archiver

import (
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// extractionsOfAllKinds have every field set, none, and what is longest.
func extractionsOfAllKinds() []schema.Extraction {
	return []schema.Extraction{
		{
			EventID: "e-1", EventType: "order.paid", EventVersion: "2", SourceService: "shop", TraceID: strings.Repeat("ab", 16), SpanID: "00f067aa0ba902b7",
			Causes:    []schema.Cause{{Kind: schema.CauseEvent, ID: "e-0"}, {Kind: schema.CauseCopy, ID: "orders/0/7"}},
			EventTime: -1, HasEventTime: true, Stage: schema.Stage(3), SchemaID: math.MinInt32, HasSchemaID: true,
			Errors: []string{"no timestamp", "é"},
		},
		{},
		{EventTime: math.MaxInt64, HasEventTime: true, SchemaID: 0, HasSchemaID: true},
		{EventTime: math.MinInt64, HasEventTime: true, EventID: strings.Repeat("x", 70_000)},
		{Errors: make([]string, 300), Causes: make([]schema.Cause, 200)},
	}
}

// What is kept of a row is what was read from it, but for the identifiers.
func TestParsedKeepWhatWasRead(t *testing.T) {
	list := extractionsOfAllKinds()
	k := newParsedRoom(80 << 20)
	r := &parsed{from: 100, to: 100 + int64(len(list))}
	other := &parsed{from: 200, to: 300}
	scratch := k.fill(r, list, nil)
	clear(scratch) // it is the next one's
	var into schema.Extraction
	for i, want := range list {
		into.Reset()
		if !find([]*parsed{r, other}, 100+int64(i), &into) {
			t.Fatalf("row %d was not kept", i)
		}
		got := into
		if len(got.Causes) == 0 && len(want.Causes) == 0 {
			got.Causes = want.Causes
		}
		if len(got.Errors) == 0 && len(want.Errors) == 0 {
			got.Errors = want.Errors
		}
		got.Identifiers = want.Identifiers
		if !reflect.DeepEqual(got, want) {
			t.Errorf("row %d: %.300v, want %.300v", i, got, want)
		}
	}
	for _, number := range []int64{99, 105, 199, 200, 299, 300} { // of no reading, or of one that is not filled
		if find([]*parsed{r, other}, number, &into) {
			t.Errorf("row %d was found", number)
		}
	}
	runtime.KeepAlive(r)
}

// No more is kept than the share of the budget, and room comes back with the
// readings' memory.
func TestParsedAreBounded(t *testing.T) {
	list := extractionsOfAllKinds()
	k := newParsedRoom(parsedShare * 200_000) // two of them
	filled := 0
	var scratch []byte
	for range 10 {
		r := &parsed{to: int64(len(list))}
		if scratch = k.fill(r, list, scratch); r.filled.Load() {
			filled++
		}
		if k.kept.Load() > 200_000+100_000 {
			t.Fatalf("%d bytes are kept", k.kept.Load())
		}
	}
	if filled == 0 || filled == 10 {
		t.Errorf("%d of 10 were filled", filled)
	}
	for deadline := time.Now().Add(30 * time.Second); k.kept.Load() > 0; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are still counted", k.kept.Load())
		}
	}
}
