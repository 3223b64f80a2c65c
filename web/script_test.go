package web_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/fx-risk-ai/annals/web/api"
)

// step is one request of a script and what must come back.
type step struct {
	line         int
	title        string
	method, path string
	header       http.Header
	body         string
	status       int
	expect       []string // "Name: part", "!Name", "|part" or "!|part"
}

// TestScripts runs testdata/*.http: "#" titles a step, "> GET /path" asks, "> "
// adds headers and "> |" a body; "< 200" expects a status, "< Name: part" a
// header that contains part, "< !Name" none, "< |part" and "< !|part" a body
// with and without it. Paths go out as they stand.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	server := start(t, nil)
	for _, file := range files {
		steps := parse(t, file)
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, s := range steps {
				t.Run(strings.ReplaceAll(s.title, " ", "_"), func(t *testing.T) { s.run(t, server.base, file) })
			}
		})
	}
}

func (s step) run(t *testing.T, address, file string) {
	r, err := http.NewRequest(s.method, "http://"+address, strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL = &url.URL{Scheme: "http", Host: address, Opaque: s.path}
	for name, values := range s.header {
		r.Header[name] = values
	}
	if host := s.header.Get("Host"); host != "" {
		r.Host = host
	}
	if s.body == "" {
		r.Body = nil
	}
	answer, err := plainClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != s.status {
		t.Errorf("%s:%d: status %d, want %d", file, s.line, answer.StatusCode, s.status)
	}
	for _, e := range s.expect {
		name, part, _ := strings.Cut(e, ": ")
		switch {
		case strings.HasPrefix(e, "|"):
			if !strings.Contains(string(body), e[1:]) {
				t.Errorf("%s:%d: body lacks %s", file, s.line, e[1:])
			}
		case strings.HasPrefix(e, "!|"):
			if strings.Contains(string(body), e[2:]) {
				t.Errorf("%s:%d: body has %s", file, s.line, e[2:])
			}
		case strings.HasPrefix(e, "!"):
			if got, ok := answer.Header[http.CanonicalHeaderKey(e[1:])]; ok {
				t.Errorf("%s:%d: %s: %s, want none", file, s.line, e[1:], got)
			}
		case !strings.Contains(answer.Header.Get(name), part) || answer.Header.Get(name) == "":
			t.Errorf("%s:%d: %s: %q, want %q in it", file, s.line, name, answer.Header.Get(name), part)
		}
	}
	if err := asDocumented(r, answer, body); err != nil {
		t.Errorf("%s:%d: not as the document says: %v", file, s.line, err)
	}
	if t.Failed() {
		t.Logf("%s %s\n%v\n%.2000s", s.method, s.path, answer.Header, body)
	}
}

// asDocumented holds an answer of the API against the document that clients are
// generated from.
func asDocumented(r *http.Request, answer *http.Response, body []byte) error {
	document, err := api.GetSpec()
	if err != nil {
		return err
	}
	document.Servers = nil
	router, err := legacy.NewRouter(document)
	if err != nil {
		return err
	}
	path, ofAPI := strings.CutPrefix(r.URL.Opaque, "/api/v1")
	asked, err := url.Parse("http://" + r.URL.Host + path)
	if !ofAPI || err != nil || r.Method == http.MethodHead || answer.Header.Get("Content-Encoding") != "" {
		return nil // not of the API, sent to be refused, or no plain body to look at
	}
	route, params, err := router.FindRoute(&http.Request{Method: r.Method, URL: asked, Host: r.Host})
	if err != nil {
		if answer.StatusCode < 400 && r.Method != http.MethodOptions {
			return err
		}
		return nil
	}
	parts := [][]byte{body}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.RegisteredBodyDecoder("text/plain"))
	defer openapi3filter.UnregisterBodyDecoder("text/html")
	if answer.Header.Get("Content-Type") == ndjson { // the document describes a line
		openapi3filter.RegisterBodyDecoder(ndjson, openapi3filter.RegisteredBodyDecoder("application/json"))
		defer openapi3filter.UnregisterBodyDecoder(ndjson)
		parts = bytes.SplitAfter(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	}
	for _, part := range parts {
		if err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(part)),
		}); err != nil {
			return err
		}
	}
	return nil
}

const ndjson = "application/x-ndjson"

func parse(t *testing.T, file string) []step {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	title, asking := "", false
	for i, line := range strings.Split(string(content), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case mark == "#":
			title, asking = rest, true
		case mark == "":
		case mark == ">" && asking:
			method, path, _ := strings.Cut(rest, " ")
			steps = append(steps, step{line: i + 1, title: title, method: method, path: path, header: http.Header{}})
			asking = false
		case mark == ">" && strings.HasPrefix(rest, "|"):
			steps[len(steps)-1].body += rest[1:]
		case mark == ">":
			name, value, _ := strings.Cut(rest, ": ")
			steps[len(steps)-1].header.Add(name, value)
		case mark == "<":
			last := &steps[len(steps)-1]
			if status, err := strconv.Atoi(rest); err == nil && last.status == 0 {
				last.status = status
			} else {
				last.expect = append(last.expect, rest)
			}
		default:
			t.Fatalf("%s:%d: cannot read %q", file, i+1, line)
		}
	}
	return steps
}
