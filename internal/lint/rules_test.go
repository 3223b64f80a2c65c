package lint_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/lint"
)

// TestImportRulesCanFail feeds the import rules made-up packages.
func TestImportRulesCanFail(t *testing.T) {
	ours := func(path string) string { return lint.Module + "/" + path }
	for _, c := range []struct {
		pkg, imports string
		broken       bool
	}{
		{"query", "github.com/minio/minio-go/v7", true},
		{"internal/objstore", "github.com/minio/minio-go/v7", false},
		{"internal/objstore/objstoretest", "github.com/minio/minio-go/v7", false},
		{"internal/index", "github.com/apache/arrow-go/v18/arrow", true},
		{"internal/segment", "github.com/apache/arrow-go/v18/arrow", false},
		{"cmd/annals-chdb", "github.com/ClickHouse/clickhouse-go/v2/lib/proto", false},
		{"cmd/annals-chdb", "github.com/ClickHouse/clickhouse-go/v2", true},
		{"internal/index", "github.com/ClickHouse/clickhouse-go/v2", false},
		{"archiver", "github.com/twmb/franz-go/pkg/kgo", true},
		{"internal/kafka", "github.com/twmb/franz-go/pkg/kgo", false},
		{"internal/kafkaesque", "github.com/twmb/franz-go/pkg/kgo", true},
		{"demo/ecb", "github.com/twmb/franz-go/pkg/kgo", false},
		{"demo", "github.com/twmb/franz-go/pkg/kfake", true},
		{"clients/go", "github.com/twmb/franz-go/pkg/kgo", false},
		{"clients/go", ours("schema"), true},
		{"clients/go/internal/headers", ours("clients/go"), false},
		{"demo", ours("clients/go"), true},
		{"test/producers", ours("clients/go"), true},
		{"internal/embedded", "github.com/twmb/franz-go/pkg/kfake", false},
		{"cmd/annals", "github.com/labstack/echo/v5", true},
		{"web/api", "github.com/labstack/echo/v5", false},
		{"cmd/annals", "github.com/ebitengine/purego", true},
		{"cmd/annals-chdb", "github.com/ebitengine/purego", false},
		{"custody", "github.com/parquet-go/parquet-go", true},
		{"test/e2e", "github.com/parquet-go/parquet-go", false},
		{"internal/telemetry", "github.com/prometheus/client_golang/prometheus/promauto", true},
		{"internal/telemetry", "github.com/prometheus/client_golang/prometheus", false},
		{"schema", "github.com/google/uuid", true},
		{"schema", ours("internal/proof"), true},
		{"schema", "crypto/sha256", false},
		{"schema/answer", ours("schema"), false},
		{"schema/answer", "encoding/json", false},
		{"schema/answer", "github.com/google/uuid", true},
		{"schema/answer", ours("internal/policy"), true},
		{"schema/answer", ours("query"), true},
		{"schema", ours("schema/answer"), true},
		{"internal/ledger", ours("schema"), false},
		{"internal/ledger", ours("schema/answer"), true},
		{"internal/ledger", ours("internal/objstore"), false},
		{"internal/ledger", ours("query"), true},
		{"internal/ledger", ours("internal/config"), true},
		{"archiver", ours("internal/ledger"), false},
		{"archiver", ours("internal/embedded"), true},
		{"archiver", ours("internal/embedded/embeddedtest"), true},
		{"archiver", ours("query"), true},
		{"replay", ours("web"), true},
		{"query", ours("query/trace"), false},
		{"web", ours("query"), true},
		{"web", ours("internal/index"), true},
		{"web", ours("internal/policy"), false},
		{"web", ours("web/api"), false},
		{"web", ours("schema/answer"), false},
		{"query", ours("schema/answer"), false},
		{"cmd/annals", ours("internal/embedded"), false},
		{"cmd/annals", ours("demo"), true},
		{"cmd/annals-demo", ours("demo"), false},
		{"cmd/annals-demo", ours("internal/telemetry"), true},
		{"demo", ours("schema"), true},
		{"demo", ours("demo/ecb"), false},
		{"test/e2e", ours("cmd/annals"), true},
		{"test/e2e", ours("internal/embedded/embeddedtest"), false},
	} {
		p := lint.Package{Path: c.pkg, Imports: []string{"context", c.imports}}
		findings := append(lint.Clients(p), lint.Direction(p)...)
		if (len(findings) > 0) != c.broken {
			t.Errorf("%s importing %s: findings %v, want some: %v", c.pkg, c.imports, findings, c.broken)
		}
		for _, f := range findings {
			if !strings.Contains(f.String(), c.imports) {
				t.Errorf("does not name the import: %s", f)
			}
		}
	}
}

