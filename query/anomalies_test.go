package query_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// lookedAt is a moment, and the hour that is looked at then.
var lookedAt, lookedHour = time.Date(2024, 3, 10, 12, 40, 0, 0, time.UTC), time.Date(2024, 3, 10, 11, 0, 0, 0, time.UTC)

// hour produces n records of a topic in an hour, and gives the last one's trace.
func (a *archive) hour(topic string, start time.Time, n int, headers ...string) (trace string) {
	for i := range n {
		trace = hexID(16)
		more := append([]string{"traceId", trace, "sourceService", "shop"}, headers...)
		a.produce(topic, fmt.Sprint(i), "{}", start.Add(time.Duration(i)*time.Second), more...)
	}
	return trace
}

// found gives the findings of one kind, and how its check went.
func (a *archive) found(who policy.Principal, at time.Time, kind string) ([]answer.Anomaly, answer.AnomalyCheck) {
	a.t.Helper()
	all, err := a.Anomalies(a.t.Context(), who, at)
	if err != nil {
		a.t.Fatal(err)
	}
	var some []answer.Anomaly
	for _, f := range all.Anomalies {
		if f.Kind == kind {
			some = append(some, f)
		}
	}
	i := slices.IndexFunc(all.Checks, func(c answer.AnomalyCheck) bool { return c.Kind == kind })
	if i < 0 || len(all.Checks) != 5 {
		a.t.Fatalf("checks %+v", all.Checks)
	}
	return some, all.Checks[i]
}

func TestAnomaliesOfVolumes(t *testing.T) {
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "orders*", Team: "sales"}})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Policy, o.Contracts = policies, orderContracts(t) })
	for _, kind := range []string{answer.ThroughputDrop, answer.DeadLetterRise, answer.SchemaMismatch, answer.LagAnomaly, answer.UnexplainedGaps} {
		if some, check := a.found(everybody(), lookedAt, kind); len(some) != 0 || check.State != answer.CheckIndeterminate {
			t.Errorf("of nothing, %s is %+v", kind, check)
		}
	}
	for day := 1; day <= 7; day++ {
		before := lookedHour.AddDate(0, 0, -day)
		a.hour("orders", before, 120)
		a.hour("steady", before, 120)
		a.hour("small", before, 5)
		if day != 7 { // a week ago it was quiet too
			a.hour("weekdays", before, 120)
		}
		a.hour("orders.dlq", before, 2)
	}
	a.hour("young", lookedHour.AddDate(0, 0, -1), 120)
	dropped := a.hour("orders", lookedHour, 20)
	a.hour("steady", lookedHour, 60)
	dead := a.hour("orders.dlq", lookedHour, 11)
	for range 10 {
		a.hour("steady", lookedHour.Add(time.Minute), 1, "traceparent", "not one")
	}
	a.sealAll()
	late := a.hour("orders", lookedHour.Add(30*time.Minute), 1)
	a.indexAll()

	drops, check := a.found(everybody(), lookedAt, answer.ThroughputDrop)
	if len(drops) != 1 || check.State != answer.CheckFound || check.Judged != 3 || check.Indeterminate != 2 {
		t.Fatalf("drops %+v, %+v", drops, check)
	}
	if d := drops[0]; d.Topic != "orders" || d.Team != "sales" || d.Component != "shop" || d.Value != 21 || d.Expected != 120 ||
		!d.From.Equal(lookedHour) || len(d.Traces) != 5 || d.Traces[0] != late || !slices.Contains(d.Traces, dropped) || d.Evidence == "" {
		t.Errorf("the drop is %+v", d)
	}
	letters, check := a.found(everybody(), lookedAt, answer.DeadLetterRise)
	if len(letters) != 1 || check.State != answer.CheckFound || letters[0].Topic != "orders.dlq" || letters[0].Value != 11 || letters[0].Expected != 2 || letters[0].Traces[0] != dead || letters[0].Team != "sales" {
		t.Errorf("letters %+v, %+v", letters, check)
	}
	broken, check := a.found(everybody(), lookedAt, answer.SchemaMismatch)
	if len(broken) != 1 || check.State != answer.CheckFound || broken[0].Topic != "steady" || broken[0].Value != 10 || broken[0].Component != "shop" || len(broken[0].Traces) == 0 {
		t.Errorf("mismatches %+v, %+v", broken, check)
	}
	// An hour earlier than what is known, and a viewer who sees another topic.
	if some, check := a.found(everybody(), lookedAt.AddDate(0, 0, -7), answer.ThroughputDrop); len(some) != 0 || check.State != answer.CheckIndeterminate {
		t.Errorf("of the first day %+v", check)
	}
	if some, check := a.found(only(t, "steady"), lookedAt, answer.ThroughputDrop); len(some) != 0 || check.State != answer.CheckOK || check.Judged != 1 {
		t.Errorf("who sees what is steady gets %+v, %+v", some, check)
	}
	// What comes late, and is not sealed, makes up for it.
	a.hour("orders", lookedHour.Add(40*time.Minute), 10)
	a.indexAll()
	if some, _ := a.found(everybody(), lookedAt, answer.ThroughputDrop); len(some) != 0 {
		t.Errorf("31 of 120 are called a drop: %+v", some)
	}
}

