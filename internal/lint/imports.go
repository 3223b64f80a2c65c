package lint

import (
	"fmt"
	"slices"
	"strings"
)

// client is a library that only some folders may use, so that replacing it is
// one folder's work. Tests may use any client.
type client struct {
	library string
	folders []string
}

// clients is ordered: the first entry that matches an import decides.
var clients = []client{
	{"github.com/minio/minio-go", []string{"internal/objstore"}},
	{"github.com/apache/arrow-go", []string{"internal/segment"}},
	// Codecs of blocks, columns and compressed frames, not clients: the embedded
	// engine's process answers in the same formats.
	{"github.com/ClickHouse/clickhouse-go/v2/lib/proto", []string{"internal/index", "cmd/annals-chdb"}},
	{"github.com/ClickHouse/clickhouse-go/v2/lib/column", []string{"internal/index", "cmd/annals-chdb"}},
	{"github.com/ClickHouse/ch-go/proto", []string{"internal/index", "cmd/annals-chdb"}},
	{"github.com/ClickHouse/ch-go/compress", []string{"internal/index", "cmd/annals-chdb"}},
	{"github.com/ClickHouse", []string{"internal/index"}},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"internal/embedded"}},
	{"github.com/twmb/franz-go/pkg/sr", []string{"internal/registry"}},
	{"github.com/twmb/franz-go", []string{"internal/kafka", "internal/embedded", "demo", "clients/go"}},
	{"github.com/twmb/avro", []string{"internal/payload"}},
	{"github.com/bufbuild/protocompile", []string{"internal/payload"}},
	{"cel.dev", []string{"internal/filter"}},
	{"golang.org/x/oauth2", []string{"internal/kafka"}},
	{"github.com/versity/versitygw", []string{"internal/embedded"}},
	{"github.com/labstack/echo", []string{"web"}},
	{"github.com/ebitengine/purego", []string{"cmd/annals-chdb"}},
	{"github.com/goccy/go-yaml", []string{"internal/config", "internal/contract"}},
	{"github.com/santhosh-tekuri/jsonschema", []string{"internal/contract"}},
	{"github.com/cenkalti/backoff", []string{"internal/retry"}},
	{"go.opentelemetry.io", []string{"internal/telemetry"}},
	// The independent reader is worth something only while nothing we ship
	// relies on it.
	{"github.com/parquet-go/parquet-go", nil},
	{"github.com/testcontainers/testcontainers-go", nil},
	{"github.com/compose-spec/compose-go", nil},
	{"pgregory.net/rapid", nil},
	{"go.uber.org/goleak", nil},
	// It registers with Prometheus' global registry.
	{"github.com/prometheus/client_golang/prometheus/promauto", nil},
}

// domains are the packages that do Annals' work. They never see each other.
var domains = []string{"archiver", "query", "replay", "custody"}

// Clients finds imports of a client library outside its folders.
func Clients(p Package) []Finding {
	if p.TestOnly() {
		return nil
	}
	var findings []Finding
	for _, path := range p.Imports {
		i := slices.IndexFunc(clients, func(c client) bool { return within(path, c.library) })
		if i < 0 || withinAny(p.Path, clients[i].folders) {
			continue
		}
		allowed := "tests"
		if len(clients[i].folders) > 0 {
			allowed = strings.Join(clients[i].folders, ", ") + " and tests"
		}
		findings = append(findings, Finding{p.Path, fmt.Sprintf("imports %s, which is for %s only", path, allowed)})
	}
	return findings
}

// Direction finds imports that point the wrong way.
func Direction(p Package) []Finding {
	var findings []Finding
	for _, path := range p.Imports {
		if why := wrongWay(p, path); why != "" {
			findings = append(findings, Finding{p.Path, fmt.Sprintf("imports %s: %s", path, why)})
		}
	}
	return findings
}

// wrongWay says why p must not import path, or "".
func wrongWay(p Package, path string) string {
	target, ours := strings.CutPrefix(path, Module+"/")
	if within(p.Path, "schema") && strings.Contains(strings.SplitN(path, "/", 2)[0], ".") && !within(target, "schema") {
		return "schema uses the standard library only"
	}
	if !ours {
		return ""
	}
	top, _, _ := strings.Cut(p.Path, "/")
	switch {
	case within(target, "schema/answer") && (p.Path == "schema" || top == "internal"):
		return "answers are for who asks; formats and clients know nothing of them"
	case top == "clients" && !within(target, "clients"):
		return "a producer's module brings nothing of Annals along"
	case within(target, "clients") && top != "clients":
		return "it is a module of its own, for producers"
	case within(target, "cmd"):
		return "nothing imports a command"
	case within(target, "demo") && top != "demo" && p.Path != "cmd/annals-demo":
		return "the demo is a pipeline of somebody else's; only its own command imports it"
	case top == "demo" && target != "demo" && !within(target, "demo"),
		p.Path == "cmd/annals-demo" && !within(target, "demo"):
		return "the demo knows nothing of Annals"
	case (Package{Path: target}).TestOnly() && !p.TestOnly():
		return "it exists for tests"
	case top == "cmd" || p.TestOnly():
		return ""
	case within(target, "internal/config"), within(target, "internal/embedded") && !within(p.Path, "internal/embedded"):
		return "only cmd wires settings and embedded engines; take what you need as options"
	case top == "internal" && !within(target, "internal") && !within(target, "schema"):
		return "internal packages import schema and one another only"
	case slices.Contains(domains, top) && !within(target, top) && !within(target, "internal") && !within(target, "schema"):
		return top + " imports schema and internal packages only"
	case top == "web" && !within(target, "web") && !withinAny(target, webMaySee):
		return "web declares the interfaces it needs, and cmd wires them"
	}
	return ""
}

// webMaySee is what web may import of ours besides its own folders: shapes, who
// is asking, and how a process reports about itself.
var webMaySee = []string{"schema", "internal/policy", "internal/telemetry"}

// within reports whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func withinAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(path, root) })
}
