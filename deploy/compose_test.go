package deploy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose reads a compose file strictly, with an environment of its own.
func loadCompose(t *testing.T, path string, environ ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{path}, cli.WithEnv(environ), cli.WithResolvedPaths(false))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// composeSecrets is what deploy/.env holds.
var composeSecrets = []string{"ANNALS_S3_SECRET_KEY=s3-word", "ANNALS_CLICKHOUSE_PASSWORD=clickhouse-word"}

func TestComposeIsValidAndClosed(t *testing.T) {
	project, err := loadCompose(t, "compose.yaml", composeSecrets...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"archive", "serve", "kafka", "s3", "clickhouse"} {
		if _, ok := project.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	for name, service := range project.Services {
		for _, finding := range lintService(service) {
			t.Errorf("%s: %s", name, finding)
		}
	}
}

// lintService returns what is wrong with a service for our purpose.
func lintService(service types.ServiceConfig) []string {
	var findings []string
	ours := service.Build != nil
	if !ours && !pinned.MatchString(service.Image) {
		findings = append(findings, service.Image+" is not pinned to a version or digest")
	}
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			findings = append(findings, fmt.Sprintf("port %d is published beyond this machine", port.Target))
		}
	}
	if service.Privileged || service.NetworkMode == "host" {
		findings = append(findings, "has rights over the host")
	}
	if ours && (!service.ReadOnly || len(service.CapDrop) == 0 || len(service.SecurityOpt) == 0) {
		findings = append(findings, "is not read-only without capabilities")
	}
	if !ours && service.HealthCheck == nil {
		findings = append(findings, "has no health check, so nothing can wait for it")
	}
	return findings
}

func TestComposeRulesCanFail(t *testing.T) {
	checked := &types.HealthCheckConfig{}
	for name, change := range map[string]func(*types.ServiceConfig){
		"unpinned":        func(s *types.ServiceConfig) { s.Image = "apache/kafka:latest" },
		"open port":       func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80}} },
		"privileged":      func(s *types.ServiceConfig) { s.Privileged = true },
		"writable":        func(s *types.ServiceConfig) { s.Build = &types.BuildConfig{} },
		"no health check": func(s *types.ServiceConfig) { s.HealthCheck = nil },
	} {
		var service types.ServiceConfig
		service.Image, service.HealthCheck = "a:1.2", checked
		if findings := lintService(service); len(findings) > 0 {
			t.Fatalf("a good one: %v", findings)
		}
		change(&service)
		if findings := lintService(service); len(findings) != 1 {
			t.Errorf("%s: %v", name, findings)
		}
	}
}

// TestComposeNeedsItsSecrets: without .env it must not start with empty ones.
func TestComposeNeedsItsSecrets(t *testing.T) {
	for i, missing := range composeSecrets {
		rest := append(append([]string{}, composeSecrets[:i]...), composeSecrets[i+1:]...)
		name, _, _ := strings.Cut(missing, "=")
		if _, err := loadCompose(t, "compose.yaml", rest...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	raw, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), ": ")
		if found && sensitive.MatchString(key) && !strings.HasPrefix(key, "#") && !strings.HasPrefix(value, "${") && !strings.Contains(key, "ACCESS_KEY_ID") {
			t.Errorf("%s is written out", key)
		}
	}
}

// TestComposeFitsItsConfiguration reads the configuration as the annals
// services will see it, and compares it with the engines beside them.
func TestComposeFitsItsConfiguration(t *testing.T) {
	project, err := loadCompose(t, "compose.yaml", composeSecrets...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"archive", "serve"} {
		service := project.Services[name]
		var environ []string
		for key, value := range service.Environment {
			environ = append(environ, key+"="+*value)
		}
		mount := service.Volumes[0]
		if config := service.Environment["ANNALS_CONFIG"]; config == nil || *config != mount.Target {
			t.Errorf("%s: ANNALS_CONFIG does not name the mounted file %s", name, mount.Target)
		}
		cfg, _ := loadSample(t, mount.Source, environ...)
		if err := cfg.RequireEngines(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		store, clickhouse := project.Services["s3"].Environment, project.Services["clickhouse"].Environment
		for what, pair := range map[string][2]string{
			"access key":          {cfg.S3.AccessKey, *store["ROOT_ACCESS_KEY_ID"]},
			"secret key":          {cfg.S3.SecretKey.Reveal(), *store["ROOT_SECRET_ACCESS_KEY"]},
			"ClickHouse user":     {cfg.ClickHouse.User, *clickhouse["CLICKHOUSE_USER"]},
			"ClickHouse password": {cfg.ClickHouse.Password.Reveal(), *clickhouse["CLICKHOUSE_PASSWORD"]},
			"database":            {cfg.ClickHouse.Database, *clickhouse["CLICKHOUSE_DB"]},
		} {
			if pair[0] != pair[1] || pair[0] == "" {
				t.Errorf("%s: %s is %q here and %q at the engine", name, what, pair[0], pair[1])
			}
		}
		for _, address := range []string{cfg.Kafka.Brokers[0], cfg.S3.Endpoint, cfg.ClickHouse.URL} {
			host, _, _ := strings.Cut(address[strings.LastIndex(address, "/")+1:], ":")
			if _, ok := project.Services[host]; !ok {
				t.Errorf("%s: no service is named %s", name, host)
			}
		}
		if command := project.Services["s3"].Command[0]; !strings.Contains(command, "/data/"+cfg.S3.Bucket+" ") {
			t.Errorf("%s: the bucket %s is not made by %q", name, cfg.S3.Bucket, command)
		}
	}
}
