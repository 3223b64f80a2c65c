package archiver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// metric finds a sample by its labels, given in turn; false: there is none.
func metric(t *testing.T, registry *prometheus.Registry, name string, labels ...string) (float64, bool) {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if has(m, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func has(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, pair := range m.GetLabel() {
			found = found || pair.GetName() == labels[i] && pair.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// TestMetricsOfPartitions: what is behind is measured while it is, within the
// bound on series, and a topic that is gone has none.
func TestMetricsOfPartitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "small", 1)
	r.topic(t, "wide", 4)
	registry := prometheus.NewRegistry()
	a, _ := r.archive(t, func(o *archiver.Options) { o.Registerer, o.Series = registry, 3 })
	for i := range 4 {
		r.produce(t, "wide", int32(i), 5)
	}
	r.produce(t, "small", 0, 7)
	must(t, a.CatchUp(t.Context()))
	is := func(want float64, name string, labels ...string) {
		t.Helper()
		if got, ok := metric(t, registry, "annals_archiver_"+name, labels...); !ok || got != want {
			t.Errorf("%s %v is %v (there: %t), want %v", name, labels, got, ok, want)
		}
	}
	is(7, "lag_records", "topic", "small", "partition", "0")
	is(20, "lag_records", "topic", "wide", "partition", "*")
	is(4, "partitions_not_shown")
	is(0, "retention_unknown_partitions")
	if seconds, _ := metric(t, registry, "annals_archiver_lag_seconds", "topic", "small"); seconds <= 0 || seconds > 60 {
		t.Errorf("the oldest unsealed record is %v s old", seconds)
	}
	if lag := a.Lag(); lag.Records != 27 || lag.Oldest <= 0 || lag.Behind || lag.Worst == "" {
		t.Errorf("lag %+v", lag)
	}
	_, err := a.Seal(t.Context(), true)
	must(t, err)
	is(0, "lag_records", "topic", "small", "partition", "0")
	is(0, "lag_seconds", "topic", "wide", "partition", "*")
	is(7, "sealed_offset", "topic", "small", "partition", "0")
	is(7, "high_watermark", "topic", "small", "partition", "0")
	is(20, "partition_records_total", "topic", "wide", "partition", "*")
	is(4, "partition_commits_total", "topic", "wide", "reason", "asked")
	is(0, "gap_offsets_total", "class", "unexplained")
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	_, err = kadm.NewClient(r.client).DeleteTopics(t.Context(), "wide")
	must(t, err)
	embeddedtest.Eventually(t, 20*time.Second, func() error {
		if _, ok := metric(t, registry, "annals_archiver_lag_records", "topic", "wide"); ok {
			return fmt.Errorf("a topic that is gone has metrics")
		}
		return nil
	})
	is(0, "partitions_not_shown")
}

// TestShareOfRetentionIsRead: the topic's retention.ms is known, and a record is
// as old as its timestamp says, which is what Kafka goes by.
func TestShareOfRetentionIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hour := "3600000"
	_, err := kadm.NewClient(r.client).CreateTopic(t.Context(), 1, 1, map[string]*string{"retention.ms": &hour}, "kept")
	must(t, err)
	registry := prometheus.NewRegistry()
	a, _ := r.archive(t, func(o *archiver.Options) { o.Registerer = registry })
	old := &kgo.Record{Topic: "kept", Value: []byte("old"), Timestamp: time.Now().Add(-30 * time.Minute)}
	must(t, r.client.ProduceSync(t.Context(), old).FirstErr())
	must(t, a.CatchUp(t.Context()))
	share, ok := metric(t, registry, "annals_archiver_lag_retention_ratio", "topic", "kept")
	if !ok || share < 0.49 || share > 0.52 {
		t.Errorf("a record half an hour old has used %v of an hour (there: %t)", share, ok)
	}
	if lag := a.Lag(); !strings.HasPrefix(lag.Worst, "kept") || lag.Retention < share {
		t.Errorf("lag %+v", lag)
	}
}
