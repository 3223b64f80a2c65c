package replay_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/fx-risk-ai/annals/internal/contract"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// holding is an expression, and what it means for the i-th record of kinds.
type holding struct {
	text  string
	holds func(r *schema.Record, x *schema.Extraction) bool
	looks bool // into the payload
}

func n(r *schema.Record) int64 { return r.Offset } // {"n": offset}, of those with a payload

func isReadable(r *schema.Record) bool { return len(r.Value) > 0 }

var holdings = []holding{
	{`partition != 1`, func(r *schema.Record, _ *schema.Extraction) bool { return r.Partition != 1 }, false},
	{`offset % 3 == 0`, func(r *schema.Record, _ *schema.Extraction) bool { return r.Offset%3 == 0 }, false},
	{`key == "k3" || key == null`, func(r *schema.Record, _ *schema.Extraction) bool { return r.Key == nil || string(r.Key) == "k3" }, false},
	{`size(headers) == 0`, func(r *schema.Record, _ *schema.Extraction) bool { return len(r.Headers) == 0 }, false},
	{`headers.?h.orValue(1) == null`, func(r *schema.Record, _ *schema.Extraction) bool { return len(r.Headers) > 0 }, false},
	{`headerList.exists(h, h.value == "v")`, func(r *schema.Record, _ *schema.Extraction) bool { return len(r.Headers) > 0 }, false},
	{`eventType == "Placed"`, func(_ *schema.Record, x *schema.Extraction) bool { return x.EventType == "Placed" }, false},
	{`service in ["desk", "risk"]`, func(_ *schema.Record, x *schema.Extraction) bool { return x.SourceService != "book" }, false},
	{`stage == "ingestion"`, func(_ *schema.Record, x *schema.Extraction) bool { return x.Stage == schema.StageIngestion }, false},
	{`timestamp < timestamp("1999-01-04T00:01:40Z")`, func(r *schema.Record, _ *schema.Extraction) bool { return r.Timestamp < start.UnixMilli()+100_000 }, false},
	{`value != null && value.n >= 50`, func(r *schema.Record, _ *schema.Extraction) bool { return isReadable(r) && n(r) >= 50 }, true},
	{`value != null && value.pad.size() > 20`, func(r *schema.Record, _ *schema.Extraction) bool { return isReadable(r) && n(r)%97 > 20 }, true},
	{`has(value.n)`, func(r *schema.Record, _ *schema.Extraction) bool { return isReadable(r) }, true},
}

// Any filter chooses what a naive reading of it says, on top of whatever else
// narrows the selection; what it cannot tell of is left out, counted and named; and
// planned twice it is the same plan, which delivers exactly that.
func TestFilters(t *testing.T) {
	t.Parallel()
	for name, exact := range map[string]int64{"read": 0, "too large to be read": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			filters(t, exact)
		})
	}
}

// filtered is the naive reading of some holdings together, or of their contrary: what
// they choose of kinds, and of how many records they cannot tell.
func (k kinds) filtered(q *answer.ReplayRequest, picked []int, negated bool) (want map[int32][]schema.Record, total int, untold int64) {
	want = map[int32][]schema.Record{}
	for i := range k.records {
		record, x := &k.records[i], &k.extractions[i]
		if record.Status != schema.Committed || q.EventVersions != nil && x.EventVersion != "2" {
			continue
		}
		// Of an "and" the other side may decide, whichever it is.
		no, unknown := false, false
		for _, at := range picked {
			if record.Value != nil && !isReadable(record) && holdings[at].looks {
				unknown = true
			} else {
				no = no || !holdings[at].holds(record, x)
			}
		}
		switch {
		case unknown && !no:
			untold++
		case no == negated:
			want[record.Partition] = append(want[record.Partition], *record)
			total++
		}
	}
	return want, total, untold
}

