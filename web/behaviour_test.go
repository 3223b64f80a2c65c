package web_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/telemetry/telemetrytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

func dial(t *testing.T, s *running) *client.Client {
	t.Helper()
	c, err := client.Dial(s.base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestIDsArriveAsTheyWereSent sends ids that URLs have to escape.
func TestIDsArriveAsTheyWereSent(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	for _, id := range []string{"a/b", "100%", "a%2Fb", "ä ö", "a?b#c", "a+b", "a;b", "a,b", "x=1&y=2"} {
		if _, err := c.Trace(t.Context(), id, api.GetTraceParams{}); schema.KindOf(err) != schema.NotFound {
			t.Errorf("trace %q: %v", id, err)
		}
		if got := s.archive.last(); !reflect.DeepEqual(got, answer.TraceRequest{TraceID: id, Limit: 2000}) {
			t.Errorf("trace %q arrived as %+v", id, got)
		}
		if _, err := c.Identify(t.Context(), id); err != nil || s.archive.last() != id {
			t.Errorf("id %q arrived as %q: %v", id, s.archive.last(), err)
		}
	}
}

// TestSearchArrives sends every parameter.
func TestSearchArrives(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	from, to := noon.Add(-time.Hour).In(time.FixedZone("", 7200)), noon
	topics, text, limit, status := []string{"a", "b,c"}, "x", 7, api.SearchRecordsParamsStatusAll
	stage := "enrichment"
	if _, err := c.Search(t.Context(), api.SearchRecordsParams{
		From: &from, To: &to, Topic: &topics, EventType: &text, Service: &text, Stage: &stage, Status: &status, Id: &text, Limit: &limit, Q: &text,
	}); err != nil {
		t.Fatal(err)
	}
	got := s.archive.last().(answer.SearchRequest)
	if !got.From.Equal(from) || !got.To.Equal(to) {
		t.Errorf("times arrived as %s and %s", got.From, got.To)
	}
	got.From, got.To = time.Time{}, time.Time{}
	want := answer.SearchRequest{
		Topics: topics, EventType: "x", Service: "x", Stage: "enrichment", ID: "x", Limit: 7, Query: "x",
		Statuses: []schema.Status{schema.Committed, schema.Aborted, schema.Control},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, err := c.Search(t.Context(), api.SearchRecordsParams{}); err != nil {
		t.Fatal(err)
	}
	defaults := answer.SearchRequest{Statuses: []schema.Status{schema.Committed}, Limit: 100}
	if got := s.archive.last(); !reflect.DeepEqual(got, defaults) {
		t.Errorf("defaults arrived as %+v", got)
	}
}

// TestClientErrors holds the client against the server's problems.
func TestClientErrors(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	_, err := c.Trace(t.Context(), "none", api.GetTraceParams{})
	var problem *client.ProblemError
	if !errors.As(err, &problem) || problem.Searched == nil || problem.Searched.Records != 1234 {
		t.Errorf("unknown trace: %+v", err)
	}
	var known *schema.Error
	if !errors.As(err, &known) || known.Hint != "look at the time range" || err.Error() != "no record names none" {
		t.Errorf("unknown trace: %+v", known)
	}
	long := strings.Repeat("x", 513)
	_, err = c.Identify(t.Context(), long)
	if !errors.As(err, &known) || known.Kind != schema.Invalid || known.Field != "id" {
		t.Errorf("long id: %+v", known)
	}
	if _, err = c.Seal(t.Context(), true); schema.KindOf(err) != schema.Conflict {
		t.Errorf("seal: %v", err)
	}
	if _, err = c.Topics(t.Context()); schema.KindOf(err) != schema.Unavailable {
		t.Errorf("topics: %v", err)
	}
	if status, err := c.Status(t.Context()); err != nil || !status.Ready || len(status.Dependencies) != 3 {
		t.Errorf("status: %+v %v", status, err)
	}
	s.stop()
	if _, err = c.Status(t.Context()); schema.KindOf(err) != schema.Unavailable || !errors.As(err, &known) || !strings.Contains(known.Hint, "annals up") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestNumbersKeepTheirDigits on their way through both sides.
func TestNumbersKeepTheirDigits(t *testing.T) {
	trace, err := dial(t, start(t, nil)).Trace(t.Context(), "known", api.GetTraceParams{})
	if err != nil {
		t.Fatal(err)
	}
	changes := trace.Hops[1].Diff.Changes
	if changes[0].To != json.Number("12345678901234567890.10") || changes[0].From != nil {
		t.Errorf("%+v", changes[0])
	}
}

// TestRawRequests sends what no HTTP client would.
func TestRawRequests(t *testing.T) {
	s := start(t, nil)
	for name, c := range map[string]struct{ send, want string }{
		"no host":          {"GET /api/v1/status HTTP/1.0\r\n\r\n", " 403 "},
		"host in the line": {"GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", " 403 "},
		"two hosts":        {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", " 400 "},
		"long header":      {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", " 431 "},
		"two lengths":      {"POST /api/v1/seal HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", " 400 "},
		"smuggled":         {"POST /api/v1/seal HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\nhello", " 501 "},
		"no HTTP":          {"\x16\x03\x01\x02\r\n\r\n", " 400 "},
		"a body cut short": {"POST /api/v1/replays/plans HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", " 400 "},
	} {
		connection, err := net.Dial("tcp", s.base)
		if err != nil {
			t.Fatal(err)
		}
		_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(connection, c.send) // the server may have closed already
		if half, ok := connection.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		answer, _ := io.ReadAll(connection)
		connection.Close()
		if line, _, _ := strings.Cut(string(answer), "\r\n"); !strings.Contains(line, c.want) {
			t.Errorf("%s: %q, want%s", name, line, c.want)
		}
	}
}

// TestForeignServer asks something that is not Annals.
func TestForeignServer(t *testing.T) {
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/topics") {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "<html>hello</html>")
	}))
	defer foreign.Close()
	c, err := client.Dial(foreign.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "not from Annals") {
		t.Errorf("page: %v", err)
	}
	if _, err := c.Topics(t.Context()); err == nil || !strings.Contains(err.Error(), "not from Annals") {
		t.Errorf("redirect: %v", err)
	}
	for _, address := range []string{"", "ftp://x", "http://", "http://x?y", "http://u:p@x", "::"} {
		if _, err := client.Dial(address); schema.KindOf(err) != schema.Invalid {
			t.Errorf("Dial(%q): %v", address, err)
		}
	}
}

// TestValue gets exact bytes, and tells null from empty.
func TestValue(t *testing.T) {
	c := dial(t, start(t, nil))
	for offset, want := range map[int64]struct {
		null bool
		size int
	}{0: {true, 0}, 1: {false, 0}, 3: {false, 2}, 5: {false, 2<<20 + 1}} {
		var out bytes.Buffer
		null, err := c.Value(t.Context(), schema.Coordinates{Topic: "t", Offset: offset}, api.GetRecordParams{}, &out)
		if err != nil || null != want.null || out.Len() != want.size {
			t.Errorf("offset %d: null %t, %d bytes, %v", offset, null, out.Len(), err)
		}
	}
}

// TestExport streams: whole it is whole, broken it is seen to be broken, at
// whatever byte.
func TestExport(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	request := api.ExportRequest{Topics: &[]string{"t"}}
	content := make([]byte, 3<<20)
	_, _ = rand.Read(content)
	for _, size := range []int{0, 1, 65535, 65536, 65537, len(content)} {
		s.archive.export = func(_ context.Context, w io.Writer) error {
			_, err := w.Write(content[:size])
			return err
		}
		var out bytes.Buffer
		if err := c.Export(t.Context(), request, &out); err != nil || !bytes.Equal(out.Bytes(), content[:size]) {
			t.Errorf("whole, %d bytes: got %d, %v", size, out.Len(), err)
		}
		s.archive.export = func(_ context.Context, w io.Writer) error {
			if _, err := w.Write(content[:size]); err != nil {
				return err
			}
			return schema.Errorf(schema.Corrupt, "segment x: hash differs")
		}
		out.Reset()
		err := c.Export(t.Context(), request, &out)
		if err == nil {
			t.Errorf("broken after %d bytes: the client got %d and no error", size, out.Len())
		}
		if early := size <= 65536; early != (schema.KindOf(err) == schema.Corrupt) {
			t.Errorf("broken after %d bytes: %v", size, err)
		}
	}
	if !strings.Contains(s.log.String(), "break off answer: segment x: hash differs") {
		t.Error("the log does not say why the answer broke off")
	}
}

// TestExportPanics breaks off as well.
func TestExportPanics(t *testing.T) {
	s := start(t, nil)
	s.archive.export = func(_ context.Context, w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		panic("a bug")
	}
	var out bytes.Buffer
	if err := dial(t, s).Export(t.Context(), api.ExportRequest{TraceId: new(string)}, &out); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a blank trace id: %v", err)
	}
	if err := dial(t, s).Export(t.Context(), api.ExportRequest{Topics: &[]string{"t"}}, &out); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(s.log.String(), "request panicked") || !strings.Contains(s.log.String(), "behaviour_test.go") {
		t.Error("the log has no stack")
	}
}

// TestExportsAreFew refuses the sixth at once, and ends one whose client left.
func TestExportsAreFew(t *testing.T) {
	s := start(t, nil)
	begun, ended := make(chan bool, 8), make(chan error, 8)
	s.archive.export = func(ctx context.Context, _ io.Writer) error {
		begun <- true
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	c := dial(t, s)
	left := make(chan error, 5)
	for range 5 {
		go func() { left <- c.Export(ctx, api.ExportRequest{Topics: &[]string{"t"}}, io.Discard) }()
		<-begun
	}
	sixth, enough := context.WithTimeout(t.Context(), 5*time.Second)
	defer enough()
	err := c.Export(sixth, api.ExportRequest{Topics: &[]string{"t"}}, io.Discard)
	if schema.KindOf(err) != schema.Exhausted {
		t.Errorf("the sixth export: %v", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("exports hold up others: %v", err)
	}
	leave()
	for range 5 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("export ended with %v", err)
		}
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("client ended with %v", err)
		}
	}
}

// TestLargeBody refuses it, with and without a length in the header.
func TestLargeBody(t *testing.T) {
	s := start(t, nil)
	body := `{"topics": ["` + strings.Repeat("x", web.MaxBody) + `"]}`
	for name, reader := range map[string]io.Reader{"length": strings.NewReader(body), "chunked": io.MultiReader(strings.NewReader(body))} {
		answer, err := plainClient().Post("http://"+s.base+"/api/v1/exports", "application/json", reader)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: status %d", name, answer.StatusCode)
		}
	}
}

