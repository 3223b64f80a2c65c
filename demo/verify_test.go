package demo_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/demo"
)

// verify holds everything that a pipeline produced for the expected days, in
// its first run, against the file.
func verify(t testing.TB, brokers []string, e expectation) pipeline {
	t.Helper()
	p := readPipeline(t, brokers, e)
	for _, c := range []struct {
		topic string
		got   []*kgo.Record
		want  int
	}{
		{demo.TopicReceived, p.received, e.rates},
		{demo.TopicRejected, p.rejected, e.gaps},
		{demo.TopicEnriched, p.enriched, e.rates},
		{demo.TopicVolatility, p.volatility, e.volatilities},
		{demo.TopicExposure, p.exposure, e.exposures},
	} {
		if len(c.got) != c.want {
			t.Fatalf("%s has %d committed records, want %d", c.topic, len(c.got), c.want)
		}
	}
	verifyReceived(t, p, e)
	verifyEnriched(t, p, e)
	verifyVolatility(t, p, e)
	verifyExposure(t, p, e)
	p.alerts = verifyAlerts(t, brokers, p)
	return p
}

func verifyReceived(t testing.TB, p pipeline, e expectation) {
	t.Helper()
	traces := map[string]string{} // by day
	seen := map[string]bool{}     // ids
	sequences := make([]bool, e.rates+1)
	for _, r := range p.received {
		b := body(t, r)
		day := b["fixingDate"].(string)
		trace := b["traceId"].(string)
		if known, ok := traces[day]; ok && known != trace {
			t.Fatalf("%s has the traces %s and %s", day, known, trace)
		}
		traces[day] = trace
		if parent := one(t, r, "traceparent"); !strings.HasPrefix(parent, "00-"+trace+"-") || len(parent) != 55 {
			t.Fatalf("traceparent %s does not carry the trace %s", parent, trace)
		}
		id := b["eventId"].(string)
		if len(id) != 32 || seen[id] {
			t.Fatalf("event id %q is not 128 bits of its own", id)
		}
		seen[id] = true
		sequences[int(b["sequence"].(float64))] = true
		version, fixing := 1.0, b["fixing"]
		if day >= "2010-01-01" {
			version = 2
		}
		if b["eventVersion"] != version || (fixing != nil) != (version == 2) {
			t.Fatalf("%s: version %v with fixing %v", day, b["eventVersion"], fixing)
		}
		if got := r.Timestamp.UTC().Format("2006-01-02 15:04"); got != day+" 14:15" {
			t.Fatalf("a record of %s has the time %s", day, got)
		}
		if b["provider"] != "European Central Bank" || string(r.Key) != b["currency"] {
			t.Fatalf("record %s with key %s", r.Value, r.Key)
		}
	}
	if slices.Contains(sequences[1:], false) {
		t.Fatal("the sequence of received rates has a hole")
	}
	distinct := map[string]bool{}
	for _, trace := range traces {
		distinct[trace] = true
	}
	if len(distinct) != len(e.days) {
		t.Fatalf("%d traces for %d days", len(distinct), len(e.days))
	}
	for _, r := range p.rejected {
		if got, want := one(t, r, "traceId"), traces[one(t, r, "x-fixing-day")]; got != want {
			t.Fatalf("a rejected cell has the trace %s, its day %s", got, want)
		}
		for _, name := range []string{"x-error-class", "x-error-message", "x-original-topic", "x-source-file", "x-source-line", "x-attempt", "sourceService", "eventId", "traceparent"} {
			if one(t, r, name) == "" {
				t.Fatalf("header %s of a rejected cell is empty", name)
			}
		}
		if string(r.Key) != "ISK" {
			t.Fatalf("rejected cell of %s", r.Key)
		}
	}
}

