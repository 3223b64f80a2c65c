package archiver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
)

// TestViolationsAreIndexedAndCounted goes from Kafka to the index, the segment's
// own column aside: what breaks a contract is counted there by rule, and in the
// metrics.
func TestViolationsAreIndexedAndCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, err := contract.Parse("c", []byte("type: T\nversion: 1\nrequired: [/never]\n"), nil)
	must(t, err)
	contracts, err := contract.New([]*contract.Contract{c})
	must(t, err)
	r.rules, err = extract.New(extract.Options{Contracts: contracts, Topics: []extract.TopicRule{{Topic: "orders", EventType: "/kind", EventVersion: "/version"}}})
	must(t, err)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	for _, value := range []string{`{"kind":"T","version":1}`, `{"kind":"T","version":1,"never":0}`, `{"kind":"T","version":2}`, `{"kind":"U"}`} {
		must(t, r.client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte(value), Timestamp: time.UnixMilli(1_600_000_000_000)}).FirstErr())
	}
	registry := prometheus.NewRegistry()
	a, stop := r.archive(t, func(o *archiver.Options) { o.Registerer = registry })
	r.sealed(t, a, s, 4)
	must(t, a.Indexed(t.Context()))
	stop()
	got := r.sql(t, "SELECT rule, sum(records), min(first_offset) FROM DB.violations FINAL GROUP BY rule ORDER BY rule")
	want := "contract:required:/never\t1\t0\ncontract:version_not_registered\t1\t2"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := r.sql(t, "SELECT offset, arrayStringConcat(errors, ' ') FROM DB.records FINAL WHERE errors != [] ORDER BY offset"); !strings.HasPrefix(got, "0\tcontract:required:/never\n2\t") {
		t.Errorf("records: %q", got)
	}
	must(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP annals_archiver_contract_violations_total Sealed records that break a rule, by event type where a contract of it is registered, and by the rule without its place.
# TYPE annals_archiver_contract_violations_total counter
annals_archiver_contract_violations_total{event_type="T",rule="contract:required"} 1
annals_archiver_contract_violations_total{event_type="T",rule="contract:version_not_registered"} 1
`), "annals_archiver_contract_violations_total"))
}
