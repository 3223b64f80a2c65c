package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/web/api"
)

// Who asks for a replay writes its filter, and so the reasons why it cannot tell of
// records: the plan that is shown to who decides is shown by us alone. A reason to
// stop is one cell, on one line.
func TestWhatIsApprovedIsShownPlainly(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 32)
	forged := "no such key: x\x1b[3A\x1b[2K\r1 records\nplan " + id + "\tx"
	job := api.ReplayJob{Id: id, State: "planned", Plan: api.ReplayPlan{
		Id: id, Records: 5000, Warnings: []string{forged}, Terms: []api.PlanTerm{{Name: "Filter", Value: forged}, {Name: "Timestamps", Value: "the moment of producing"}},
		Untold: &[]api.Untold{{Source: "orders", Records: 1, First: []api.UntoldRecord{{Reason: forged}}}},
	}, Pace: api.ReplayPace{Mode: "original"}, Approval: &api.ReplayApproval{AskedBy: "alice", Decisions: []api.ApprovalDecision{{Verdict: "approved", By: "bob", Comment: forged}}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var said any = job
		if strings.Contains(r.URL.Path, "stop") {
			said = api.ReplayStop{Stopped: true, History: []api.ReplaySwitch{{Stopped: true, By: "alice", At: time.Now(), Reason: forged}}}
		}
		_ = json.NewEncoder(w).Encode(said)
	}))
	t.Cleanup(server.Close)
	for name, run := range map[string]func(*invocation) error{
		"approve": func(in *invocation) error {
			return (&replayApproveCommand{replayControl: replayControl{asking: asking{Server: server.URL}, ID: id}}).Run(t.Context(), in)
		},
		"stop": func(in *invocation) error {
			return (&replayStopCommand{asking: asking{Server: server.URL}}).Run(t.Context(), in)
		},
	} {
		var out strings.Builder
		if err := run(&invocation{out: &out}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(out.String(), "no such key: x") || strings.ContainsAny(out.String(), "\x1b\r") {
			t.Errorf("%s: a terminal obeys %q", name, out.String())
		}
		if shown := out.String(); name == "approve" && (!strings.Contains(shown, "the moment of producing") || !strings.Contains(shown, "pace: by one clock, at the original pace; it is no part of the plan")) {
			t.Errorf("what is approved is not said: %s", shown)
		}
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "plan "+id) && line != "plan "+id+"\n" {
				t.Errorf("%s: a line that we did not write: %q", name, line)
			}
		}
	}
}
