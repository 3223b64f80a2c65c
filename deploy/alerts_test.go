package deploy_test

import (
	"os/exec"
	"testing"
)

// promtool runs Prometheus' own checker, where it is installed.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not here (Debian: apt-get install prometheus; or go install github.com/prometheus/prometheus/cmd/promtool@latest)")
	}
	if said, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, said)
	}
}

// TestAlerts has Prometheus read the alerts, and try when they fire. That the
// metrics exist which they name is tested in cmd/annals.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "prometheus/alerts.yaml")
	promtool(t, "test", "rules", "prometheus/alerts_test.yaml")
}
