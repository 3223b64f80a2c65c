package custody_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// opened is what of a bag's scope is looked at here.
type opened struct {
	Format   string  `json:"format"`
	Records  string  `json:"records"`
	Unsealed *string `json:"unsealed"`
	Query    struct {
		TopicID string `json:"topic_id"`
	} `json:"query"`
	Older []struct {
		TopicID schema.TopicID `json:"topic_id"`
	} `json:"older_incarnations"`
	Streams []struct {
		TopicID    schema.TopicID `json:"topic_id"`
		Purged     string         `json:"purged"`
		GapOffsets string         `json:"gap_offsets"`
		Rows       struct {
			Committed string `json:"committed"`
		} `json:"rows"`
	} `json:"streams"`
}

func open(t *testing.T, bag string) (s opened) {
	t.Helper()
	sound(t, bag)
	must(t, json.Unmarshal(readFile(t, bag, "data/scope.json"), &s))
	return s
}

// An export of topics says how many records match that are not sealed, or that
// this is not known, which an earlier version does not read as none.
func TestTopicExportSaysWhatIsUnsealed(t *testing.T) {
	a := newArchive(t)
	a.produce("orders", 0, day, "x", nil)
	a.seal()
	seven, none := "7", "0"
	for name, c := range map[string]struct {
		fresh  custody.Fresh
		want   *string
		format string
	}{
		"some":            {behind{n: 7}, &seven, "annals.export/1"},
		"none":            {behind{}, &none, "annals.export/1"},
		"no answer":       {behind{err: errors.New("the index is away")}, nil, "annals.export/3"},
		"nobody to ask":   {nil, nil, "annals.export/3"},
		"none is sealed":  {behind{n: 7}, nil, ""},
		"nothing matches": {behind{}, nil, ""},
	} {
		e := a.exporter(func(o *custody.Options) { o.Fresh = c.fresh })
		r := answer.ExportRequest{Topics: []string{"orders"}}
		if c.format == "" {
			r.From = day.Add(time.Hour)
			want := schema.NotFound
			if c.fresh == custody.Fresh(behind{n: 7}) {
				want = schema.Conflict
			}
			if err := e.Export(t.Context(), policy.Everything(), r, &discarded{}); schema.KindOf(err) != want {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		got := open(t, a.export(e, policy.Everything(), r))
		if got.Format != c.format || (got.Unsealed == nil) != (c.want == nil) || c.want != nil && *got.Unsealed != *c.want {
			t.Errorf("%s: format %s, unsealed %v", name, got.Format, got.Unsealed)
		}
	}
}

type discarded struct{}

func (*discarded) Write(p []byte) (int, error) { return len(p), nil }

// An older topic of a name is exported if its ID is given.
func TestExportByTopicID(t *testing.T) {
	a := newArchive(t)
	older := a.stream("orders@older", 0)
	older.Topic = "orders"
	a.produce("orders@older", 0, day, "of the older", func(r *schema.Record) { r.Topic = "orders" })
	a.seal()
	for range 2 {
		a.produce("orders", 0, day, "of the newer", nil)
	}
	a.seal()
	newer := a.stream("orders", 0)
	e := a.exporter(nil)
	got := open(t, a.export(e, policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}}))
	if got.Records != "2" || got.Format != "annals.export/1" || len(got.Streams) != 1 || got.Streams[0].TopicID != newer.TopicID || len(got.Older) != 1 || got.Older[0].TopicID != older.TopicID {
		t.Errorf("by the name: %+v", got)
	}
	got = open(t, a.export(e, policy.Everything(), answer.ExportRequest{Topics: []string{"orders"}, TopicID: &older.TopicID}))
	if got.Records != "1" || got.Format != "annals.export/3" || got.Query.TopicID != older.TopicID.String() || len(got.Streams) != 1 ||
		got.Streams[0].TopicID != older.TopicID || len(got.Older) != 1 || got.Older[0].TopicID != newer.TopicID {
		t.Errorf("by the ID: %+v", got)
	}
	unknown := schema.TopicID{1}
	for name, c := range map[string]struct {
		request answer.ExportRequest
		want    schema.Kind
	}{
		"an ID of no topic":   {answer.ExportRequest{Topics: []string{"orders"}, TopicID: &unknown}, schema.NotFound},
		"an ID and two names": {answer.ExportRequest{Topics: []string{"orders", "other"}, TopicID: &older.TopicID}, schema.Invalid},
		"an ID and a trace":   {answer.ExportRequest{TraceID: "t", TopicID: &older.TopicID}, schema.Invalid},
	} {
		if err := e.Export(t.Context(), policy.Everything(), c.request, &discarded{}); schema.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
