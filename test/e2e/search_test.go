package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// oneOf gives a committed record of a topic, from Kafka.
func oneOf(t testing.TB, i *instance.Instance, topic string) *kgo.Record {
	t.Helper()
	for _, s := range i.Stored(t, topic) {
		verdicts := s.Verdicts(t)
		for _, r := range s.Records {
			if verdicts[r.Offset] == "committed" {
				return r
			}
		}
	}
	t.Fatalf("%s has no committed record", topic)
	return nil
}

// TestAnyIDFindsItsRecords asks for one record by every id it has, in every
// spelling.
func TestAnyIDFindsItsRecords(t *testing.T) {
	i := year(t)
	r := oneOf(t, i, "fx.rates.enriched")
	trace, event := traceOf(t, r), eventID(t, r)
	dashed := func(id string) string {
		return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
	}
	for _, c := range []struct{ name, id, role string }{
		{"trace id", trace, "trace"},
		{"trace id, upper-case", strings.ToUpper(trace), "trace"},
		{"trace id as a UUID", dashed(trace), "trace"},
		{"trace id as a UUID, upper-case", strings.ToUpper(dashed(trace)), "trace"},
		{"event id", event, "event"},
		{"event id as a UUID", dashed(event), "event"},
		{"event id, as a cause", event, "causation"},
		{"coordinates", at(r), "record"},
	} {
		var found api.Identification
		i.Ask(t, "/identify?id="+url.QueryEscape(c.id), &found)
		n := slices.IndexFunc(found.Matches, func(m api.Match) bool { return m.Role == c.role })
		if n < 0 {
			t.Errorf("%s %s plays no role %q: %+v", c.name, c.id, c.role, found.Matches)
			continue
		}
		switch m := found.Matches[n]; {
		case c.role == "trace" && (m.TraceId == nil || *m.TraceId != trace || m.Count < 60):
			t.Errorf("%s: %+v is not the trace", c.name, m)
		case (c.role == "event" || c.role == "record") && (m.Count != 1 || where((*m.Records)[0].Coordinates) != at(r)):
			t.Errorf("%s: %+v is not the record %s", c.name, m, at(r))
		case c.role == "causation" && m.Count < 1:
			t.Errorf("%s names nothing", c.name)
		}
	}
	for _, spelling := range []string{strings.ToUpper(trace), dashed(trace)} {
		var got api.Trace
		i.JSON(t, &got, "trace", spelling)
		if got.TraceId != trace || len(got.Hops) < 60 {
			t.Errorf("annals trace %s gives %d hops of %s", spelling, len(got.Hops), got.TraceId)
		}
	}
	var whole api.Trace
	i.JSON(t, &whole, "trace", trace, "--no-diffs")
	few, every := i.Annals(t, "trace", trace, "--no-diffs"), i.Annals(t, "trace", trace, "--no-diffs", "--all")
	shown := func(out []byte) (n int) { // hops begin with their number and stage
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) > 3 && strings.Trim(fields[0], "0123456789") == "" && fields[1] != "of" {
				n++
			}
		}
		return n
	}
	if n := shown(every.Out); every.Code != 0 || n != len(whole.Hops) || strings.Contains(string(every.Out), "more like these") {
		t.Errorf("annals trace --all shows %d of %d hops:\n%.2000s", n, len(whole.Hops), every.Out)
	}
	if n := shown(few.Out); few.Code != 0 || n == 0 || n > len(whole.Hops)/2 || !strings.Contains(string(few.Out), fmt.Sprintf("%d of %d hops are not shown", len(whole.Hops)-n, len(whole.Hops))) {
		t.Errorf("annals trace shows %d of %d hops:\n%.2000s", n, len(whole.Hops), few.Out)
	}
	var page api.RecordPage
	i.JSON(t, &page, "search", strings.ToUpper(event))
	if !slices.ContainsFunc(page.Records, func(h api.Hit) bool { return where(h.Coordinates) == at(r) }) {
		t.Errorf("annals search %s does not give %s", strings.ToUpper(event), at(r))
	}
}