func TestPackageRulesCanFail(t *testing.T) {
	for name, c := range map[string]struct {
		pkg   lint.Package
		found int
	}{
		"complete":       {lint.Package{Path: "a", Doc: "Package a does.", Files: []string{"a.go", "doc.go"}}, 0},
		"only tests":     {lint.Package{Path: "a"}, 0},
		"no doc.go":      {lint.Package{Path: "a", Doc: "Package a does.", Files: []string{"a.go"}}, 1},
		"a command":      {lint.Package{Path: "cmd/a", Doc: "Command a does.", Files: []string{"main.go"}}, 0},
		"mute command":   {lint.Package{Path: "cmd/a", Files: []string{"main.go"}}, 1},
		"no comment":     {lint.Package{Path: "a", Files: []string{"doc.go"}}, 1},
		"cgo":            {lint.Package{Path: "a", CgoFiles: []string{"c.go"}}, 1},
		"purego, deeply": {lint.Package{Path: "a", Dependencies: []string{"fmt", "github.com/ebitengine/purego/internal/x"}}, 1},
	} {
		findings := append(lint.Documented(c.pkg), lint.NoCgo(c.pkg)...)
		findings = append(findings, lint.Free(c.pkg, "github.com/ebitengine/purego")...)
		if len(findings) != c.found {
			t.Errorf("%s: %v", name, findings)
		}
	}
}

func TestFileRulesCanFail(t *testing.T) {
	function := func(lines int) string {
		return "package a\n\nfunc f() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n"
	}
	for name, c := range map[string]struct {
		path, content string
		generated     bool
		want          string
	}{
		"short":             {"a/a.go", function(80), false, ""},
		"long function":     {"a/a.go", function(81), false, "a/a.go:3: func f has 81 lines"},
		"generated":         {"a/a.go", function(900), true, ""},
		"long file":         {"a/a.ts", strings.Repeat("x\n", 601), false, "has 601 lines"},
		"init":              {"a/a.go", "package a\n\nfunc init() {}\n", false, "init runs unseen"},
		"method named init": {"a/a.go", "package a\n\nfunc (t T) init() {}\n", false, ""},
		"does not parse":    {"a/a.go", "package", false, "does not parse"},
		"vague folder":      {"internal/utils/x.go", "package utils\n", false, `"utils" says nothing`},
		"vague file":        {"query/trace_helpers.go", "package query\n", false, "says nothing"},
		"vague test file":   {"query/helpers_test.go", "package query\n", false, "says nothing"},
		"log key":           {"a/a.go", "package a\n\nfunc f() {\n\tlog.Warn(\"m\", \"error\", err)\n}\n", false, "key error"},
		"the usual log key": {"a/a.go", "package a\n\nfunc f() {\n\tlog.Error(\"error\", \"err\", err)\n}\n", false, ""},
		"part of a word":    {"query/commonality.go", "package query\n", false, ""},
	} {
		f := lint.File{Path: c.path, Content: []byte(c.content), Generated: c.generated}
		var said strings.Builder
		for _, findings := range [][]lint.Finding{lint.Named(f), lint.Short(f), lint.NoInit(f), lint.OneErrKey(f)} {
			for _, finding := range findings {
				said.WriteString(finding.String() + "\n")
			}
		}
		if c.want == "" && said.Len() > 0 || !strings.Contains(said.String(), c.want) {
			t.Errorf("%s: got %q, want %q", name, said.String(), c.want)
		}
	}
}