// TestPrincipal passes through, and refuses.
func TestPrincipal(t *testing.T) {
	s := start(t, func(o *web.Options, _ *web.Services) {
		o.Principal = func(r *http.Request) (policy.Principal, error) {
			return policy.Principal{}, schema.Errorf(schema.Permission, "who are you?")
		}
	})
	c := dial(t, s)
	if _, err := c.Identify(t.Context(), "x"); schema.KindOf(err) != schema.Permission {
		t.Errorf("identify: %v", err)
	}
	if s.archive.last() != nil {
		t.Errorf("a refused request reached the archive: %v", s.archive.last())
	}
}

// TestNotReady names what is not well.
func TestNotReady(t *testing.T) {
	s := start(t, nil)
	s.archive.mu.Lock()
	s.archive.trouble = map[string]string{"index": "connection refused", "kafka": ""}
	s.archive.mu.Unlock()
	answer, err := plainClient().Get("http://" + s.base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 503 || string(body) != `{"ready":false,"not_ready":{"index":"connection refused"}}`+"\n" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	status, err := dial(t, s).Status(t.Context())
	if err != nil || status.Ready || status.Dependencies[0].Name != "kafka" || status.Dependencies[1].Detail != "connection refused" {
		t.Errorf("%+v %v", status, err)
	}
}

// TestBehindIsLiveAndReady: who is behind is left alone, and says how far.
func TestBehindIsLiveAndReady(t *testing.T) {
	s := start(t, func(_ *web.Options, services *web.Services) {
		services.Lag = func() web.Lag {
			return web.Lag{Behind: true, Partitions: 2, Records: 70_000, Seconds: 5400.5, Retention: 0.75, Worst: "orders/3"}
		}
	})
	for path, want := range map[string]string{
		"/healthz": "ok\n",
		"/readyz": `{"ready":true,"behind":true,"lag":{"partitions_behind":2,"records":70000,"seconds":5400.5,` +
			`"retention_ratio":0.75,"worst":"orders/3"}}` + "\n",
	} {
		answer, err := plainClient().Get("http://" + s.base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK || string(body) != want {
			t.Errorf("%s: %d %s %v", path, answer.StatusCode, body, err)
		}
	}
}

// TestRequestsAreTraced: the caller's trace goes on, the log names it, and no
// span says what was asked for.
func TestRequestsAreTraced(t *testing.T) {
	receiver := telemetrytest.Receive(t)
	tracer := receiver.Tracer(t)
	s := start(t, func(o *web.Options, _ *web.Services) { o.Tracer = tracer })
	const caller = "0af7651916cd43dd8448eb211c80319c"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.base+"/api/v1/traces/very-secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("traceparent", "00-"+caller+"-b7ad6b7169203331-01")
	answer, err := plainClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.Header.Get("X-Trace-Id") != caller {
		t.Errorf("X-Trace-Id %q, %v", answer.Header.Get("X-Trace-Id"), err)
	}
	if answer, err = plainClient().Get("http://" + s.base + "/healthz"); err != nil {
		t.Fatal(err)
	}
	own := answer.Header.Get("X-Trace-Id")
	answer.Body.Close()
	s.stop()
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := receiver.Spans()
	if len(spans) != 2 || spans[0].Trace != caller || spans[0].Parent != "b7ad6b7169203331" || spans[1].Trace != own || own == "" {
		t.Fatalf("spans %+v, own trace %s", spans, own)
	}
	if !strings.HasPrefix(spans[0].Name, "GET /api/v1/") || strings.Contains(fmt.Sprint(spans), "very-secret") {
		t.Errorf("span %+v", spans[0])
	}
	if log := s.log.String(); !strings.Contains(log, `"trace_id":"`+caller+`"`) || !strings.Contains(log, `"component":"web"`) {
		t.Errorf("log %s", log)
	}
}

func ptr[T any](v T) *T { return &v }

// TestOccupiedPort names the flag.
func TestOccupiedPort(t *testing.T) {
	s := start(t, nil)
	options, services := optionsFor(s.base)
	other, err := web.New(options, services)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Listen()
	var known *schema.Error
	if !errors.As(err, &known) || known.Kind != schema.Conflict || known.Field != "web.listen" || !strings.Contains(known.Hint, "--web-listen") {
		t.Errorf("Listen: %+v", err)
	}
	if err := other.Run(t.Context()); schema.KindOf(err) != schema.Conflict {
		t.Errorf("Run: %v", err)
	}
}

// TestShutdownLetsRequestsFinish, and takes no new ones.
func TestShutdownLetsRequestsFinish(t *testing.T) {
	s := start(t, nil)
	begun, finish := make(chan bool), make(chan bool)
	s.archive.export = func(ctx context.Context, w io.Writer) error {
		close(begun)
		<-finish
		_, err := io.WriteString(w, "whole")
		return err
	}
	var out bytes.Buffer
	done := make(chan error, 1)
	c := dial(t, s)
	go func() { done <- c.Export(t.Context(), api.ExportRequest{Topics: &[]string{"t"}}, &out) }()
	<-begun
	stopped := make(chan bool)
	go func() { s.stop(); close(stopped) }()
	for { // until the listener is closed
		connection, err := net.Dial("tcp", s.base)
		if err != nil {
			break
		}
		connection.Close()
		time.Sleep(time.Millisecond)
	}
	close(finish)
	if err := <-done; err != nil || out.String() != "whole" {
		t.Errorf("%q %v", out.String(), err)
	}
	<-stopped
}

// TestNewRefuses options that would leave a hole.
func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*web.Options, *web.Services){
		"no principal":   func(o *web.Options, _ *web.Services) { o.Principal = nil },
		"no logger":      func(o *web.Options, _ *web.Services) { o.Logger = nil },
		"no queries":     func(_ *web.Options, s *web.Services) { s.Queries = nil },
		"a wildcard":     func(o *web.Options, _ *web.Services) { o.AllowedHosts = []string{"*.example"} },
		"a URL":          func(o *web.Options, _ *web.Services) { o.AllowedHosts = []string{"http://a.example"} },
		"a port":         func(o *web.Options, _ *web.Services) { o.AllowedHosts = []string{"a.example:8080"} },
		"an empty name":  func(o *web.Options, _ *web.Services) { o.AllowedHosts = []string{""} },
		"open, no names": func(o *web.Options, _ *web.Services) { o.Listen, o.AllowedHosts = "0.0.0.0:0", nil },
	} {
		options, services := optionsFor("127.0.0.1:0")
		change(&options, &services)
		if _, err := web.New(options, services); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlaceholder stands in for an explorer that was not built, and its own
// style is let through.
func TestPlaceholder(t *testing.T) {
	options, services := optionsFor("127.0.0.1:0")
	server, err := web.NewWithPages(options, services, fstest.MapFS{
		"placeholder.html": {Data: []byte("<style>body{}</style>not built")},
	})
	if err != nil {
		t.Fatal(err)
	}
	address, _ := serve(t, server)
	answer, err := plainClient().Get("http://" + address + "/traces/x")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	// printf 'body{}' | openssl dgst -sha256 -binary | base64
	if csp := answer.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "style-src 'self' 'sha256-fJgEClQWV1hGkK4qHMO0KotTsVnMYMXTq7/suurGyUo=';") || !strings.Contains(string(body), "not built") {
		t.Errorf("%s\n%s", csp, body)
	}
	if _, err := web.NewWithPages(options, services, fstest.MapFS{}); err == nil {
		t.Error("a build without any page was taken")
	}
}

// TestGapsArePaged hands filters and cursors on, and refuses a class that there
// is not.
func TestGapsArePaged(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	topic, partition, class, limit, cursor := "a.b", int32(3), api.ListGapsParamsClass("cleaned"), 7, "x"
	params := api.ListGapsParams{Topic: &topic, Partition: &partition, Class: &class, Limit: &limit, Cursor: &cursor}
	if page, err := c.Gaps(t.Context(), params); err != nil || page.Gaps == nil || page.NextCursor != nil {
		t.Errorf("%+v, %v", page, err)
	}
	want := answer.GapRequest{Topic: topic, Partition: &partition, Class: schema.GapCleaned, Limit: limit, Cursor: cursor}
	if got := s.archive.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("arrived as %+v", got)
	}
	class = "lost"
	if _, err := c.Gaps(t.Context(), params); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a class that there is not: %v", err)
	}
}

