package replay

import (
	"reflect"
	"slices"
	"testing"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestTermsNameAllThatTheIDBinds changes each field of a plan's canonical bytes: the
// ID is another then, and so is what is shown to who decides about the plan.
func TestTermsNameAllThatTheIDBinds(t *testing.T) {
	t.Parallel()
	base := func() *document {
		from, to := int64(1000), int64(2000)
		return &document{
			Selection: selection{Topics: []string{"orders"}, From: &from, To: &to},
			Topics: []topicPlan{{Cluster: "c", Source: "orders", TopicID: schema.TopicID{1}, Partitions: 1, Streams: []streamPlan{{
				Segments: []segmentPlan{{Records: 7}},
			}}}},
		}
	}
	shown := func(d *document) (string, []answer.Term) {
		t.Helper()
		_, id, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		// The names of the targets begin with the ID: it is put aside.
		p, err := summary(&planObject{ID: "0123456789", Created: "2026-01-01T00:00:00Z"}, d, make([]target, len(d.Topics)))
		if err != nil {
			t.Fatal(err)
		}
		return id, p.Terms()
	}
	plainID, plain := shown(base())
	changes := changesOfPlans()
	for _, kept := range []any{selection{}, document{}} {
		typ := reflect.TypeOf(kept)
		for i := range typ.NumField() {
			name := typ.Field(i).Name
			change := changes[typ.Name()][name]
			if change == nil {
				t.Errorf("%s has the field %s: say it in answer.ReplayPlan.Terms, and change it here", typ.Name(), name)
				continue
			}
			d := base()
			change(d)
			id, terms := shown(d)
			if id == plainID || slices.Equal(terms, plain) {
				t.Errorf("%s.%s changes the ID: %v, and what is shown: %v", typ.Name(), name, id != plainID, !slices.Equal(terms, plain))
			}
		}
	}
	skipped := base()
	skipped.Selection.Filter = "offset > 1"
	_, refused := shown(skipped)
	skipped.Selection.FilterErrors = answer.FilterSkip
	if _, terms := shown(skipped); slices.Equal(terms, refused) {
		t.Error("what becomes of records of which the filter cannot tell is not shown")
	}
	named := base()
	named.Cluster, named.ClusterID = "staging", "abc"
	_, one := shown(named)
	named.ClusterID = "def"
	if _, other := shown(named); slices.Equal(one, other) {
		t.Error("the ID of the target cluster is not shown")
	}
}

// changesOfPlans has one for each field of the canonical bytes, by its type and name.
func changesOfPlans() map[string]map[string]func(*document) {
	text, id, number := "x", schema.TopicID{2}, int64(5)
	return map[string]map[string]func(*document){
		"selection": {
			"TraceID":       func(d *document) { d.Selection.TraceID = &text },
			"TraceIDs":      func(d *document) { d.Selection.TraceIDs = []string{"a", "b"} },
			"Replays":       func(d *document) { d.Selection.TraceID, d.Selection.Replays = &text, true },
			"Topics":        func(d *document) { d.Selection.Topics = []string{"orders", "rates"} },
			"TopicID":       func(d *document) { d.Selection.TopicID = &id },
			"From":          func(d *document) { d.Selection.From = &number },
			"To":            func(d *document) { d.Selection.To = nil },
			"Partitions":    func(d *document) { d.Selection.Partitions = []int32{3} },
			"Offsets":       func(d *document) { d.Selection.Offsets = []offsetRange{{"orders", 1, 2, 3}} },
			"Keys":          func(d *document) { d.Selection.Keys = [][]byte{{0xff}} },
			"EventTypes":    func(d *document) { d.Selection.EventTypes = []string{""} },
			"EventVersions": func(d *document) { d.Selection.EventVersions = []string{"2"} },
			"Services":      func(d *document) { d.Selection.Services = []string{"s"} },
			"Stages":        func(d *document) { d.Selection.Stages = []string{"replay"} },
			"EventFrom":     func(d *document) { d.Selection.EventFrom = &number },
			"EventTo":       func(d *document) { d.Selection.EventTo = &number },
			"Filter":        func(d *document) { d.Selection.Filter = "offset > 1" },
			"FilterErrors":  func(d *document) { d.Selection.Filter, d.Selection.FilterErrors = "offset > 1", answer.FilterSkip },
		},
		"document": {
			"Selection":  func(d *document) { d.Selection = selection{TraceID: &text} },
			"Cluster":    func(d *document) { d.Cluster = "staging" },
			"ClusterID":  func(d *document) { d.Cluster, d.ClusterID = "staging", "abc" },
			"File":       func(d *document) { d.File = answer.FileParquet },
			"Prefix":     func(d *document) { d.Prefix = &text },
			"Targets":    func(d *document) { d.Targets = map[string]string{"orders": "x"} },
			"Existing":   func(d *document) { d.Existing = true },
			"Source":     func(d *document) { d.Source = true },
			"Provenance": func(d *document) { d.Provenance = true },
			"Oversized":  func(d *document) { d.Oversized = answer.OversizedRaise },
			"ByKey":      func(d *document) { d.ByKey = true },
			"Into":       func(d *document) { d.Into = 4 },
			"Timestamps": func(d *document) { d.Timestamps = answer.TimestampsNow },
			"Shift":      func(d *document) { d.Timestamps, d.Shift = answer.TimestampsShift, -1500 },
			"Redrive":    func(d *document) { d.Redrive = &answer.Redrive{Limit: 3} },
			"Topics":     func(d *document) { d.Topics[0].Streams[0].Segments[0].Records++ },
		},
	}
}