func TestMapsCanFail(t *testing.T) {
	beside := []string{"doc.go", "a.go", "b_linux.go", "b_other.go", "a_test.go"}
	for name, c := range map[string]struct{ doc, want string }{
		"complete":     {"//\ta.go    what\n//\tb_*.go  what\n", ""},
		"none":         {"// It is small; a.go has all of it.\n", ""},
		"goes on":      {"//\ta.go,\n//\tb_linux.go, b_other.go  what\n", ""},
		"a test":       {"//\ta.go       what\n//\tb_*.go     what\n//\ta_test.go  what\n", ""},
		"not named":    {"//\ta.go  what\n//\tb_linux.go  what\n", "does not name b_other.go"},
		"is not there": {"//\ta.go  what\n//\tb_*.go  what\n//\tc.go  what\n", "names c.go, which"},
		"twice":        {"//\ta.go  what\n//\tb_*.go  what\n//\tb_linux.go  what\n", "b_linux.go more than once"},
		"a list":       {"//   - a.go: what\n", "lists files as text"},
		"a sentence":   {"// a.go (what), b_linux.go and\n// b_other.go (what)\n", "lists files as text"},
	} {
		findings := lint.Mapped(lint.File{Path: "a/doc.go", Content: []byte(c.doc + "package a\n")}, beside)
		if c.want == "" && len(findings) > 0 || c.want != "" && (len(findings) != 1 || !strings.Contains(findings[0].String(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, findings, c.want)
		}
	}
}

func TestUnreadOptionsAreFound(t *testing.T) {
	settings := []lint.File{{Path: "config/config.go", Content: []byte(strings.ReplaceAll(`package config
import "time"
type Config struct { A Section; B Section; Log struct { Level string }; Secret Secret 'yaml:"secret" file:"file"'; File string 'yaml:"file"'; Other string 'yaml:"other"' }
type Section struct { Used, Set, Unused, Asked, Idle time.Duration }
func (s Section) Ask() time.Duration { return s.Asked }
func (s Section) Rest() time.Duration { return s.Idle }
type Secret struct { text *string }
func Load() Config { return Config{} }
`, "'", "`"))}}
	command := []lint.File{
		{Path: "cmd/main.go", Content: []byte(`package main
import ("os"; "example/config"; "example/unknown")
func main() {
	cfg := config.Load()
	cfg.A.Set = cfg.B.Ask()
	unknown.Do(use(cfg.A), cfg.Log.Level, os.Args)
}
func use(s config.Section) unknown.Thing { return unknown.Of(s.Used) }
`)},
		{Path: "cmd/main_test.go", Content: []byte("package main\nvar _ = config.Load().Secret\n")},
	}
	findings, err := lint.Unread("example/config", settings, command)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.Where)
	}
	// A section's type stands for both places that have it.
	if want := "Config.A.Unused Config.A.Idle Config.B.Unused Config.B.Idle Config.Secret Config.Other"; strings.Join(got, " ") != want {
		t.Errorf("found %v, want %s", got, want)
	}
}

func TestLinksCanFail(t *testing.T) {
	document := lint.File{Path: "docs/a/b.md", Content: []byte("[1](c.md) [2](../d.md#part) [3](gone.md) [4](https://x.example/gone.md) [5](#part)")}
	exists := func(path string) bool { return path == "docs/a/c.md" || path == "docs/d.md" }
	findings := lint.Links(document, exists)
	if len(findings) != 1 || !strings.Contains(findings[0].String(), "gone.md") {
		t.Errorf("findings: %v", findings)
	}
}

// TestStaticCanFail looks into a program that is dynamically linked: the
// embedded ClickHouse's, which loads a library at run time.
func TestStaticCanFail(t *testing.T) {
	findings, err := lint.Static(build(t, root, "./cmd/annals-chdb"))
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 2 {
		t.Errorf("want an interpreter and libraries, found %v", findings)
	}
	if _, err := lint.Static("rules_test.go"); err == nil {
		t.Error("a text file passes as a program")
	}
}
