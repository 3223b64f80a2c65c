package kafka_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/kafka"
)

func TestTokenFileIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	token := kafka.TokenFile(path)
	if _, err := token(t.Context()); err == nil || !strings.Contains(err.Error(), "kafka.sasl.token_file") {
		t.Errorf("without a file: %v", err)
	}
	for _, want := range []string{"one", "two"} {
		must(t, os.WriteFile(path, []byte(want+"\n"), 0o600))
		if got, err := token(t.Context()); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestClientCredentialsAreKeptUntilTheyExpire(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if grant, scope := r.FormValue("grant_type"), r.FormValue("scope"); grant != "client_credentials" || scope != "a b" {
			t.Errorf("asked with grant %q, scope %q", grant, scope)
		}
		if id, secret, _ := r.BasicAuth(); id != "annals" || secret != "s3cret" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"t1","token_type":"bearer","expires_in":3600}`)
	}))
	defer server.Close()
	token := kafka.ClientCredentials(server.URL, "annals", "s3cret", "a b")
	for range 3 {
		if got, err := token(t.Context()); err != nil || got != "t1" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if asked != 1 {
		t.Errorf("the endpoint was asked %d times", asked)
	}
	if _, err := kafka.ClientCredentials(server.URL, "annals", "wrong", "a b")(t.Context()); err == nil || !strings.Contains(err.Error(), "kafka.sasl.token_url") {
		t.Errorf("a wrong secret: %v", err)
	}
}
