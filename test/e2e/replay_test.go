package e2e_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// committedOf are a partition's committed records that a filter takes.
func committedOf(t testing.TB, s *instance.Stored, takes func(*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	var list []*kgo.Record
	verdicts := s.Verdicts(t)
	for _, r := range s.Records {
		if verdicts[r.Offset] == "committed" && takes(r) {
			list = append(list, r)
		}
	}
	return list
}

// compareReplay fails unless the target topics hold exactly the records of
// their sources that a filter takes: the same bytes, headers, timestamps and
// partitions, each once, in their order. It counts them.
func compareReplay(t testing.TB, i *instance.Instance, targets map[string]string, takes func(*kgo.Record) bool) int {
	t.Helper()
	compared := 0
	for source, target := range targets {
		from, to := i.Stored(t, source), i.Stored(t, target)
		if len(from) != len(to) {
			t.Errorf("%s has %d partitions, its replay %s %d", source, len(from), target, len(to))
		}
		for place, s := range from {
			want := committedOf(t, s, takes)
			got := committedOf(t, to[instance.Place{Topic: target, Partition: place.Partition}], func(*kgo.Record) bool { return true })
			if len(got) != len(want) {
				t.Errorf("%v: %d records replayed of %d", place, len(got), len(want))
				continue
			}
			for n := range want {
				if !copied(want[n], got[n]) {
					t.Fatalf("%s is replayed as %s:\n%+v\n%+v", at(want[n]), at(got[n]), want[n], got[n])
				}
			}
			compared += len(want)
		}
	}
	return compared
}

// copied tells whether a record is another byte for byte.
func copied(a, b *kgo.Record) bool {
	equal := func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }
	if !equal(a.Key, b.Key) || !equal(a.Value, b.Value) || a.Timestamp.UnixMilli() != b.Timestamp.UnixMilli() || len(a.Headers) != len(b.Headers) {
		return false
	}
	for n := range a.Headers {
		if a.Headers[n].Key != b.Headers[n].Key || !equal(a.Headers[n].Value, b.Headers[n].Value) {
			return false
		}
	}
	return true
}

// targetsOf are a plan's topics, source to target.
func targetsOf(p api.ReplayPlan) map[string]string {
	targets := map[string]string{}
	for _, topic := range p.Topics {
		targets[topic.Source] = topic.Target
	}
	return targets
}

// TestReplayOfTopicsAndTime plans, runs, and compares the target topics; the
// same plan again is the same job.
func TestReplayOfTopicsAndTime(t *testing.T) {
	i := year(t)
	t.Parallel() // after those that count what the year has
	from := oneOf(t, i, "fx.risk.exposure").Timestamp.UTC().Truncate(24*time.Hour).AddDate(0, 2, 0)
	until := from.AddDate(0, 3, 0)
	takes := func(r *kgo.Record) bool { return !r.Timestamp.Before(from) && r.Timestamp.Before(until) }
	var plan api.ReplayPlan
	i.JSON(t, &plan, "replay", "plan", "--topic", "fx.risk.exposure", "--topic", "fx.rates.enriched",
		"--from", from.Format(time.RFC3339), "--to", until.Format(time.RFC3339), "--prefix", "again.", "--no-provenance")
	targets := targetsOf(plan)
	if targets["fx.rates.enriched"] != "again.fx.rates.enriched" || len(targets) != 2 {
		t.Fatalf("the plan's targets are %v", targets)
	}
	for _, name := range i.Topics(t) {
		if strings.HasPrefix(name, "again.") {
			t.Fatalf("a plan made the topic %s", name)
		}
	}
	runs(t, i, plan.Id)
	compared := compareReplay(t, i, targets, takes)
	if int64(compared) != plan.Records || compared < 1000 {
		t.Errorf("compared %d records, the plan has %d", compared, plan.Records)
	}
	runs(t, i, plan.Id)
	if again := compareReplay(t, i, targets, takes); again != compared {
		t.Errorf("%d records after the plan ran again, %d before", again, compared)
	}
}

// runs runs a plan to its receipt.
func runs(t testing.TB, i *instance.Instance, plan string) {
	t.Helper()
	if said := i.Annals(t, "replay", "run", plan); said.Code != 0 {
		t.Fatalf("annals replay run: code %d, %s", said.Code, said.Err)
	}
	var job api.ReplayJob
	i.JSON(t, &job, "replay", "status", plan)
	r := job.Receipt
	if job.State != "done" || r == nil || !r.Matches || r.Planned != r.Produced || r.Produced != r.ReadBack {
		t.Fatalf("the job ended as %s with the receipt %+v", job.State, r)
	}
}

// TestReplayOfATrace brings one fixing day into new topics.
func TestReplayOfATrace(t *testing.T) {
	i := year(t)
	t.Parallel()
	trace := traceOf(t, oneOf(t, i, "fx.rates.received"))
	var plan api.ReplayPlan
	// Others replay the same year meanwhile: copies in the sandbox have its traces, and
	// may not be sealed yet.
	i.JSON(t, &plan, "replay", "plan", "--trace", trace, "--unsealed", "cut")
	runs(t, i, plan.Id)
	compared := compareReplay(t, i, targetsOf(plan), func(r *kgo.Record) bool { return traceOf(t, r) == trace })
	if int64(compared) != plan.Records || compared < 60 {
		t.Errorf("compared %d records, the plan has %d", compared, plan.Records)
	}
}

