package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fx-risk-ai/annals/internal/config"
)

var update = flag.Bool("update", false, "write the list of metrics instead of comparing it")

const (
	listBegins = "<!-- metrics: written by go test ./cmd/annals -run TestMetricsGuide -update -->\n"
	listEnds   = "<!-- end -->\n"
)

// everything makes the parts of annals up that have metrics, with clients that
// have dialled nobody yet.
func everything(t *testing.T) *parts {
	t.Helper()
	cfg := config.Default()
	cfg.Kafka.Brokers = []string{"127.0.0.1:1"}
	cfg.S3.Endpoint, cfg.S3.AccessKey, cfg.S3.SecretKey = "http://127.0.0.1:1", "key", config.NewSecret("secret")
	cfg.ClickHouse.URL = "http://127.0.0.1:1"
	cfg.Telemetry.OTLP.Endpoint = "http://127.0.0.1:1"
	p, err := connect(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	a, err := p.archiver("", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.server([]string{"archive", "serve"}, a, false); err != nil {
		t.Fatal(err)
	}
	return p
}

// described matches how client_golang prints a metric's description.
var described = regexp.MustCompile(`^Desc\{fqName: "(annals_[^"]+)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}\}$`)

// listMetrics gives a line of the guide for each metric of our own.
func listMetrics(t *testing.T, registry *prometheus.Registry) []byte {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	var lines []string
	for d := range descs {
		match := described.FindStringSubmatch(d.String())
		if match == nil {
			continue // of the Go runtime, the process
		}
		help, err := strconv.Unquote(match[2])
		if err != nil {
			t.Fatal(err)
		}
		name, labels := match[1], strings.ReplaceAll(match[3], ",", ", ")
		kind := kinds[name]
		switch {
		case strings.HasSuffix(name, "_total"):
			kind = "counter"
		case kind != "":
		case strings.HasPrefix(labels, "topic"):
			kind = "gauge"
		default:
			kind = "histogram"
		}
		lines = append(lines, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, labels, help))
	}
	slices.Sort(lines)
	return []byte("| metric | kind | labels | |\n|---|---|---|---|\n" + strings.Join(lines, ""))
}

// TestMetricsGuide fails when docs/guides/metrics.md does not list the metrics
// that there are, and when it, or an alert, names one that is not there.
func TestMetricsGuide(t *testing.T) {
	list := listMetrics(t, everything(t).registry)
	if n := bytes.Count(list, []byte("\n")); n < 50 {
		t.Fatalf("only %d metrics are found", n)
	}
	path := filepath.Join("..", "..", "docs", "guides", "metrics.md")
	guide, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(guide, []byte(listBegins))
	old, after, ends := bytes.Cut(rest, []byte(listEnds))
	switch {
	case !ok || !ends:
		t.Fatal("the guide has no place for the list")
	case *update:
		written := bytes.Join([][]byte{before, []byte(listBegins), list, []byte(listEnds), after}, nil)
		if err := os.WriteFile(path, written, 0o644); err != nil {
			t.Fatal(err)
		}
	case !bytes.Equal(old, list):
		t.Errorf("docs/guides/metrics.md is stale: run go test ./cmd/annals -run TestMetricsGuide -update")
	}
	for _, file := range []string{path, "../../deploy/prometheus/alerts.yaml", "../../README.md", "../../docs/formats/gaps.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bannals_[a-z_]+[a-z]\b`).FindAll(text, -1) {
			base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAll(name, nil)
			if !bytes.Contains(list, []byte("`"+string(base)+"`")) && !bytes.Equal(name, []byte("annals_build_info")) &&
				!bytes.Contains(list, []byte("`"+string(name)+"`")) && !bytes.HasPrefix(name, []byte("annals_replay_positions")) {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
	}
}

// TestMetricsPassPromtool has Prometheus' own checker read what /metrics
// answers, where it is installed.
func TestMetricsPassPromtool(t *testing.T) {
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not here (Debian: apt-get install prometheus; or go install github.com/prometheus/prometheus/cmd/promtool@latest)")
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(everything(t).registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	check := exec.Command(path, "check", "metrics")
	check.Stdin = answer.Body
	if said, err := check.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, said)
	}
}
