package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/web/api"
)

// What is given on the command line is what the server is asked for.
func TestPlanCommandAsks(t *testing.T) {
	t.Parallel()
	var asked map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = nil
		_ = json.NewDecoder(r.Body).Decode(&asked)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.ReplayPlan{Id: strings.Repeat("a", 64), Terms: []api.PlanTerm{{Name: "Target", Value: "topics of another cluster: staging (x)"}}})
	}))
	t.Cleanup(server.Close)
	command := replayPlanCommand{asking: asking{Server: server.URL}, Oversized: "fail", FilterErrors: "fail", Partitioning: "source", Timestamps: "keep"}
	run := func(c replayPlanCommand) (string, error) {
		var out strings.Builder
		err := c.Run(t.Context(), &invocation{out: &out})
		return out.String(), err
	}
	c := command
	c.Search, c.Cluster = "service:x type:Y after:2024-01-01", "staging"
	out, err := run(c)
	if err != nil || asked["query"] != c.Search || asked["target_cluster"] != "staging" || len(asked) != 2 {
		t.Errorf("asked %v, %v", asked, err)
	}
	if !strings.Contains(out, "THE PLAN BINDS") || !strings.Contains(out, "topics of another cluster: staging (x)") {
		t.Errorf("shown: %s", out)
	}
	for name, want := range map[string]any{"provenance": true, "no-provenance": false} {
		c := command
		c.Query, c.Provenance, c.NoProvenance = "topic:x", name == "provenance", name == "no-provenance"
		if _, err := run(c); err != nil || asked["provenance_headers"] != want {
			t.Errorf("%s: asked %v, %v", name, asked, err)
		}
	}
	c = command
	c.Trace, c.Replays, c.File = []string{"t"}, true, "ndjson"
	if _, err := run(c); err != nil || asked["trace_id"] != "t" || asked["include_replays"] != true || asked["target_file"] != "ndjson" || len(asked) != 3 {
		t.Errorf("asked %v, %v", asked, err)
	}
	c = command
	c.Search, c.Query = "topic:a", "topic:b"
	if _, err := run(c); err == nil || !strings.Contains(err.Error(), "a search is given twice") {
		t.Errorf("two searches: %v", err)
	}
}