// TestReplayByFilter brings what an expression chooses by payload, and says where
// one is wrong.
func TestReplayByFilter(t *testing.T) {
	i := year(t)
	t.Parallel()
	about := func(r *kgo.Record) bool {
		var payload struct {
			Currency string
			Rate     float64
		}
		return json.Unmarshal(r.Value, &payload) == nil && payload.Currency == "USD" && payload.Rate > 1
	}
	var plan api.ReplayPlan
	i.JSON(t, &plan, "replay", "plan", "topic:fx.rates.enr*", "--filter", `value.currency == "USD" && value.rate > 1`)
	if targets := targetsOf(plan); len(targets) != 1 || targets["fx.rates.enriched"] == "" {
		t.Fatalf("the plan's targets are %v", targets)
	}
	runs(t, i, plan.Id)
	if compared := compareReplay(t, i, targetsOf(plan), about); int64(compared) != plan.Records || compared == 0 {
		t.Errorf("compared %d records, the plan has %d", compared, plan.Records)
	}
	for filter, want := range map[string]string{`value.currency == USD`: "column 19", `value.curency == "USD"`: "no such key: curency"} {
		if said := i.Annals(t, "replay", "plan", "--topic", "fx.rates.enriched", "--filter", filter); said.Code == 0 || !strings.Contains(said.Err, want) {
			t.Errorf("%s: code %d, %s", filter, said.Code, said.Err)
		}
	}
}

// TestReplayIsRefusedUnlessAskedFor plans into topics that exist.
func TestReplayIsRefusedUnlessAskedFor(t *testing.T) {
	i := year(t)
	t.Parallel()
	for name, args := range map[string][]string{
		"its own source":         {"--topic", "fx.risk.alerts", "--target", "fx.risk.alerts=fx.risk.alerts"},
		"its own source, looser": {"--topic", "fx.risk.alerts", "--target", "fx.risk.alerts=fx.risk.alerts", "--allow-existing"},
		"a topic that exists":    {"--topic", "fx.risk.alerts", "--target", "fx.risk.alerts=fx.risk.exposure"},
		"no such topic":          {"--topic", "fx.nothing"},
		"nothing":                {},
		"times the wrong way":    {"--topic", "fx.risk.alerts", "--from", "2024-01-01", "--to", "2023-01-01"},
	} {
		if said := i.Annals(t, append([]string{"replay", "plan"}, args...)...); said.Code == 0 || said.Err == "" {
			t.Errorf("%s: code %d, %s%s", name, said.Code, said.Out, said.Err)
		}
	}
	if said := i.Annals(t, "replay", "run", strings.Repeat("0", 64)); said.Code == 0 {
		t.Error("a plan that nobody made was run")
	}
	// What is refused is refused in the words of the command line.
	for want, args := range map[string][]string{
		"it has 64 hex digits":                             {"replay", "run", "abc"},
		"begins with 00000000":                             {"replay", "run", "00000000"},
		"name a trace with --trace":                        {"replay", "plan"},
		"--to 2023-01-01 is not after --from 2024":         {"replay", "plan", "--topic", "x", "--from", "2024-01-01", "--to", "2023-01-01"},
		"or topics with --topic":                           {"export", "--out", filepath.Join(t.TempDir(), "bag")},
		"--class \"lost\" is none of before_genesis":       {"coverage", "--gaps", "--class", "lost"},
		"\"fx.risk.alert\" (did you mean fx.risk.alerts?)": {"search", "--topic", "fx.risk.alert"},
	} {
		if said := i.Annals(t, args...); said.Code == 0 || !strings.Contains(said.Err, want) || strings.Contains(said.Err, "unpack bag") {
			t.Errorf("annals %v: code %d, %s%s", args, said.Code, said.Out, said.Err)
		}
	}
	if said := i.Programs.Annals(t, "config", "check", "nope.yaml"); said.Code != 4 || !strings.Contains(said.Err, "there is no file") {
		t.Errorf("annals config check nope.yaml: code %d, %s", said.Code, said.Err)
	}
}

// killedReplay runs a replay of everything and kills all processes in the
// middle, several times; the target topics are whole all the same.
func killedReplay(t *testing.T, i *instance.Instance, kills int) {
	t.Helper()
	args := []string{"replay", "plan"}
	for _, topic := range demoTopics(t, i) {
		args = append(args, "--topic", topic)
	}
	var plan api.ReplayPlan
	i.JSON(t, &plan, args...)
	for range kills {
		if said := i.Annals(t, "replay", "run", plan.Id, "--detach"); said.Code != 0 {
			t.Fatalf("annals replay run: code %d, %s", said.Code, said.Err)
		}
		pause := time.Duration(rand.IntN(500)) * time.Millisecond
		time.Sleep(pause)
		var job api.ReplayJob
		i.JSON(t, &job, "replay", "status", plan.Id)
		t.Logf("killed %s into the replay: %s, %d of %d produced", pause, job.State, job.Produced, job.Planned)
		i.Kill(t)
		i.Again(t)
	}
	runs(t, i, plan.Id)
	compared := compareReplay(t, i, targetsOf(plan), func(*kgo.Record) bool { return true })
	if int64(compared) != plan.Records || compared < 20_000 {
		t.Errorf("compared %d records, the plan has %d", compared, plan.Records)
	}
}
