package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/test/instance"
)

// report is annals doctor's JSON.
type report struct {
	Checks []struct{ Name, Verdict, Seen, Todo string }
	Counts map[string]int
}

// configurationOf writes a configuration that names an instance's engines as if
// they were somebody's own.
func configurationOf(t *testing.T, i *instance.Instance, bucket string) string {
	t.Helper()
	dir := t.TempDir()
	secret := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	up := i.Up
	file := filepath.Join(dir, "annals.yaml")
	text := fmt.Sprintf(`kafka:
  brokers: [%q]
  sasl: {mechanism: %s, username: %q, password_file: %q}
s3: {endpoint: %q, region: %q, bucket: %q, access_key: %q, secret_key_file: %q}
clickhouse: {url: %q, database: %q, user: %q, password_file: %q}
`, up.Kafka.Brokers[0], up.Kafka.Mechanism, up.Kafka.User, secret("kafka", up.Kafka.Password),
		up.S3.Endpoint, up.S3.Region, bucket, up.S3.AccessKey, secret("s3", up.S3.SecretKey),
		up.ClickHouse.URL, up.ClickHouse.Database, up.ClickHouse.User, secret("clickhouse", up.ClickHouse.Password))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDoctorOfARunningInstance: all is well, said in words and as JSON.
func TestDoctorOfARunningInstance(t *testing.T) {
	i := year(t)
	said := i.Annals(t, "doctor", "--rounds", "3")
	if said.Code != 0 || !strings.Contains(string(said.Out), "ok             s3/create-once        3 rounds of 32 writers, 3 with one winner") {
		t.Errorf("code %d\n%s%s", said.Code, said.Out, said.Err)
	}
	var r report
	i.JSON(t, &r, "doctor", "--rounds", "3")
	if len(r.Checks) < 20 || r.Counts["ok"] != len(r.Checks) {
		t.Errorf("%+v", r)
	}
}

// TestDoctorOfAConfiguration names the same engines in a file; then a bucket
// that is not there, which fails and leaves the rest of the store unseen.
func TestDoctorOfAConfiguration(t *testing.T) {
	i := year(t)
	said := programs.Annals(t, "doctor", "--rounds", "3", "--config", configurationOf(t, i, i.Up.S3.Bucket))
	if said.Code != 0 {
		t.Errorf("code %d\n%s%s", said.Code, said.Out, said.Err)
	}
	said = programs.Annals(t, "doctor", "--json", "--config", configurationOf(t, i, "not-there"))
	var r report
	if err := json.Unmarshal(said.Out, &r); err != nil {
		t.Fatalf("%v: %s%s", err, said.Out, said.Err)
	}
	verdicts := map[string]string{}
	for _, c := range r.Checks {
		verdicts[c.Name] = c.Verdict
		if c.Verdict != "ok" && c.Todo == "" {
			t.Errorf("nothing to do about %+v", c)
		}
	}
	if said.Code != 1 || verdicts["s3/reach"] != "failed" || verdicts["s3/create-once"] != "indeterminate" || verdicts["kafka/read"] != "ok" {
		t.Errorf("code %d, %v", said.Code, verdicts)
	}
}

// TestDoctorOfNothing has neither a configuration nor an instance.
func TestDoctorOfNothing(t *testing.T) {
	for _, command := range []string{"doctor", "plan"} {
		said := programs.Annals(t, command, "--data-dir", filepath.Join(t.TempDir(), "none"))
		if said.Code != 4 || !strings.Contains(said.Err, "--config") {
			t.Errorf("annals %s: code %d, %s", command, said.Code, said.Err)
		}
	}
}

// TestNoOtherArchiveIsAsked: a data folder that was named has an annals up, or
// nobody is asked, whatever answers at the usual address.
func TestNoOtherArchiveIsAsked(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, command := range [][]string{{"search"}, {"seal"}, {"replay", "run", strings.Repeat("0", 64)}} {
		said := programs.Annals(t, append(command, "--data-dir", none)...)
		if said.Code == 0 || !strings.Contains(said.Err, none) || !strings.Contains(said.Err, "--server") {
			t.Errorf("annals %v: code %d, %s", command, said.Code, said.Err)
		}
	}
}

// TestDoctorOfAnEmptyCluster has nothing to look at, and says so.
func TestDoctorOfAnEmptyCluster(t *testing.T) {
	instance.NeedsClickHouse(t)
	i := programs.Start(t, instance.Options{})
	said := i.Annals(t, "doctor", "--rounds", "3")
	if said.Code != 2 || !strings.Contains(string(said.Out), "indeterminate  kafka/read") || strings.Contains(string(said.Out), "failed  ") {
		t.Errorf("code %d\n%s%s", said.Code, said.Out, said.Err)
	}
}

// TestPlan: an instance whose demo has ended is idle, which is said; with a
// supposed rate the archive's own ratios count, and sealing sooner costs more.
func TestPlan(t *testing.T) {
	i := year(t)
	said := i.Annals(t, "plan", "--interval", "300ms")
	if said.Code != 2 || !strings.Contains(string(said.Out), "Indeterminate: nothing came") {
		t.Errorf("code %d\n%s%s", said.Code, said.Out, said.Err)
	}
	plan := func(args ...string) (p struct {
		Total struct {
			Puts float64 `json:"put_day"`
			Cost float64 `json:"in_the_end_usd"`
		}
		Active int `json:"active_partitions"`
		Notes  []string
	},
	) {
		t.Helper()
		i.JSON(t, &p, append([]string{"plan", "--interval", "300ms", "--records-per-second", "20"}, args...)...)
		return p
	}
	usual, sooner := plan(), plan("--cut-age", "1m")
	if usual.Active == 0 || sooner.Total.Puts < 10*usual.Total.Puts || sooner.Total.Cost <= usual.Total.Cost {
		t.Errorf("as configured %+v, at a minute %+v", usual, sooner)
	}
	if notes := strings.Join(usual.Notes, "\n"); !strings.Contains(notes, "are those of their archived segments") || !strings.Contains(notes, "The index takes") {
		t.Errorf("notes: %s", notes)
	}
}