// TestDeadLettersArePaged hands filters and cursors on, and refuses a component
// that there is not.
func TestDeadLettersArePaged(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	topic, component, id, limit, cursor := "a.b", api.ListDeadLettersParamsComponent("index"), "0123456789abcdef", 7, "x"
	params := api.ListDeadLettersParams{Topic: &topic, Component: &component, Id: &id, Limit: &limit, Cursor: &cursor}
	if page, err := c.DeadLetters(t.Context(), params); err != nil || page.DeadLetters == nil || page.NextCursor != nil {
		t.Errorf("%+v, %v", page, err)
	}
	want := answer.DeadLetterRequest{Topic: topic, Component: schema.LetterIndex, ID: id, Limit: limit, Cursor: cursor}
	if got := s.archive.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("arrived as %+v", got)
	}
	component = "lost"
	if _, err := c.DeadLetters(t.Context(), params); schema.KindOf(err) != schema.Invalid {
		t.Errorf("a component that there is not: %v", err)
	}
}

// TestHealthzSaysWhenNothingMoves: whoever watches over the process is told to
// begin it anew, and only then.
func TestHealthzSaysWhenNothingMoves(t *testing.T) {
	var stuck error
	s := start(t, func(_ *web.Options, services *web.Services) { services.Alive = func() error { return stuck } })
	for want, err := range map[int]error{http.StatusOK: nil, http.StatusServiceUnavailable: errors.New("the loop has not moved")} {
		stuck = err
		answer, err := plainClient().Get("http://" + s.base + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("status %d, want %d", answer.StatusCode, want)
		}
	}
}

// TestDecodedArrives has what a schema made of a value, with every digit, and why
// nothing was made of another.
func TestDecodedArrives(t *testing.T) {
	s := start(t, nil)
	c := dial(t, s)
	for offset, want := range map[int64]string{
		2: "null",
		3: `{"detail":"no such schema","reason":"schema:unknown","schema_id":"9"}`,
		4: `{"detail":"decoded","schema_id":"7","schema_name":"x.Order","schema_type":"AVRO","value":{"format":"json","is_null":false,"json":{"n":12345678901234567890},"size":27,"text":"{\"n\": 12345678901234567890}","truncated":false},"withheld":["/who"]}`,
	} {
		r, err := c.Record(t.Context(), schema.Coordinates{Topic: "t", Offset: offset}, api.GetRecordParams{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(r.Decoded); err != nil || string(got) != want {
			t.Errorf("offset %d: %s, %v, want %s", offset, got, err, want)
		}
	}
}