func filters(t *testing.T, exact int64) {
	r := newRig(t)
	all := r.kinds(t, "mixed", 3, 120)
	s := r.service(t, func(o *replay.Options) { o.Batch, o.Exact = 64<<10, exact }, nil, nil)
	work(t, s)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 2))
	for tried, round := 0, 0; tried < 12; round++ {
		picked := dice.Perm(len(holdings))[:1+dice.IntN(2)]
		text := ""
		for i, at := range picked {
			if i > 0 {
				text += " && "
			}
			text += "(" + holdings[at].text + ")"
		}
		negated := dice.IntN(3) == 0
		if negated {
			text = "!(" + text + ")"
		}
		q := answer.ReplayRequest{Topics: []string{"mixed"}, Filter: text, TargetPrefix: fmt.Sprintf("n%d.", round)}
		if dice.IntN(2) == 0 {
			q.EventVersions = []string{"2"}
		}
		want, total, untold := all.filtered(&q, picked, negated)
		_, err := s.Plan(t.Context(), everybody, q)
		if untold > 0 && (schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), fmt.Sprintf("%d records of mixed: partition ", untold))) {
			t.Fatalf("%s cannot tell of %d records: %v", text, untold, err)
		}
		q.FilterErrors = answer.FilterSkip
		plan, err := s.Plan(t.Context(), everybody, q)
		if total == 0 {
			if schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "nothing to replay") {
				t.Errorf("%s selects nothing: %v", text, err)
			}
			continue
		}
		must(t, err)
		tried++
		if plan.Records != int64(total) {
			t.Fatalf("%s: planned %d records, want %d", text, plan.Records, total)
		}
		if (untold > 0) != (len(plan.Untold) == 1) || untold > 0 && (plan.Untold[0].Records != untold || !slices.IsSortedFunc(plan.Untold[0].First, func(a, b answer.ReplayUntoldRecord) int {
			return int(a.Partition-b.Partition)*1000 + int(a.Offset-b.Offset)
		})) {
			t.Fatalf("%s: %d records of which it cannot tell, the plan says %+v", text, untold, plan.Untold)
		}
		if again, err := s.Plan(t.Context(), everybody, q); err != nil || again.ID != plan.ID || again.Request.Filter != text {
			t.Fatalf("%s planned anew is another plan: %v", text, err)
		}
		_, err = s.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches {
			t.Fatalf("%+v", job.Receipt)
		}
		for partition := range int32(3) {
			same(t, fmt.Sprintf("%s of %d", text, partition), r.target(t, plan.Topics[0].Target, partition), want[partition])
		}
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 60, 100)
	promised, err := contract.Parse("c.yaml", []byte("type: Placed\nversion: 1\nteam: desk\ntopics: [promised]\nproducers: [desk]\nsensitive: [/pad]\nschema: c.json\n"), func(string) ([]byte, error) {
		return []byte(`{"type":"object","properties":{"pad":{"type":"string"}}}`), nil
	})
	must(t, err)
	contracts, err := contract.New([]*contract.Contract{promised})
	must(t, err)
	yes := true
	rules, err := policy.NewRules([]policy.Rule{{Pattern: "secret*", Secret: &yes}})
	must(t, err)
	r.topic(t, "secrets", 1, 20, 100)
	r.topic(t, "promised", 1, 20, 100)
	large := awkward(schema.Stream{Cluster: "source", Topic: "large", TopicID: schema.TopicID{5}}, 0)
	large.Value = []byte(`{"a": [` + strings.Repeat("1,", 3000) + `1]}`)
	r.put(t, schema.Stream{Cluster: "source", Topic: "large", TopicID: schema.TopicID{5}}, []schema.Record{large})
	s := r.service(t, func(o *replay.Options) { o.Policy, o.Contracts = rules, contracts }, nil, nil)
	for name, c := range map[string]struct {
		request answer.ReplayRequest
		kind    schema.Kind
		says    string
	}{
		"not CEL":            {answer.ReplayRequest{Topics: []string{"orders"}, Filter: "value.n >"}, schema.Invalid, "column 10"},
		"unknown name":       {answer.ReplayRequest{Topics: []string{"orders"}, Filter: `topic == "a" && amount > 1`}, schema.Invalid, "column 17: undeclared reference to 'amount'"},
		"no yes or no":       {answer.ReplayRequest{Topics: []string{"orders"}, Filter: "offset + 1"}, schema.Invalid, "want true or false"},
		"costs too much":     {answer.ReplayRequest{Topics: []string{"orders"}, Filter: `[1,2,3].all(a, value.x.all(b, value.y.all(c, value.z.all(d, value.z.all(e, e == d)))))`}, schema.Invalid, "by estimate"},
		"cost of a record":   {answer.ReplayRequest{Topics: []string{"large"}, Filter: `value.a.all(x, value.a.all(y, x == y))`, FilterErrors: answer.FilterSkip}, schema.Invalid, "large/0 offset 0: the filter's limit of cost is reached"},
		"promised":           {answer.ReplayRequest{Topics: []string{"promised"}, Filter: `value.n == 3`}, schema.Permission, "by a contract"},
		"a field that lacks": {answer.ReplayRequest{Topics: []string{"orders"}, Filter: `value.amount > 1`}, schema.Conflict, "no such key: amount"},
		"no filter":          {answer.ReplayRequest{Topics: []string{"orders"}, FilterErrors: answer.FilterSkip}, schema.Invalid, "there is no filter"},
		"another choice":     {answer.ReplayRequest{Topics: []string{"orders"}, Filter: "true", FilterErrors: "guess"}, schema.Invalid, "none of fail, skip"},
		"withheld":           {answer.ReplayRequest{Topics: []string{"orders", "secrets"}, Filter: `value.n == 3`}, schema.Permission, "secrets"},
		"withheld key":       {answer.ReplayRequest{Topics: []string{"secrets"}, Filter: `key == "k3"`}, schema.Permission, "may not look into key"},
	} {
		_, err := s.Plan(t.Context(), everybody, c.request)
		if schema.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, q := range map[string]answer.ReplayRequest{
		"keys":           {Topics: []string{"orders", "secrets"}, Keys: [][]byte{[]byte("k3")}},
		"a key as typed": {Topics: []string{"secrets"}, Query: "key:k3"},
	} {
		_, err := s.Plan(t.Context(), everybody, q)
		refused(t, name, err, schema.Permission, "of secrets the key is withheld")
	}
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"secrets"}, Filter: `offset < 10`})
	must(t, err)
	if plan.Records == 0 {
		t.Error("a filter that does not look into what is withheld finds nothing")
	}
}