func TestAnomaliesOfOffsets(t *testing.T) {
	broker := &watermark{}
	a := newArchive(t, func(o *query.Options) {
		o.Broker = broker
		o.Anomalies = query.DefaultAnomalyRules
		o.Anomalies.Lag = 300 * time.Millisecond
	})
	broker.a = a
	at := time.Now().UTC()
	before := hexID(16)
	a.produce("orders", "k", "{}", at, "traceId", before)
	a.sealAll()
	if some, check := a.found(everybody(), at, answer.LagAnomaly); len(some) != 0 || check.State != answer.CheckOK || check.Judged != 1 {
		t.Errorf("all is read: %+v, %+v", some, check)
	}
	broker.ahead = 3
	if some, check := a.found(everybody(), at, answer.LagAnomaly); len(some) != 0 || check.State != answer.CheckIndeterminate || check.Indeterminate != 1 {
		t.Errorf("just now there are more: %+v, %+v", some, check)
	}
	time.Sleep(400 * time.Millisecond)
	some, check := a.found(everybody(), at, answer.LagAnomaly)
	if len(some) != 1 || check.State != answer.CheckFound || some[0].Topic != "orders" || some[0].Value != 3 || *some[0].Partition != partitionOf("k") || some[0].Component != "archiver" || !slices.Equal(some[0].Traces, []string{before}) {
		t.Errorf("nothing is read: %+v, %+v", some, check)
	}
	broker.ahead = 0
	a.produce("orders", "k", "{}", at.Add(-time.Hour), "traceId", hexID(16))
	a.indexAll()
	time.Sleep(1100 * time.Millisecond) // a catalog's age
	if some, _ := a.found(everybody(), at, answer.LagAnomaly); len(some) != 1 || some[0].Value != 1 {
		t.Errorf("a record of an hour ago is not sealed: %+v", some)
	}
	// Offsets that nothing explains, between two records.
	a.missing = schema.GapUnexplained
	s := a.stream("orders", partitionOf("k"))
	s.next += 4
	after := hexID(16)
	a.seal(s)
	a.produce("orders", "k", "{}", at, "traceId", after)
	a.sealAll()
	gaps, check := a.found(everybody(), a.clock.Add(time.Hour), answer.UnexplainedGaps)
	if len(gaps) != 1 || check.State != answer.CheckFound || gaps[0].Value != 4 || *gaps[0].Partition != partitionOf("k") || !slices.Contains(gaps[0].Traces, after) {
		t.Errorf("gaps %+v, %+v", gaps, check)
	}
	if gaps, check := a.found(everybody(), a.clock.Add(48*time.Hour), answer.UnexplainedGaps); len(gaps) != 0 || check.State != answer.CheckOK {
		t.Errorf("two days later: %+v, %+v", gaps, check)
	}
	if gaps, _ := a.found(only(t, "other"), a.clock.Add(time.Hour), answer.UnexplainedGaps); len(gaps) != 0 {
		t.Errorf("who does not see the topic sees %+v", gaps)
	}
}

// TestWatchKeepsMetrics: what was found, and which checks could say nothing; and
// where the index does not answer, how old that is.
func TestWatchKeepsMetrics(t *testing.T) {
	a := newArchive(t, func(o *query.Options) { o.Broker = nil })
	a.missing = schema.GapUnexplained
	a.clock = time.Now().UTC().Add(-time.Minute)
	a.produce("orders", "k", "{}", time.Now(), "traceId", hexID(16))
	a.sealAll()
	a.stream("orders", partitionOf("k")).next += 4
	a.produce("orders", "k", "{}", time.Now(), "traceId", hexID(16))
	a.sealAll()
	watch := query.NewWatch(a.Engine, time.Minute, slog.New(slog.DiscardHandler))
	registry := prometheus.NewRegistry()
	registry.MustRegister(watch.Collectors()...)
	values := func() map[string]float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				all[name] = m.GetGauge().GetValue()
			}
		}
		return all
	}
	if v := values(); v["annals_anomaly_check_indeterminate lag"] != 1 || v["annals_anomalies_looked_timestamp_seconds"] != 0 {
		t.Errorf("before the first look: %v", v)
	}
	if err := watch.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := values()
	if v["annals_anomalies kafka unexplained_gap  orders"] != 1 || v["annals_anomaly_check_indeterminate unexplained_gap"] != 0 ||
		v["annals_anomaly_check_indeterminate throughput_drop"] != 1 || v["annals_anomaly_check_indeterminate lag"] != 1 {
		t.Errorf("after a look: %v", v)
	}
	looked := v["annals_anomalies_looked_timestamp_seconds"]
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := watch.Look(ended); err == nil {
		t.Error("a look that was called off says nothing")
	}
	if v := values(); v["annals_anomalies_looked_timestamp_seconds"] != looked || looked == 0 {
		t.Errorf("looked at %v, then %v", looked, v)
	}
}

// TestAnomaliesOfDeadLettersByPolicy: which topics have dead letters policy says, in
// what differs as in their list.
func TestAnomaliesOfDeadLettersByPolicy(t *testing.T) {
	yes, no := true, false
	policies, err := policy.NewRules([]policy.Rule{{Pattern: "parking", DeadLetters: &yes}, {Pattern: "votes.dlt", DeadLetters: &no}})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, func(o *query.Options) { o.Policy = policies })
	for day := 1; day <= 7; day++ {
		before := lookedHour.AddDate(0, 0, -day)
		a.hour("parking", before, 2)
		a.hour("votes.dlt", before, 2)
	}
	a.hour("parking", lookedHour, 11)
	a.hour("votes.dlt", lookedHour, 11)
	a.sealAll()
	letters, check := a.found(everybody(), lookedAt, answer.DeadLetterRise)
	if len(letters) != 1 || letters[0].Topic != "parking" || check.Judged != 1 {
		t.Errorf("letters %+v, %+v", letters, check)
	}
}
