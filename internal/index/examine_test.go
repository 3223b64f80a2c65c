package index_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/index"
)

// between puts a proxy before the engine that changes a statement's text, or
// refuses it: change returns what is sent on, and "" to refuse.
func between(t *testing.T, o *index.Options, change func(statement string) string) {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: o.Addr})
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		text := string(body)
		if changed := change(text); changed == "" {
			w.Header().Set("X-ClickHouse-Exception-Code", "497")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "Code: 497. DB::Exception: annals: Not enough privileges. (ACCESS_DENIED)")
			return
		} else {
			text = changed
		}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		proxy.ServeHTTP(w, r)
	}))
	// The client library forgets a connection whose greeting was refused.
	server.Config.SetKeepAlivesEnabled(false)
	t.Cleanup(server.Close)
	o.Addr = server.Listener.Addr().String()
}

func TestExamine(t *testing.T) {
	refuse := func(word string) func(*testing.T, *engine, *index.Options) {
		return func(t *testing.T, _ *engine, o *index.Options) {
			between(t, o, func(statement string) string {
				if strings.HasPrefix(statement, word) && strings.Contains(statement, "doctor_") {
					return ""
				}
				return statement
			})
		}
	}
	rewrite := func(from, to string) func(*testing.T, *engine, *index.Options) {
		return func(t *testing.T, _ *engine, o *index.Options) {
			between(t, o, func(statement string) string { return strings.ReplaceAll(statement, from, to) })
		}
	}
	for name, c := range map[string]struct {
		harm    func(*testing.T, *engine, *index.Options)
		check   string
		verdict doctor.Verdict
		says    string
		others  []string
	}{
		"sound": {nil, doctor.IndexSchema, doctor.OK, "as this program is", nil},
		"newer tables": {func(_ *testing.T, e *engine, _ *index.Options) {
			e.ask("INSERT INTO db.migrations SELECT 99, 'later', now()")
		}, doctor.IndexSchema, doctor.Failed, "is at version 99, this program knows", nil},
		"older tables": {func(_ *testing.T, e *engine, _ *index.Options) {
			e.ask("ALTER TABLE db.migrations DELETE WHERE version > 3 SETTINGS mutations_sync = 1")
		}, doctor.IndexSchema, doctor.Warning, "is at version 3, this program is at", nil},
		"no tables":        {func(_ *testing.T, e *engine, _ *index.Options) { e.ask("DROP TABLE db.migrations SYNC") }, doctor.IndexSchema, doctor.Warning, "has no tables yet", nil},
		"no database":      {func(_ *testing.T, _ *engine, o *index.Options) { o.Database = "not_there" }, doctor.IndexSchema, doctor.Warning, "is not there yet", []string{doctor.IndexWrite}},
		"no CREATE":        {refuse("CREATE TABLE"), doctor.IndexWrite, doctor.Failed, "CREATE TABLE: try the rights", nil},
		"no INSERT":        {refuse("INSERT"), doctor.IndexWrite, doctor.Failed, "INSERT: ", nil},
		"no ALTER":         {refuse("ALTER"), doctor.IndexWrite, doctor.Failed, "ALTER TABLE: ", nil},
		"no SELECT":        {refuse("SELECT a"), doctor.IndexWrite, doctor.Failed, "SELECT: ", nil},
		"no DROP":          {refuse("DROP"), doctor.IndexWrite, doctor.Failed, "remains", nil},
		"another server":   {rewrite("SELECT 42", "SELECT 43"), doctor.IndexWrite, doctor.Failed, "was not read back", nil},
		"too old":          {rewrite("base64URLEncode", "base64UrlEncode"), doctor.IndexVersion, doctor.Failed, "it does not know base64URLEncode", nil},
		"older than tests": {rewrite("SELECT version(), to", "SELECT '25.8.1.1', to"), doctor.IndexVersion, doctor.Warning, "older than what Annals is tested with", nil},
		"no version":       {rewrite("SELECT version(), to", "SELECT 'proxy', to"), doctor.IndexVersion, doctor.Indeterminate, `"proxy" is none`, nil},
		"clock ahead":      {rewrite("now64(6)", "now64(6) + INTERVAL 5 SECOND"), doctor.ClockIndex, doctor.Warning, "ahead of this machine", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, nil)
			o := e.options
			if c.harm != nil {
				c.harm(t, e, &o)
			}
			x, err := index.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close() //nolint:errcheck // idle connections
			found := map[string]doctor.Check{}
			for _, check := range x.Examine(t.Context()) {
				found[check.Name] = check
			}
			if got := found[c.check]; got.Verdict != c.verdict || !strings.Contains(got.Seen, c.says) || (got.Todo == "") != (c.verdict == doctor.OK) {
				t.Errorf("%+v, want %s with %q", got, c.verdict, c.says)
			}
			if len(found) != 5 {
				t.Errorf("%d checks: %v", len(found), found)
			}
			for _, other := range append(c.others, c.check) {
				delete(found, other)
			}
			for _, rest := range found {
				if rest.Verdict != doctor.OK {
					t.Errorf("not its matter: %+v", rest)
				}
			}
			if left := e.ask("SELECT count() FROM system.tables WHERE database = currentDatabase() OR (database || '.') = 'db.' AND name LIKE 'doctor_%'"); name != "no DROP" && left != "0" {
				t.Errorf("%s tables remain", left)
			}
		})
	}
}

func TestExamineOutOfReach(t *testing.T) {
	addr, user, password := embeddedtest.ClickHouse(t)
	for name, o := range map[string]index.Options{
		"nobody listens": {Addr: "127.0.0.1:1", Database: "annals", User: user, Password: password},
		"wrong password": {Addr: addr, Database: "annals", User: user, Password: "wrong"},
	} {
		between(t, &o, func(statement string) string { return statement })
		x, err := index.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close() //nolint:errcheck // idle connections
		checks := x.Examine(t.Context())
		if len(checks) != 1 || checks[0].Name != doctor.IndexReach || checks[0].Verdict != doctor.Failed || checks[0].Todo == "" {
			t.Errorf("%s: %+v", name, checks)
		}
	}
}
