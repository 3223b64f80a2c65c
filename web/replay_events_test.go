package web_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web"
)

func (a *archive) Approve(_ context.Context, who policy.Principal, id, comment string) (*answer.ReplayJob, error) {
	if !who.IsNamed() {
		return nil, schema.Errorf(schema.Permission, "nobody asks")
	}
	return &answer.ReplayJob{
		ID: id, State: answer.JobPlanned, Pace: answer.ReplayPace{Mode: answer.PaceFast}, RequestedBy: "alice",
		Approval: &answer.ReplayApproval{AskedBy: "alice", Asked: noon, Decisions: []answer.ApprovalDecision{
			{Verdict: answer.Approved, Plan: id, By: who.Name, At: noon, Comment: comment, Expires: noon.Add(time.Hour)},
		}},
	}, nil
}

func (a *archive) Step(_ context.Context, _ policy.Principal, id string, records int64) (*answer.ReplayJob, error) {
	return &answer.ReplayJob{ID: id, State: answer.JobPaused, Produced: records, Pace: answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 1, FastUntil: noon.UnixMilli()}}, nil
}

func (a *archive) Reject(_ context.Context, _ policy.Principal, id, reason string) (*answer.ReplayJob, error) {
	if reason == "" {
		return nil, schema.InvalidField("comment", "a rejection needs a reason")
	}
	return &answer.ReplayJob{ID: id, State: answer.JobRejected, Pace: answer.ReplayPace{Mode: answer.PaceFast}}, nil
}

func (a *archive) Stopped(context.Context, policy.Principal) (*answer.ReplayStop, error) {
	return &answer.ReplayStop{}, nil
}

func (a *archive) StopAll(_ context.Context, who policy.Principal, reason string) (*answer.ReplayStop, error) {
	return &answer.ReplayStop{Stopped: true, History: []answer.ReplaySwitch{{Stopped: true, By: who.Name, At: noon, Reason: reason}}}, nil
}

func (a *archive) StartAll(context.Context, policy.Principal, string) (*answer.ReplayStop, error) {
	return nil, schema.Errorf(schema.Conflict, "replays are not stopped")
}

func (a *archive) Receipt(context.Context, policy.Principal, string) ([]byte, error) {
	return []byte("<!doctype html><title>receipt</title>"), nil
}

// Watch tells of three states and ends, or goes on for ever where the ID begins with
// an f.
func (a *archive) Watch(ctx context.Context, _ policy.Principal, id string, tell func(*answer.ReplayJob) error) error {
	if id[0] == '0' {
		return schema.Errorf(schema.NotFound, "no replay %s", id)
	}
	job := func(n int64, state string) *answer.ReplayJob {
		return &answer.ReplayJob{ID: id, State: state, Produced: n, Updated: noon.Add(time.Duration(n)), Pace: answer.ReplayPace{Mode: answer.PaceFast}}
	}
	for n := range int64(2) {
		if err := tell(job(n, answer.JobRunning)); err != nil {
			return err
		}
	}
	for id[0] == 'f' {
		if err := tell(nil); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return tell(job(2, answer.JobDone))
}

// watch opens a stream of events.
func watch(t *testing.T, base, id, last string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+base+"/api/v1/replays/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err := plainClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// ids lists the ids of the events in a text, and the name of the last event.
func ids(text string) (list []string, last string) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "id":
			list = append(list, value)
		case "event":
			last = value
		}
	}
	return list, last
}

// TestEvents follows a job to its end, and goes on behind the last event seen.
func TestEvents(t *testing.T) {
	server := start(t, nil)
	all := watch(t, server.base, "aaaaaaaa", "")
	body, err := io.ReadAll(all.Body)
	if err != nil || all.StatusCode != http.StatusOK || all.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v %v", all.StatusCode, all.Header, err)
	}
	seen, last := ids(string(body))
	if len(seen) != 3 || last != "end" || !strings.Contains(string(body), `"state":"done"`) {
		t.Fatalf("%s", body)
	}
	body, err = io.ReadAll(watch(t, server.base, "aaaaaaaa", seen[0]).Body)
	if rest, _ := ids(string(body)); err != nil || len(rest) != 2 || rest[0] != seen[1] {
		t.Errorf("behind the first: %s, %v", body, err)
	}
	for id, status := range map[string]int{"00000000": http.StatusNotFound, "..": http.StatusBadRequest, "aaaa": http.StatusBadRequest} {
		if r := watch(t, server.base, strings.ReplaceAll(id, "..", "%2E%2E%2F"), ""); r.StatusCode != status {
			t.Errorf("%s: %d, want %d", id, r.StatusCode, status)
		}
	}
}

// TestEventsAreBounded: more than so many are refused, what others ask is answered
// all the same, and a server that stops does not wait for who watches.
func TestEventsAreBounded(t *testing.T) {
	server := start(t, nil)
	var open []*http.Response
	for range 64 {
		r := watch(t, server.base, "ffffffff", "")
		if r.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %d", len(open), r.StatusCode)
		}
		open = append(open, r)
	}
	if r := watch(t, server.base, "ffffffff", ""); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: %d", r.StatusCode)
	}
	if r, err := plainClient().Get("http://" + server.base + "/api/v1/replays"); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("a question beside them: %v, %v", r, err)
	} else {
		_ = r.Body.Close()
	}
	lines := bufio.NewScanner(open[0].Body)
	for beats := 0; beats < 3 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), ":") {
			beats++
		}
	}
	if lines.Err() != nil {
		t.Errorf("no heartbeat: %v", lines.Err())
	}
	began := time.Now()
	server.stop()
	if took := time.Since(began); took > 9*time.Second { // one that waits for them takes its whole grace, 10 s
		t.Errorf("the server stopped after %s", took)
	}
}

// TestClaimed takes the name from the header, and refuses what is none.
func TestClaimed(t *testing.T) {
	request := func(names ...string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			r.Header.Add(web.UserHeader, name)
		}
		return r
	}
	for name, named := range map[string]bool{"": false, "alice": true, "Zoë Ünal": true, "development": false} {
		who, err := web.Claimed(request(name))
		if err != nil || who.IsNamed() != named || named && who.Name != name || !who.Topics.IsAll() {
			t.Errorf("%q: %+v, %v", name, who, err)
		}
	}
	for _, names := range [][]string{{" x"}, {"a\x00b"}, {"\xff"}, {strings.Repeat("x", 101)}, {"a", "b"}} {
		if _, err := web.Claimed(request(names...)); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%q: %v", names, err)
		}
	}
}
