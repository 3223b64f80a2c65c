package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/schema"
)

// write puts text into a file of its own and returns its path.
func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string, env ...string) (config.Config, []config.Warning, error) {
	t.Helper()
	return config.Load(write(t, "annals.yaml", text, 0o600), env)
}

func TestDefaultsAreValid(t *testing.T) {
	cfg, warnings, err := config.Load("", nil)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("err %v, warnings %v", err, warnings)
	}
	if cfg.Archive.Cut.Bytes != 64<<20 || cfg.Archive.Cut.MaxAge.Std() != 15*time.Minute || cfg.Index.Retention.Std() != 400*24*time.Hour {
		t.Errorf("defaults: %+v", cfg)
	}
	err = cfg.RequireEngines()
	if err == nil || !strings.Contains(err.Error(), "kafka.brokers, s3.endpoint, clickhouse.url") {
		t.Errorf("RequireEngines: %v", err)
	}
}

func TestGivenTellsWhatWasSet(t *testing.T) {
	demo := func(c *config.Config) { c.Index.Partition = "years" }
	cfg, _, err := config.Load(write(t, "annals.yaml", "index: {retention: 400d}", 0o600), []string{"ANNALS_LOG_LEVEL=debug"}, demo)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"index.retention": true, "log.level": true, "index.partition": true, "index.merge_idle": false, "log.format": false,
	} {
		if cfg.Given(path) != want {
			t.Errorf("%s given: %v, want %v", path, !want, want)
		}
	}
}

const full = `
kafka:
  brokers:
    - b1.example:9093   # a comment
    - "b2.example:9093"
  tls: {enabled: true, ca_file: /etc/ca.pem}
  sasl:
    mechanism: SCRAM-SHA-512
    username: "0123"
  topics:
    include: ['fx\..*']
s3:
  endpoint: https://s3.example
  credentials: role
  prefix: audit/kafka
clickhouse:
  url: https://ch.example:8443
archive:
  cut:
    bytes: 32MiB
    age: 90s
  memory:
    bytes: 1073741824
index:
  retention: 0s
  batch:
`

func TestLoadReadsFileThenEnvironmentThenOverrides(t *testing.T) {
	path := write(t, "annals.yaml", full, 0o600)
	env := []string{
		"ANNALS_KAFKA_SASL_PASSWORD=pa,ss word", "ANNALS_ARCHIVE_CUT_BYTES=16MiB", "PATH=/bin",
		"ANNALS_KAFKA_TOPICS_EXCLUDE=a, b ,", "ANNALS_LOG_LEVEL=", "ANNALS_CHDB=/x", "ANNALS_TEST_ANYTHING=1",
		"ANNALS_ARCHIVE_GROUP=from-env",
	}
	cfg, warnings, err := config.Load(path, env, func(c *config.Config) { c.Archive.Group = "from-flag" })
	if err != nil || len(warnings) != 0 {
		t.Fatalf("err %v, warnings %v", err, warnings)
	}
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"list", strings.Join(cfg.Kafka.Brokers, " "), "b1.example:9093 b2.example:9093"},
		{"flow mapping", cfg.Kafka.TLS.CAFile, "/etc/ca.pem"},
		{"digits in quotes stay text", cfg.Kafka.SASL.Username, "0123"},
		{"pattern", cfg.Kafka.Topics.Include[0], `fx\..*`},
		{"list from environment", strings.Join(cfg.Kafka.Topics.Exclude, "|"), "a|b"},
		{"secret", cfg.Kafka.SASL.Password.Reveal(), "pa,ss word"},
		{"environment over file", cfg.Archive.Cut.Bytes, 16 * config.MiB},
		{"override over environment", cfg.Archive.Group, "from-flag"},
		{"bytes without unit", cfg.Archive.Memory.Bytes, config.GiB},
		{"duration", cfg.Archive.Cut.Age.Std(), 90 * time.Second},
		{"zero", cfg.Index.Retention.Std(), time.Duration(0)},
		{"empty variable keeps the default", cfg.Log.Level, "info"},
		{"empty section keeps the defaults", cfg.Index.Batch.Rows, 5000},
	} {
		if check.got != check.want {
			t.Errorf("%s: got %v, want %v", check.what, check.got, check.want)
		}
	}
	if err := cfg.RequireEngines(); err != nil {
		t.Error(err)
	}
}

