package web_test

import (
	"io"
	"testing"
)

// TestReadyWithoutItsSpool: an archiver goes on without it, so nobody may take
// the process away for it; but it is said.
func TestReadyWithoutItsSpool(t *testing.T) {
	s := start(t, nil)
	s.archive.mu.Lock()
	s.archive.trouble = map[string]string{"kafka": "", "spool": "no space left on device"}
	s.archive.mu.Unlock()
	answer, err := plainClient().Get("http://" + s.base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 200 || string(body) != `{"ready":true,"degraded":{"spool":"no space left on device"}}`+"\n" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	status, err := dial(t, s).Status(t.Context())
	if err != nil || !status.Ready || len(status.Dependencies) != 2 || status.Dependencies[1].Name != "spool" || status.Dependencies[1].Ready {
		t.Errorf("%+v %v", status, err)
	}
}