func verifyEnriched(t testing.TB, p pipeline, e expectation) {
	t.Helper()
	next := map[string]int{}
	for _, r := range p.enriched {
		b := body(t, r)
		code := b["currency"].(string)
		q := e.quotes[code][next[code]]
		next[code]++
		if b["fixingDate"] != q.day.Format(time.DateOnly) || fmt.Sprint(b["rate"]) != fmt.Sprint(q.rate) {
			t.Fatalf("enriched %s: %v %v, want %v %v next", code, b["fixingDate"], b["rate"], q.day, q.text)
		}
		if one(t, r, "ce_id") != b["eventId"] || one(t, r, "ce_type") != "FxRateEnriched" || one(t, r, "ce_specversion") != "1.0" || one(t, r, "ce_source") == "" || one(t, r, "ce_time") != b["timestamp"] {
			t.Fatalf("CloudEvents headers %v do not fit %s", r.Headers, r.Value)
		}
		if !strings.HasPrefix(one(t, r, "ce_traceparent"), "00-"+b["traceId"].(string)+"-") {
			t.Fatal("ce_traceparent does not carry the trace")
		}
		if q.previous < 0 {
			if b["previousRate"] != nil || b["changePercent"] != nil {
				t.Fatalf("%s on %s follows no rate, but has %v", code, b["fixingDate"], b["previousRate"])
			}
			continue
		}
		before := e.quotes[code][q.previous]
		if b["previousRate"] != before.rate || b["previousFixingDate"] != before.day.Format(time.DateOnly) || !close6(b["changePercent"].(float64), (q.rate/before.rate-1)*100) {
			t.Fatalf("%s on %s: previous %v of %v, change %v; want %v of %v", code, b["fixingDate"], b["previousRate"], b["previousFixingDate"], b["changePercent"], before.rate, before.day)
		}
	}
}

func verifyVolatility(t testing.TB, p pipeline, e expectation) {
	t.Helper()
	ids := map[string][]string{} // enriched event ids by currency, in order
	for _, r := range p.enriched {
		ids[string(r.Key)] = append(ids[string(r.Key)], one(t, r, "ce_id"))
	}
	next := map[string]int{}
	for _, r := range p.volatility {
		b := body(t, r)
		code := b["currency"].(string)
		qs := e.quotes[code]
		for windowAt(qs, next[code], 20) == nil {
			next[code]++
		}
		i := next[code]
		next[code]++
		window := windowAt(qs, i, 20)
		var want []string
		for _, w := range window {
			want = append(want, ids[code][w])
		}
		if got := headers(r, "causationId"); !slices.Equal(got, want) {
			t.Fatalf("%s on %v: causes are not the 20 enriched rates before: %v, want %v", code, b["fixingDate"], got, want)
		}
		sd := deviationOf(qs, window) * 100
		if b["fixingDate"] != qs[i].day.Format(time.DateOnly) || b["windowFrom"] != qs[window[0]].day.Format(time.DateOnly) || !close6(b["volatilityPercent"].(float64), sd) {
			t.Fatalf("%s: %s, want %v from %v: %v", code, r.Value, qs[i].day, qs[window[0]].day, sd)
		}
		prior := windowAt(qs, qs[i].previous, 20)
		if prior == nil {
			if b["priorVolatilityPercent"] != nil || b["sigmas"] != nil {
				t.Fatalf("%s: %s has no days before its window", code, r.Value)
			}
			continue
		}
		psd := deviationOf(qs, prior)
		moved := math.Log(qs[i].rate / qs[qs[i].previous].rate)
		if !close6(b["priorVolatilityPercent"].(float64), psd*100) {
			t.Fatalf("%s: %s, want prior volatility %v", code, r.Value, psd*100)
		}
		if sigmas, ok := b["sigmas"].(float64); ok && !close6(sigmas, moved/psd) || !ok && psd > 0.0002+1e-9 {
			t.Fatalf("%s: %s, want %v sigmas", code, r.Value, moved/psd)
		}
		if one(t, r, "eventType") != "FxVolatilityComputed" || one(t, r, "sourceService") != "risk-engine" || len(one(t, r, "traceId")) != 32 || len(one(t, r, "eventId")) != 32 {
			t.Fatalf("headers %v", r.Headers)
		}
	}
}