// TestSearchPagesThroughEveryRecordOnce walks a topic in small pages.
func TestSearchPagesThroughEveryRecordOnce(t *testing.T) {
	i := year(t)
	want := map[string]bool{}
	for _, s := range i.Stored(t, "fx.risk.exposure") {
		for offset, verdict := range s.Verdicts(t) {
			if verdict == "committed" {
				want[fmt.Sprintf("fx.risk.exposure/%d/%d", s.Records[0].Partition, offset)] = true
			}
		}
	}
	seen := map[string]bool{}
	var last api.Hit
	for cursor := ""; ; {
		var page api.RecordPage
		i.Ask(t, "/records?topic=fx.risk.exposure&limit=100&cursor="+cursor, &page)
		for _, hit := range page.Records {
			if place := where(hit.Coordinates); seen[place] || !want[place] {
				t.Fatalf("%s comes twice, or is no committed record", place)
			} else {
				seen[place] = true
			}
			if len(seen) > 1 && hit.Timestamp.After(last.Timestamp) {
				t.Errorf("%s is newer than the one before it", where(hit.Coordinates))
			}
			last = hit
		}
		if page.NextCursor == nil {
			break
		}
		cursor = *page.NextCursor
	}
	if len(seen) != len(want) {
		t.Errorf("%d records in all pages, Kafka has %d", len(seen), len(want))
	}
}

// TestSearchFilters counts by time, type and service against Kafka.
func TestSearchFilters(t *testing.T) {
	i := year(t)
	day := oneOf(t, i, "fx.risk.exposure").Timestamp.UTC().Format("2006-01-02")
	want := map[string]int{}
	for _, s := range i.Stored(t, demoTopics(t, i)...) {
		verdicts := s.Verdicts(t)
		for _, r := range s.Records {
			if verdicts[r.Offset] == "committed" && r.Timestamp.UTC().Format("2006-01-02") == day {
				want[r.Topic]++
			}
		}
	}
	until := day + "T23:59:59Z"
	for filter, count := range map[string]int{
		"topic=fx.rates.received":                         want["fx.rates.received"],
		"topic=fx.rates.received&topic=fx.rates.enriched": want["fx.rates.received"] + want["fx.rates.enriched"],
		"event_type=FxVolatilityComputed":                 want["fx.risk.volatility"],
		"service=risk-engine":                             want["fx.risk.volatility"] + want["fx.risk.exposure"],
		"service=nobody":                                  0,
		"status=control&topic=fx.nothing":                 0,
	} {
		var page api.RecordPage
		i.Ask(t, "/records?limit=1000&from="+day+"T00:00:00Z&to="+until+"&"+filter, &page)
		if len(page.Records) != count {
			t.Errorf("%s on %s: %d records, Kafka has %d", filter, day, len(page.Records), count)
		}
	}
}

// TestRawIsExact compares one value of each topic, as the command writes it.
func TestRawIsExact(t *testing.T) {
	i := year(t)
	for _, topic := range []string{"fx.rates.received", "fx.rates.enriched", "fx.risk.volatility", "fx.risk.exposure", "fx.risk.alerts"} {
		r := oneOf(t, i, topic)
		if said := i.Annals(t, "get", at(r), "--raw"); said.Code != 0 || string(said.Out) != string(r.Value) {
			t.Errorf("annals get %s --raw: code %d, %q, produced was %q", at(r), said.Code, said.Out, r.Value)
		}
	}
}

