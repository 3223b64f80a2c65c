package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// TestReplayTakesTwo plans and asks for a replay as one user, approves it as another,
// stops all replays and lets them go on over a restart, and ends with the page.
func TestReplayTakesTwo(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	i := programs.Start(t, instance.Options{Env: []string{"ANNALS_REPLAY_APPROVAL=always"}})
	client := i.Client(t)
	_, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "orders")
	must(t, err)
	for n := range 40 {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: fmt.Append(nil, n)}).FirstErr())
	}
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		i.Seal(t)
		if said := i.Annals(t, "replay", "plan", "--topic", "orders"); said.Code != 0 {
			return fmt.Errorf("%s", said.Err)
		}
		return nil
	})
	refused := func(want string, args ...string) {
		t.Helper()
		if said := i.Annals(t, args...); said.Code == 0 || !strings.Contains(said.Err, want) {
			t.Errorf("annals %v: code %d, %s%s; want %q", args, said.Code, said.Out, said.Err, want)
		}
	}
	allowed := func(args ...string) string {
		t.Helper()
		said := i.Annals(t, args...)
		if said.Code != 0 {
			t.Fatalf("annals %v: code %d, %s", args, said.Code, said.Err)
		}
		return string(said.Out)
	}
	var plan api.ReplayPlan
	i.JSON(t, &plan, "replay", "plan", "--topic", "orders")
	if plan.NeedsApproval == nil || plan.Records != 40 {
		t.Fatalf("%+v", plan)
	}
	var job api.ReplayJob
	i.JSON(t, &job, "replay", "run", plan.Id, "--detach", "--as", "alice")
	if job.State != "awaiting_approval" {
		t.Fatalf("%+v", job)
	}
	refused("somebody else must decide", "replay", "approve", plan.Id[:8], "--as", "alice")
	refused("--reason", "replay", "reject", plan.Id[:8], "--as", "bob")
	allowed("replay", "stop-all", "--reason", "wrong cluster", "--as", "carol")
	if said := allowed("replay", "approve", plan.Id[:8], "--as", "bob", "--comment", "as agreed"); !strings.Contains(said, plan.Id) || !strings.Contains(said, "approved by bob") {
		t.Errorf("annals replay approve: %s", said)
	}
	i.Stop(t)
	i.Again(t)
	refused("wrong cluster", "replay", "run", plan.Id)
	if said := allowed("replay", "stop-all"); !strings.Contains(said, "ALL REPLAYS ARE STOPPED") || !strings.Contains(said, "carol") {
		t.Errorf("annals replay stop-all: %s", said)
	}
	i.JSON(t, &job, "replay", "status", plan.Id)
	if job.State != "planned" {
		t.Errorf("begun while all are stopped: %+v", job)
	}
	events, err := http.Get(i.Up.Web + "/api/v1/replays/" + plan.Id + "/events")
	must(t, err)
	defer events.Body.Close()
	allowed("replay", "start-all", "--reason", "well again", "--as", "carol")
	var last string
	for lines := bufio.NewScanner(events.Body); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			last = name
		}
	}
	i.JSON(t, &job, "replay", "status", plan.Id)
	if last != "end" || job.State != "done" || !job.Receipt.Matches || *job.RequestedBy != "alice" || job.Approval.Decisions[0].By != "bob" {
		t.Fatalf("the events end with %q, the job is %+v", last, job)
	}
	page := allowed("replay", "receipt", plan.Id[:8], "--html")
	if !strings.HasPrefix(page, "<!doctype html>") || !strings.Contains(page, "as agreed") || !strings.Contains(page, "Everything matches") {
		t.Errorf("the page: %.300s", page)
	}
	if compared := compareReplay(t, i, targetsOf(plan), func(*kgo.Record) bool { return true }); compared != 40 {
		t.Errorf("compared %d records", compared)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