func verifyExposure(t testing.TB, p pipeline, e expectation) {
	t.Helper()
	byDay := map[string]map[string]bool{} // ids
	trace := map[string]string{}
	newest := map[string]time.Time{}
	for _, r := range p.enriched {
		b := body(t, r)
		day := b["fixingDate"].(string)
		if byDay[day] == nil {
			byDay[day] = map[string]bool{}
		}
		byDay[day][b["eventId"].(string)] = true
		trace[day] = b["traceId"].(string)
		if r.Timestamp.After(newest[day]) {
			newest[day] = r.Timestamp
		}
	}
	seen := map[string]bool{}
	previous := map[string]string{}
	for _, r := range p.exposure {
		b := body(t, r)
		day, name := b["fixingDate"].(string), b["portfolio"].(string)
		if seen[day+name] {
			t.Fatalf("%s was valued twice on %s", name, day)
		}
		seen[day+name] = true
		if previous[name] >= day {
			t.Fatalf("%s: %s after %s", name, day, previous[name])
		}
		previous[name] = day
		causes := headers(r, "causationId")
		if len(causes) != len(byDay[day]) || b["positions"] != float64(len(causes)) || b["ratesInFixing"] != b["positions"] {
			t.Fatalf("%s on %s: %d causes and %v positions, want %d", name, day, len(causes), b["positions"], len(byDay[day]))
		}
		for _, id := range causes {
			if !byDay[day][id] {
				t.Fatalf("%s on %s: cause %s is no enriched rate of the day", name, day, id)
			}
		}
		if one(t, r, "traceId") != trace[day] || !r.Timestamp.After(newest[day]) {
			t.Fatalf("%s on %s: trace %s at %s", name, day, one(t, r, "traceId"), r.Timestamp)
		}
		if v := b["valueEur"].(float64); v < 1e6 || v > 1e9 {
			t.Fatalf("%s on %s is worth %v EUR", name, day, v)
		}
		if change, ok := b["changePercent"].(float64); ok == (day == e.days[0].Date.Format(time.DateOnly)) || math.Abs(change) > 10 {
			t.Fatalf("%s on %s changed by %v %%", name, day, b["changePercent"])
		}
	}
}

// verifyAlerts expects an alert for each move beyond four sigmas and no other.
func verifyAlerts(t testing.TB, brokers []string, p pipeline) []*kgo.Record {
	t.Helper()
	causes := map[string]*kgo.Record{}
	for _, r := range slices.Concat(p.volatility, p.exposure) {
		if sigmas, ok := body(t, r)["sigmas"].(float64); ok && math.Abs(sigmas) > 4 {
			causes[fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)] = r
		}
	}
	alerts := committed(t, brokers, demo.TopicAlerts, len(causes))
	if len(alerts) != len(causes) {
		t.Errorf("%d alerts, want %d", len(alerts), len(causes))
	}
	for _, r := range alerts {
		at := fmt.Sprintf("%s/%s/%s", one(t, r, "x-src-topic"), one(t, r, "x-src-partition"), one(t, r, "x-src-offset"))
		cause, ok := causes[at]
		if !ok {
			t.Fatalf("alert %s names %s, which is no committed move beyond four sigmas, or has an alert already", r.Value, at)
		}
		delete(causes, at)
		b, c := body(t, r), body(t, cause)
		if b["sigmas"] != c["sigmas"] || b["subject"] != string(cause.Key) || string(r.Key) != string(cause.Key) || b["traceId"] != one(t, cause, "traceId") || !r.Timestamp.After(cause.Timestamp) {
			t.Fatalf("alert %s does not fit %s", r.Value, cause.Value)
		}
	}
	return alerts
}
