package archiver_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/telemetry/telemetrytest"
	"github.com/fx-risk-ai/annals/schema"
)

// troubled is a store that is away for some calls of Put.
type troubled struct {
	*objstore.Store
	fails atomic.Int32
}

func (s *troubled) Put(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if s.fails.Add(-1) >= 0 {
		return objstore.Object{}, schema.Errorf(schema.Unavailable, "the store is away")
	}
	return s.Store.Put(ctx, key, body)
}

// TestFaultIsObserved: a segment that is sealed while the store is away for a
// moment leaves a trace of its way, log lines that name topic, partition,
// offset, component and that trace, and a count of the retry.
func TestFaultIsObserved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &troubled{Store: r.store}
	r.objects = store
	id := r.topic(t, "orders", 1)
	receiver, registry := telemetrytest.Receive(t), prometheus.NewRegistry()
	tracer := receiver.Tracer(t)
	var log telemetrytest.Log
	a, stop := r.archive(t, func(o *archiver.Options) { o.Tracer, o.Registerer, o.Logger = tracer, registry, log.Logger(t) })
	r.produce(t, "orders", 0, 5)
	must(t, a.CatchUp(t.Context()))
	store.fails.Store(1)
	r.sealed(t, a, r.stream("orders", id, 0), 5)
	must(t, a.Indexed(t.Context()))
	if n, _ := metric(t, registry, "annals_archiver_partition_retries_total", "topic", "orders"); n != 1 {
		t.Errorf("%v retries are counted", n)
	}
	stop()
	must(t, tracer.Close(t.Context()))

	spans := map[string]telemetrytest.Span{}
	for _, s := range receiver.Spans() {
		spans[s.Name] = s
	}
	whole := spans["archive segment"]
	for name, want := range map[string]string{"topic": "orders", "partition": "0", "base": "0", "next": "5", "records": "5", "reason": "asked"} {
		if whole.Attributes[name] != want {
			t.Errorf("%s is %q, want %q", name, whole.Attributes[name], want)
		}
	}
	for i, name := range []string{"fetch", "wait for a sealer", "encode", "put", "commit", "index"} {
		s, ok := spans[name]
		if !ok || s.Trace != whole.Trace || s.Parent != whole.ID || s.Ended.Before(s.Began) || i == 0 && !s.Began.Equal(whole.Began) {
			t.Errorf("step %s: %+v", name, s)
		}
	}
	if spans["index fresh records"].Name == "" {
		t.Error("no span of fresh records")
	}

	said := map[string]bool{}
	for _, line := range log.Lines(t) {
		text, _ := line["msg"].(string)
		said[text] = true
		if line["component"] == nil {
			t.Errorf("without component: %v", line)
		}
		if line["partition"] != nil && (line["topic"] != "orders" || line["partition"] != 0.0 || line["offset"] == nil) {
			t.Errorf("without topic, partition or offset: %v", line)
		}
		if text == "trouble" || text == "recovered" {
			if line["offset"] != 0.0 || line["topic"] != "orders" || line["trace_id"] != whole.Trace || line["span_id"] != spans["put"].ID {
				t.Errorf("of the trouble: %v", line)
			}
		}
	}
	if !said["trouble"] || !said["recovered"] || !said["partition opened"] {
		t.Errorf("said: %v", said)
	}
}

// TestLagGrowsWhileTheStoreIsAway: what cannot be sealed is behind, by the
// clock, though nothing new comes.
func TestLagGrowsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &troubled{Store: r.store}
	r.objects = store
	r.topic(t, "orders", 1)
	a, _ := r.archive(t, func(o *archiver.Options) {
		o.Cut = archiver.Cut{Age: 50 * time.Millisecond, MaxAge: 100 * time.Millisecond}
	})
	store.fails.Store(1 << 30)
	r.produce(t, "orders", 0, 3)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		lag := a.Lag()
		if !lag.Behind || lag.Records != 3 || lag.Partitions != 1 || !strings.HasPrefix(lag.Worst, "orders/0") {
			return schema.Errorf(schema.Internal, "lag %+v", lag)
		}
		return nil
	})
	store.fails.Store(0)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if lag := a.Lag(); lag.Behind || lag.Records != 0 || lag.Oldest != 0 {
			return schema.Errorf(schema.Internal, "lag %+v", lag)
		}
		return nil
	})
}