// TestWhatIsNotThere asks for what nobody produced: 404, with what was
// searched and up to when.
func TestWhatIsNotThere(t *testing.T) {
	i := year(t)
	status, body := i.Get(t, "/api/v1/traces/0123456789abcdef0123456789abcdef")
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if status != http.StatusNotFound || p.Searched == nil || p.Searched.Topics < 5 || p.Searched.Records < 20_000 || p.Searched.FreshTo == nil {
		t.Errorf("status %d: %s", status, body)
	}
	said := i.Annals(t, "trace", "0123456789abcdef0123456789abcdef")
	if said.Code != 1 || !strings.Contains(said.Err, "topics") || !strings.Contains(said.Err, "searched up to") {
		t.Errorf("annals trace: code %d, %s", said.Code, said.Err)
	}
	for _, path := range []string{"/records/fx.rates.received/0/99999999", "/records/no.such.topic/0/0", "/segments?topic=no.such.topic"} {
		if status, body := i.Get(t, "/api/v1"+path); status != http.StatusNotFound {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
	}
}

// TestMalformedRequestsNameTheField sends what cannot be understood.
func TestMalformedRequestsNameTheField(t *testing.T) {
	i := year(t)
	long := strings.Repeat("x", 600)
	for path, field := range map[string]string{
		"/traces/" + long:                  "trace_id",
		"/traces/%00":                      "trace_id",
		"/traces/abc?limit=0":              "limit",
		"/traces/abc?limit=many":           "limit",
		"/traces/abc?diffs=perhaps":        "diffs",
		"/identify?id=":                    "id",
		"/identify":                        "id",
		"/identify?id=" + long:             "id",
		"/records?from=yesterday":          "from",
		"/records?to=2020-13-45T00:00:00Z": "to",
		"/records?from=2021-01-01T00:00:00Z&to=2020-01-01T00:00:00Z": "to",
		"/records?cursor=nonsense":                                   "cursor",
		"/records?limit=1001":                                        "limit",
		"/records?status=unknown":                                    "status",
		"/records?q=type%3Aa+typ%3Ab":                                "q",
		"/records?stage=unheard-of":                                  "stage",
		"/records?topic=" + long:                                     "topic",
		"/records?id=" + long:                                        "id",
		"/records/fx.rates.received/-1/0":                            "partition",
		"/records/fx.rates.received/x/0":                             "partition",
		"/records/fx.rates.received/0/-5":                            "offset",
		"/records/fx.rates.received/0/99999999999999999999":          "offset",
		"/records/fx.rates.received/0/0?topic_id=short":              "topic_id",
		"/records/fx.rates.received/0/0?branch=-1":                   "branch",
		"/segments": "topic",
	} {
		status, body := i.Get(t, "/api/v1"+path)
		var p api.Problem
		if err := json.Unmarshal(body, &p); err != nil {
			t.Errorf("GET %.80s: %v in %s", path, err, body)
			continue
		}
		if status != http.StatusBadRequest || p.Field == nil || *p.Field != field || p.Status != status || p.Detail == "" {
			t.Errorf("GET %.80s: status %d, want field %s named: %s", path, status, field, body)
		}
	}
	if said := i.Annals(t, "search", "type:a", "typ:b"); said.Code != 4 || !strings.Contains(said.Err, "  type:a typ:b\n         ^\n") {
		t.Errorf("annals search marks no character: code %d, %s", said.Code, said.Err)
	}
	for _, args := range [][]string{
		{"get", "fx.rates.received"},
		{"get", "fx.rates.received/0/x"},
		{"search", "--from", "yesterday"},
		{"search", "--cursor", "nonsense"},
		{"search", "--status", "perhaps"},
	} {
		if said := i.Annals(t, args...); said.Code != 4 || len(said.Out) > 0 || said.Err == "" {
			t.Errorf("annals %v: code %d, %s%s", args, said.Code, said.Out, said.Err)
		}
	}
}

// TestEveryMatchInAFile exports a search in every format and counts it against
// Kafka.
func TestEveryMatchInAFile(t *testing.T) {
	i := year(t)
	i.Annals(t, "seal")
	want := 0
	for _, s := range i.Stored(t, "fx.risk.exposure") {
		for _, verdict := range s.Verdicts(t) {
			if verdict == "committed" {
				want++
			}
		}
	}
	dir := t.TempDir()
	for _, format := range []string{"ndjson", "csv", "parquet"} {
		file := dir + "/exposure." + format
		var said struct {
			Records  int
			Complete bool
		}
		i.JSON(t, &said, "search", "topic:fx.risk.exposure", "--output", file)
		info, err := os.Stat(file)
		if err != nil || said.Records != want || !said.Complete || info.Size() == 0 {
			t.Errorf("%s: %+v, Kafka has %d; %v", format, said, want, err)
		}
	}
	lines, err := os.ReadFile(dir + "/exposure.ndjson")
	if n := strings.Count(string(lines), "\n"); err != nil || n != want+1 || !strings.Contains(string(lines), `"complete":true`) {
		t.Errorf("%d lines of NDJSON for %d records, %v", n, want, err)
	}
	for _, args := range [][]string{
		{"search", "--output", dir + "/a.txt"},
		{"search", "--output", dir + "/a.csv", "--limit", "5"},
		{"search", "--format", "csv"},
		{"search", "--scan"},
		{"search", "--scan", "--topic", "a", "payload:x"},
		{"search", "payload:x"},
	} {
		if said := i.Annals(t, args...); said.Code != 4 {
			t.Errorf("annals %v: code %d, %s%s", args, said.Code, said.Out, said.Err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("what was refused left files: %v, %v", left, err)
	}
}

// TestScanFindsABusinessValue looks for one record by a place in its payload.
func TestScanFindsABusinessValue(t *testing.T) {
	i := year(t)
	i.Annals(t, "seal")
	r := oneOf(t, i, "fx.rates.received")
	query := []string{"search", "--scan", "topic:fx.rates.received", "payload/eventId=" + eventID(t, r)}
	said := i.Annals(t, query...)
	if said.Code != 0 || !strings.Contains(string(said.Out), at(r)) || !strings.Contains(string(said.Out), "1 found; searched ") {
		t.Errorf("annals %v: code %d, %s%s", query, said.Code, said.Out, said.Err)
	}
	key := i.Annals(t, "search", "--scan", "topic:fx.rates.received", "key:"+string(r.Key), "--limit", "1")
	if key.Code != 2 || !strings.Contains(string(key.Out), "raise --limit") {
		t.Errorf("annals search key: code %d, %s%s", key.Code, key.Out, key.Err)
	}
}

// TestVerdictAndField asks whether a trace is whole, and follows its rates.
func TestVerdictAndField(t *testing.T) {
	i := year(t)
	i.Annals(t, "seal")
	r := oneOf(t, i, "fx.rates.enriched")
	trace := traceOf(t, r)
	var v api.Verdict
	if said := i.Annals(t, "verdict", trace, "--json"); said.Code != 0 && said.Code != 2 || json.Unmarshal(said.Out, &v) != nil || v.Complete != (said.Code == 0) || len(v.Partitions) == 0 || v.Hops == nil || *v.Hops < 60 {
		t.Errorf("annals verdict %s: code %d, %s%s", trace, said.Code, said.Out, said.Err)
	}
	if said := i.Annals(t, "verdict", "--topic", "no.such.topic"); said.Code != 2 || !strings.Contains(string(said.Out), "not complete: unknown") {
		t.Errorf("annals verdict of no topic: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	said := i.Annals(t, "trace", trace, "--field", "/rate")
	if said.Code != 0 || !strings.Contains(string(said.Out), "/rate through trace "+trace) || !strings.Contains(string(said.Out), " first ") || !strings.Contains(string(said.Out), " kept ") {
		t.Errorf("annals trace --field: code %d, %s%s", said.Code, said.Out, said.Err)
	}
	if said := i.Annals(t, "trace", trace, "--field", "rate"); said.Code != 4 {
		t.Errorf("a pointer without a slash: code %d, %s%s", said.Code, said.Out, said.Err)
	}
}
