package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/schema/answer"
)

// TestExportOfMatchesEndsWithAStatement reads the trailer of a whole export, and
// sees one that broke off.
func TestExportOfMatchesEndsWithAStatement(t *testing.T) {
	s := start(t, nil)
	ask := func(query string) (*http.Response, string, error) {
		r, err := plainClient().Get("http://" + s.base + "/api/v1/records/export?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		return r, string(body), err
	}
	r, body, err := ask("format=parquet&q=type:a&topic=t&status=all")
	if err != nil || body != "parquet of type:a\n" {
		t.Fatalf("%q, %v", body, err)
	}
	var said answer.Statement
	if err := json.Unmarshal([]byte(r.Trailer.Get("Annals-Statement")), &said); err != nil || said.Records != 7 || said.Unsealed != 2 || said.Complete {
		t.Errorf("trailer %v: %+v, %v", r.Trailer, said, err)
	}
	if got, _ := s.archive.last().(answer.SearchRequest); got.Limit != 0 || len(got.Statuses) != 3 || got.Topics[0] != "t" {
		t.Errorf("asked for %+v", got)
	}
	r, body, err = ask("format=ndjson&id=broken")
	if err == nil || r.Trailer.Get("Annals-Statement") != "" || !strings.HasPrefix(body, "ndjson of") {
		t.Errorf("an export that broke off passes for whole: %v, %v", err, r.Trailer)
	}
	r, err = plainClient().Get("http://" + s.base + "/api/v1/records/scan?q=broken")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if lines, err := io.ReadAll(r.Body); err == nil || strings.Contains(string(lines), `"end"`) {
		t.Errorf("a scan that broke off passes for whole: %s", lines)
	}
}
