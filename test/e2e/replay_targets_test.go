package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/test/instance"
	"github.com/fx-risk-ai/annals/web/api"
)

// TestReplayIntoOtherTargets replays a topic into another cluster, which the
// configuration names with its SASL password in a file, and into files, and fetches
// these.
func TestReplayIntoOtherTargets(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	other := embeddedtest.Kafka(t)
	reached := embeddedtest.KafkaOptions(other)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "password"), []byte(reached.SASL.Password), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "annals.yaml"), fmt.Appendf(nil, `
replay:
  clusters:
    - name: staging
      brokers: [%q]
      sasl: {mechanism: %q, username: %q, password_file: %q}
`, reached.Brokers[0], reached.SASL.Mechanism, reached.SASL.Username, filepath.Join(dir, "password")), 0o600))
	i := programs.Start(t, instance.Options{Args: []string{"--config", filepath.Join(dir, "annals.yaml")}})
	client := i.Client(t)
	_, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "orders")
	must(t, err)
	var want []string
	for n := range 40 {
		want = append(want, fmt.Sprint("order ", n))
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte(want[n])}).FirstErr())
	}
	var plan api.ReplayPlan
	embeddedtest.Eventually(t, 30*time.Second, func() error {
		i.Seal(t)
		if said := i.Annals(t, "replay", "plan", "--topic", "orders", "--to-cluster", "staging"); said.Code != 0 {
			return fmt.Errorf("%s", said.Err)
		}
		return nil
	})
	i.JSON(t, &plan, "replay", "plan", "--topic", "orders", "--to-cluster", "staging")
	var job api.ReplayJob
	i.JSON(t, &job, "replay", "run", plan.Id)
	if job.Receipt == nil || !job.Receipt.Matches || job.Receipt.ReadBack != 40 || *plan.TargetClusterId != other.ClusterID() {
		t.Fatalf("into another cluster: %+v", job)
	}
	there := embeddedtest.KafkaClient(t, other, kgo.ConsumeTopics(plan.Topics[0].Target), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var got []string
	for len(got) < len(want) {
		for _, r := range there.PollFetches(t.Context()).Records() {
			got = append(got, string(r.Value))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the other cluster has %q", got)
	}

	i.JSON(t, &plan, "replay", "plan", "--search", "topic:orders", "--to-file", "ndjson")
	i.JSON(t, &job, "replay", "run", plan.Id)
	if job.Receipt == nil || !job.Receipt.Matches || job.Receipt.FilesSha256 == nil {
		t.Fatalf("into files: %+v", job)
	}
	var files api.ReplayFiles
	i.JSON(t, &files, "replay", "files", plan.Id[:8], "--out", filepath.Join(dir, "out"))
	body, err := os.ReadFile(filepath.Join(dir, "out", "orders", "0", filepath.Base(files.Files[0].Key)))
	must(t, err)
	if len(files.Files) != 1 || bytes.Count(body, []byte("\n")) != 40 || !bytes.Contains(body, []byte(`"value":"order 39"`)) {
		t.Errorf("fetched %+v: %.300s", files, body)
	}
}