// TestMistakesInTheFile holds each mistake against the words that must help.
func TestMistakesInTheFile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":           {"kafka:\n  brokres: [a:1]\n", []string{"annals.yaml:2:3", `unknown key "brokres" in kafka`, "did you mean brokers?"}},
		"unknown section":       {"\narchiv:\n", []string{"annals.yaml:2:1", "did you mean archive?"}},
		"right key, wrong home": {"archive:\n  max_age: 1m\n", []string{"annals.yaml:2:3", "there is archive.cut.max_age"}},
		"nothing like it":       {"web:\n  colour: red\n", []string{"known here: allowed_hosts, listen"}},
		"inline secret":         {"kafka:\n  sasl:\n    password: hunter2\n", []string{"annals.yaml:3:5", "ANNALS_KAFKA_SASL_PASSWORD", "kafka.sasl.password_file"}},
		"duplicate key":         {"web:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\n", []string{"annals.yaml:3:3", "already defined"}},
		"not YAML":              {"web: [\n", []string{"annals.yaml:1:", "not valid YAML"}},
		"second document":       {"web:\n---\nweb:\n", []string{"annals.yaml:3:", "second YAML document"}},
		"list of settings":      {"- a\n", []string{"annals.yaml:1:", "key: value"}},
		"section as value":      {"kafka: yes\n", []string{"annals.yaml:1:8", "kafka: is a section"}},
		"value as section":      {"web:\n  listen:\n    a: b\n", []string{"web.listen: takes a single value"}},
		"value for a list":      {"kafka:\n  brokers: a:1\n", []string{"kafka.brokers: is a list"}},
		"no value":              {"web:\n  listen:\n", []string{"web.listen: has no value"}},
		"alias":                 {"web:\n  listen: &a 127.0.0.1:1\n", []string{"anchors"}},
		"merge":                 {"web:\n  <<: {listen: a}\n", []string{"annals.yaml:2:3", "merge keys"}},
		"wrong size":            {"archive:\n  cut:\n    bytes: 64 parsecs\n", []string{"annals.yaml:3:12", "archive.cut.bytes", `"64 parsecs" is not a size`}},
		"wrong duration":        {"archive:\n  cut:\n    age: 90\n", []string{`"90" is not a length of time`}},
		"wrong flag":            {"kafka:\n  tls:\n    enabled: yes\n", []string{`"yes" is not true or false`}},
		"wrong number":          {"index:\n  batch:\n    rows: 1e3\n", []string{`"1e3" is not a whole number`}},
		"out of range":          {"index:\n  batch:\n    rows: 0\n", []string{"annals.yaml:3:11", "index.batch.rows: 0 is below 1"}},
		"too large":             {"archive:\n  cut:\n    bytes: 2TiB\n", []string{"2TiB is above 1GiB"}},
		"wrong word":            {"archive:\n  start: begin\n", []string{`"begin" is not one of earliest, latest`}},
		"pair":                  {"archive:\n  cut: {age: 20m}\n", []string{"annals.yaml:2:14", "is more than archive.cut.max_age (15m)"}},
		"binary":                {"a\x00b", []string{"zero bytes"}},
		"not text":              {"\xff\xfe", []string{"not UTF-8"}},
		"deep":                  {strings.Repeat("[", 5000), []string{"nests brackets"}},
		"huge":                  {strings.Repeat("#", 2<<20), []string{"larger than 1MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, c.text)
			if err == nil {
				t.Fatal("accepted")
			}
			if schema.KindOf(err) != schema.Invalid {
				t.Errorf("kind %v", schema.KindOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message lacks %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("message shows the secret: %v", err)
			}
		})
	}
}

func TestSyntaxErrorDoesNotQuoteTheFile(t *testing.T) {
	_, _, err := load(t, "kafka:\n  sasl:\n    password: hunter2\n   x: [\n")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("error: %v", err)
	}
}

