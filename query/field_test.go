package query_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestFieldThroughATrace follows a field that is brought, kept, changed, renamed
// and dropped.
func TestFieldThroughATrace(t *testing.T) {
	a := newArchive(t, nil)
	trace := hexID(16)
	at := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	before := ""
	step := func(topic, value string) *schema.Record {
		at = at.Add(time.Second)
		id := hexID(16)
		headers := []string{"traceId", trace, "eventId", id, "eventType", topic}
		if before != "" {
			headers = append(headers, "causationId", before)
		}
		before = id
		return a.produce(topic, "k", value, at, headers...)
	}
	values := []string{
		`{"order":{"id":"A"}}`, `{"order":{"id":"A","total":12.50}}`, `{"order":{"total":12.50,"id":"A"},"note":"x"}`,
		`{"order":{"id":"A","total":13}}`, "\x00\xff", `{"order":{"id":"A","total":13}}`, `{"sum":13}`, `{"sum":14}`,
	}
	var records []*schema.Record
	for i, value := range values {
		records = append(records, step(fmt.Sprintf("step%d", i), value))
	}
	a.sealAll()
	history := func(pointer string) (changes, shown []string) {
		h, err := a.Field(t.Context(), everybody(), answer.FieldRequest{TraceID: strings.ToUpper(trace), Pointer: pointer})
		if err != nil {
			t.Fatal(err)
		}
		if h.TraceID != trace || len(h.Steps) != len(values) {
			t.Fatalf("%+v", h)
		}
		for i, s := range h.Steps {
			if s.Hit.Coordinates().String() != position(records[i]) || s.Parent != i-1 || (s.Change == answer.FieldUnread) != (s.Note != "" || i > 0 && h.Steps[i-1].Note != "") {
				t.Errorf("step %d: %+v", i, s)
			}
			changes, shown = append(changes, s.Change), append(shown, string(s.Value))
		}
		return changes, shown
	}
	changes, shown := history("/order/total")
	if want := []string{"absent", "added", "kept", "changed", "unread", "unread", "removed", "absent"}; !slices.Equal(changes, want) {
		t.Errorf("/order/total: %v, want %v", changes, want)
	}
	if want := []string{"", "12.50", "12.50", "13", "", "13", "", ""}; !slices.Equal(shown, want) {
		t.Errorf("/order/total: %v, want %v", shown, want)
	}
	if changes, _ := history("/order/id"); changes[0] != answer.FieldFirst || changes[1] != answer.FieldKept {
		t.Errorf("/order/id: %v", changes)
	}
	if changes, _ := history(""); changes[0] != answer.FieldFirst || changes[2] != answer.FieldChanged {
		t.Errorf("the whole value: %v", changes)
	}
	for _, pointer := range []string{"order", "/a~2", "/a~", "/" + strings.Repeat("x", 10_000)} {
		var fault *schema.Error
		if _, err := a.Field(t.Context(), everybody(), answer.FieldRequest{TraceID: trace, Pointer: pointer}); !errors.As(err, &fault) || fault.Field != "pointer" {
			t.Errorf("%.20q: %v", pointer, err)
		}
	}
	if _, err := a.Field(t.Context(), only(t, "other"), answer.FieldRequest{TraceID: trace, Pointer: "/a"}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("of hidden topics: %v", err)
	}
}
