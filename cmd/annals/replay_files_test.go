package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/web/api"
)

// Files are fetched to where they stand below the job, once, and never under a name
// that they do not bear: what does not have the hash of the list is not kept.
func TestFilesAreFetched(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 32)
	bodies := []string{"{}\n", "{\"a\":1}\n"}
	const first = "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356" // sha256sum
	const second = "9b0b6bec44b0fb9aa9e53d9cb55ec1ba0ab4ad9c1ad0b9f2ff2bcb9fd3c19ab7"
	list := api.ReplayFiles{Id: id, Format: "ndjson", Files: []api.ReplayFile{
		{Key: "jobs/replay/" + id + "/files/orders/0/a.ndjson", Sha256: first}, {Key: "jobs/replay/" + id + "/files/orders/1/b.ndjson", Sha256: second},
	}}
	fetched := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/files") {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		fetched++
		fmt.Fprint(w, bodies[int(r.URL.Path[len(r.URL.Path)-1]-'0')])
	}))
	t.Cleanup(server.Close)
	out := filepath.Join(t.TempDir(), "got")
	run := func() error {
		return (&replayFilesCommand{asking: asking{Server: server.URL}, ID: id[:8], Out: out}).Run(t.Context(), &invocation{out: &strings.Builder{}})
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "came with the hash") {
		t.Fatalf("another file than the list names: %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "orders/1/b.ndjson")); err == nil {
		t.Error("it is kept")
	}
	sum, err := hashOf(filepath.Join(out, "orders/0/a.ndjson"))
	if err != nil || sum != first || fetched != 2 {
		t.Fatalf("%s, %v, %d fetched", sum, err, fetched)
	}
	list.Files[1].Sha256 = first
	bodies[1] = bodies[0]
	for range 2 {
		if err := run(); err != nil || fetched != 3 {
			t.Fatalf("%v, %d fetched, want 3: what is there whole is not fetched again", err, fetched)
		}
	}
	list.Files[1].Key = "jobs/replay/" + id + "/files/../../../x"
	if err := run(); err == nil || !strings.Contains(err.Error(), "none of the job") {
		t.Errorf("a file that leads out of the folder: %v", err)
	}
}