// Avro and Protobuf payloads are decoded as JSON is; what no schema decodes is no
// "no", and while the registry is away nothing is planned.
func TestFiltersOverDecodedPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fake := srfake.New()
	t.Cleanup(fake.Close)
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		fake.Handler().ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	api, err := sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(server.Client()))
	must(t, err)
	const text = `{"type":"record","name":"Order","fields":[{"name":"n","type":"long"},{"name":"ccy","type":"string"}]}`
	inAvro, err := api.CreateSchema(t.Context(), "a-value", sr.Schema{Schema: text, Type: sr.TypeAvro})
	must(t, err)
	inProto, err := api.CreateSchema(t.Context(), "p-value", sr.Schema{Schema: `syntax = "proto3"; message Order { int32 n = 1; string ccy = 2; }`, Type: sr.TypeProtobuf})
	must(t, err)
	stream := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{6}}
	var records []schema.Record
	for i := range 30 {
		record := awkward(stream, i)
		record.Status = schema.Committed
		ccy := []string{"EUR", "USD"}[i/3%2]
		switch i % 3 {
		case 0:
			body, err := avro.MustParse(text).Encode(map[string]any{"n": int64(i), "ccy": ccy})
			must(t, err)
			record.Value = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(inAvro.ID)), body...)
		case 1:
			record.Value = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(inProto.ID)), 0, 0x08, byte(i), 0x12, 3)
			record.Value = append(record.Value, ccy...)
		default:
			record.Value = fmt.Appendf(nil, `{"n":%d,"ccy":"%s"}`, i, ccy)
		}
		records = append(records, record)
	}
	replaytest.Archive(t, r.store, stream, records, 7)
	client, err := registry.Connect(registry.Connection{URL: server.URL})
	must(t, err)
	t.Cleanup(client.Close)
	rules := func(name string) *extract.Rules {
		rules, err := extract.New(extract.Options{Decoder: registry.NewDecoder(registry.Options{Store: r.store, Name: name, Fetcher: client, Timeout: 5 * time.Second, Logger: r.log})})
		must(t, err)
		return rules
	}
	q := answer.ReplayRequest{Topics: []string{"orders"}, Filter: `value.ccy == "EUR" && int(value.n) < 20`}
	away.Store(true)
	if _, err := r.service(t, func(o *replay.Options) { o.Extract = rules("away") }, nil, nil).Plan(t.Context(), everybody, q); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("without a registry: %v", err)
	}
	away.Store(false)
	s := r.service(t, func(o *replay.Options) { o.Extract = rules("there") }, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, q)
	must(t, err)
	var want []schema.Record
	for i := range records {
		if i/3%2 == 0 && i < 20 {
			want = append(want, records[i])
		}
	}
	if plan.Records != int64(len(want)) {
		t.Fatalf("planned %d, want %d", plan.Records, len(want))
	}
	away.Store(true) // what the plan chose stands in it
	work(t, s)
	_, err = s.Run(t.Context(), everybody, plan.ID, nil)
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	same(t, "orders", r.target(t, plan.Topics[0].Target, 0), want)
	if _, err := r.service(t, nil, nil, nil).Plan(t.Context(), everybody, q); schema.KindOf(err) != schema.Conflict || !strings.Contains(err.Error(), "20 records of orders") {
		t.Errorf("without any decoder: %v", err)
	}
}

// What a filter chose stays exact when its segments are joined before it is run, and
// when it goes by one clock, to other partitions.
func TestFilteredPlanWhoseSegmentsAreJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	source := r.keyed(t, "orders", 2, 150)
	s := r.service(t, nil, nil, nil)
	work(t, s)
	q := answer.ReplayRequest{Topics: []string{"orders"}, Filter: "offset % 3 != 1", Partitioning: answer.PartitionByKey, TargetPartitions: 3, TargetPrefix: "n."}
	plan, err := s.Plan(t.Context(), everybody, q)
	must(t, err)
	for partition, records := range source {
		replaytest.Join(t, r.store, schema.Stream{Cluster: "source", Topic: "orders", TopicID: records[0].TopicID, Partition: partition})
		source[partition] = slices.DeleteFunc(slices.Clone(records), func(r schema.Record) bool { return r.Offset%3 == 1 })
	}
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 5000})
	must(t, err)
	if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches || job.Receipt.ReadBack != plan.Records {
		t.Fatalf("%+v", job.Receipt)
	}
	r.isSpread(t, &q, "n.orders", source)
}
