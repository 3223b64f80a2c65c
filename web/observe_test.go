package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/web/api"
)

// TestLog has routes, never what was asked for.
func TestLog(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	_, _ = c.Identify(t.Context(), "very-secret")
	_, _ = c.Trace(t.Context(), "very-secret", api.GetTraceParams{})
	_, _ = c.PlanReplay(t.Context(), api.ReplayRequest{TraceId: ptr("very-secret")})
	_, _ = c.Topics(t.Context())
	s.stop()
	log := s.log.String()
	if strings.Contains(log, "very-secret") {
		t.Errorf("an id is in the log:\n%s", log)
	}
	levels := map[string]string{}
	for line := range strings.Lines(log) {
		var entry struct{ Level, Route string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		levels[entry.Route] = entry.Level
	}
	want := map[string]string{
		"/api/v1/identify": "DEBUG", "/api/v1/traces/:trace_id": "DEBUG",
		"/api/v1/replays/plans": "INFO", "/api/v1/topics": "ERROR",
	}
	if !reflect.DeepEqual(levels, want) {
		t.Errorf("got %v, want %v", levels, want)
	}
}

// TestWhoTakesManyRecordsIsInTheLog holds the line of scans and exports: at Info,
// with who asked and how many records were given, never with what was sought; and
// that of a search, which is for debugging.
func TestWhoTakesManyRecordsIsInTheLog(t *testing.T) {
	s := start(t, nil)
	s.archive.export = func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "bag"); return err }
	for _, path := range []string{"/records/scan?q=very-secret", "/records/export?format=csv&q=very-secret", "/records?q=very-secret"} {
		answer, err := http.Get("http://" + s.base + "/api/v1" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %v", path, answer.StatusCode, err)
		}
	}
	answer, err := http.Post("http://"+s.base+"/api/v1/exports", "application/json", strings.NewReader(`{"trace_id":"very-secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	s.stop()
	log := s.log.String()
	if strings.Contains(log, "very-secret") {
		t.Errorf("what was sought is in the log:\n%s", log)
	}
	got := map[string]string{}
	for line := range strings.Lines(log) {
		var entry struct {
			Level, Route, Principal string
			Records                 *int64
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Route == "" {
			continue
		}
		said := entry.Level + " " + entry.Principal
		if entry.Records != nil {
			said += fmt.Sprintf(" %d", *entry.Records)
		}
		got[entry.Route] = said
	}
	who := policy.Everything().Name
	want := map[string]string{
		"/api/v1/records/scan": "INFO " + who + " 1", "/api/v1/records/export": "INFO " + who + " 7",
		"/api/v1/records": "DEBUG ", "/api/v1/exports": "INFO " + who,
	}
	if who == "" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