func TestAllMistakesAreToldAtOnceUpToALimit(t *testing.T) {
	_, _, err := load(t, "kafka: {brokres: a}\nweb: {listen: nowhere}\nlog: {level: loud}\n")
	for _, want := range []string{"brokres", "web.listen", "log.level"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %s: %v", want, err)
		}
	}
	var many strings.Builder
	for i := range 50 {
		many.WriteString("unknown" + strings.Repeat("x", i) + ": 1\n")
	}
	_, _, err = load(t, many.String())
	if err == nil || !strings.Contains(err.Error(), "and 30 more problems") {
		t.Errorf("no bound: %v", err)
	}
}

func TestMistakesInTheEnvironment(t *testing.T) {
	for entry, want := range map[string]string{
		"ANNALS_ARCHIVE_CUT_BITES=1MiB":    "unknown environment variable \"ANNALS_ARCHIVE_CUT_BITES\"; did you mean ANNALS_ARCHIVE_CUT_BYTES?",
		"ANNALS_ARCHIVE_CUT_BYTES=much":    "ANNALS_ARCHIVE_CUT_BYTES: archive.cut.bytes: \"much\" is not a size",
		"ANNALS_WEB_LISTEN=0.0.0.0:8080":   "web.allowed_hosts: must name the hosts",
		"ANNALS_EMBEDDED_S3_LISTEN=:19000": "ANNALS_EMBEDDED_S3_LISTEN: embedded.s3_listen: \":19000\" is not a loopback address",
	} {
		_, _, err := config.Load("", []string{entry})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", entry, err, want)
		}
	}
}

func TestOverrideIsNotBlamedOnTheFile(t *testing.T) {
	path := write(t, "annals.yaml", "web:\n  listen: 127.0.0.1:1\n", 0o600)
	_, _, err := config.Load(path, nil, func(c *config.Config) { c.Web.Listen = "nowhere" })
	var problem *config.Problem
	if !errors.As(err, &problem) || problem.Path != "web.listen" || problem.Origin != "" {
		t.Errorf("problem %+v of %v", problem, err)
	}
}

func TestEnvironmentMayNameTheFile(t *testing.T) {
	path := write(t, "annals.yaml", "archive: {group: a}\n", 0o600)
	other := write(t, "annals.yaml", "archive: {group: b}\n", 0o600)
	for _, given := range []string{"", other} {
		cfg, _, err := config.Load(given, []string{"ANNALS_CONFIG=" + path})
		if want := map[string]string{"": "a", other: "b"}[given]; err != nil || cfg.Archive.Group != want {
			t.Errorf("with path %q: group %q, want %q, err %v", given, cfg.Archive.Group, want, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, _, err := config.Load(filepath.Join(t.TempDir(), "absent.yaml"), nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("error: %v", err)
	}
}

func TestSecretFiles(t *testing.T) {
	sasl := func(file string) string {
		return "kafka:\n  brokers: [b:1]\n  tls: {enabled: true}\n  sasl: {mechanism: PLAIN, username: u, password_file: '" + file + "'}\n"
	}
	good := write(t, "password", "secret word\r\n", 0o600)
	cfg, warnings, err := load(t, sasl(good))
	if err != nil || len(warnings) != 0 || cfg.Kafka.SASL.Password.Reveal() != "secret word" {
		t.Errorf("password %q, warnings %v, err %v", cfg.Kafka.SASL.Password.Reveal(), warnings, err)
	}
	open := write(t, "password", "x", 0o604)
	if _, warnings, err = load(t, sasl(open)); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "chmod") {
		t.Errorf("open file: warnings %v, err %v", warnings, err)
	}
	for name, file := range map[string]string{
		"is empty": write(t, "password", "\n", 0o600), "larger than 64KiB": write(t, "password", strings.Repeat("x", 1<<17), 0o600),
		"is a folder": t.TempDir(), "no such file": "/does/not/exist",
	} {
		if _, _, err := load(t, sasl(file)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := load(t, sasl(good), "ANNALS_KAFKA_SASL_PASSWORD=other"); err == nil || !strings.Contains(err.Error(), "keep one") {
		t.Errorf("both: %v", err)
	}
}
