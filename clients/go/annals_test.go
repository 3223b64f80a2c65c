package annals_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	annals "github.com/fx-risk-ai/annals/clients/go"
)

func headers(pairs ...string) (list []kgo.RecordHeader) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return list
}

func lines(list []kgo.RecordHeader) string {
	var b strings.Builder
	for _, h := range list {
		fmt.Fprintf(&b, "%s=%s\n", h.Key, h.Value)
	}
	return b.String()
}

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

var at = time.Date(2024, 3, 1, 10, 0, 0, 123_000, time.UTC)

// TestTo shows a join of two records, of which one is given twice, by a service
// that forwards the headers of the first.
func TestTo(t *testing.T) {
	order := &kgo.Record{Topic: "orders", Partition: 2, Offset: 17, Headers: headers(
		"event-id", "order-1", "causationId", "click-1", "x-src-topic", "clicks", "tenant", "emea",
		"traceparent", "00-"+trace+"-00f067aa0ba902b7-01")}
	rates := &kgo.Record{Topic: "rates", Offset: 5}
	before := lines(order.Headers)
	out := &kgo.Record{Topic: "prices", Headers: order.Headers}
	event := annals.Event{ID: "price-1", Type: "OrderPriced", Version: "2", Service: "pricing", Time: at, Stage: "enrichment"}
	if err := annals.From(order, rates, order).To(out, event); err != nil {
		t.Fatal(err)
	}
	want := lines(headers(
		"tenant", "emea", "traceparent", "00-"+trace+"-00f067aa0ba902b7-01",
		"eventId", "price-1", "eventType", "OrderPriced", "eventVersion", "2", "sourceService", "pricing",
		"traceId", trace, "x-lineage-stage", "enrichment", "timestamp", "2024-03-01T10:00:00.000123Z",
		"causationId", "order-1", "x-src-topic", "orders", "x-src-partition", "2", "x-src-offset", "17",
		"x-src-topic", "rates", "x-src-partition", "0", "x-src-offset", "5"))
	if got := lines(out.Headers); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := lines(order.Headers); got != before {
		t.Errorf("the consumed record became\n%s", got)
	}
}

// TestRefused holds that what Annals would not read is an error, and that the
// record stays as it was.
func TestRefused(t *testing.T) {
	in := &kgo.Record{Topic: "orders"}
	for name, c := range map[string]struct {
		inputs []*kgo.Record
		event  annals.Event
		own    []kgo.RecordHeader
	}{
		"too many inputs":    {inputs: slices.Repeat([]*kgo.Record{in}, annals.MaxInputs+1)},
		"no input":           {inputs: []*kgo.Record{nil}},
		"not consumed":       {inputs: []*kgo.Record{{Topic: "orders", Offset: -1}}},
		"no topic":           {inputs: []*kgo.Record{{}}},
		"control characters": {event: annals.Event{Type: "a\nb"}},
		"not UTF-8":          {event: annals.Event{ID: "\xff"}},
		"too long":           {event: annals.Event{Service: strings.Repeat("s", annals.MaxValueBytes+1)}},
		"space around":       {event: annals.Event{Version: " 2"}},
		"quoted":             {event: annals.Event{Type: `"OrderPriced"`}},
		"unknown stage":      {event: annals.Event{Stage: "cooking"}},
		"no trace":           {event: annals.Event{TraceID: strings.Repeat("0", 32)}},
		"year 10000":         {event: annals.Event{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"too many headers":   {own: slices.Repeat(headers("tenant", "emea"), annals.MaxHeaders)},
	} {
		out := &kgo.Record{Headers: slices.Concat(headers("eventId", "kept"), c.own)}
		n := len(out.Headers)
		err := annals.From(c.inputs...).To(out, c.event)
		if !errors.Is(err, annals.ErrUnreadable) || len(out.Headers) != n || out.Headers[0].Key != "eventId" {
			t.Errorf("%s: %v, %d headers of %d", name, err, len(out.Headers), n)
		}
	}
	if _, err := annals.NewHook(""); !errors.Is(err, annals.ErrUnreadable) {
		t.Errorf("a hook without a name: %v", err)
	}
}

// TestHook has a client call the hook; no broker is needed for that.
func TestHook(t *testing.T) {
	hook, err := annals.NewHook("pricing")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.WithHooks(hook), kgo.SeedBrokers("127.0.0.1:1"), kgo.DefaultProduceTopic("prices"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	produce := func(r *kgo.Record) string {
		client.Produce(ctx, r, nil)
		return lines(r.Headers)
	}
	for _, c := range []struct{ own, want string }{
		{"", "eventId=* sourceService=pricing timestamp=*"},
		{"ce_id=a ce_source=b ce_time=c", "ce_id=a ce_source=b ce_time=c"},
		{"event-id=a", "event-id=a sourceService=pricing timestamp=*"},
	} {
		var own []string
		for _, field := range strings.Fields(c.own) {
			name, value, _ := strings.Cut(field, "=")
			own = append(own, name, value)
		}
		r := &kgo.Record{Headers: headers(own...)}
		first := produce(r)
		got := strings.Fields(first)
		for i, want := range strings.Fields(c.want) {
			if i >= len(got) || got[i] != want && !strings.HasPrefix(got[i], strings.TrimSuffix(want, "*")) {
				t.Errorf("%q: got %q, want %s", c.own, got, c.want)
				break
			}
		}
		if len(got) != len(strings.Fields(c.want)) {
			t.Errorf("%q: got %q, want %s", c.own, got, c.want)
		}
		if again := produce(r); again != first {
			t.Errorf("produced again:\n%swas\n%s", again, first)
		}
	}
}
