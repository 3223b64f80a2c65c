package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/config"
)

// Target clusters are read as the archived one is, their secrets from files alone.
func TestTargetClusters(t *testing.T) {
	secret := write(t, "password", "s3cret\n", 0o600)
	text := fmt.Sprintf(`
kafka: {brokers: ["a.example:9092"], client_id: me, metadata_max_age: 5s}
replay:
  clusters:
    - name: staging
      brokers: ["s1.example:9093", "s2.example:9093"]
      tls: {enabled: true, ca_file: /etc/ca.pem}
      sasl: {mechanism: SCRAM-SHA-512, username: annals, password_file: %q}
    - name: lab
      brokers: ["127.0.0.1:9092"]
`, secret)
	cfg, warnings, err := load(t, text)
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	staging, lab := cfg.Replay.Clusters[0].Kafka(cfg.Kafka), cfg.Replay.Clusters[1].Kafka(cfg.Kafka)
	if staging.SASL.Password.Reveal() != "s3cret" || staging.SASL.Mechanism != "SCRAM-SHA-512" || !staging.TLS.Enabled || staging.TLS.CAFile != "/etc/ca.pem" || len(staging.Brokers) != 2 {
		t.Errorf("staging %+v", staging)
	}
	if lab.SASL.Mechanism != "none" || lab.TLS.Enabled || lab.ClientID != "me" || lab.MetadataMaxAge.Std() != 5*time.Second {
		t.Errorf("lab %+v", lab)
	}
	if strings.Contains(fmt.Sprintf("%+v", cfg), "s3cret") {
		t.Error("the secret is shown")
	}
}

func TestTargetClustersAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ rows, want string }{
		"twice":                  {`[{name: a, brokers: ["b:1"]}, {name: a, brokers: ["c:1"]}]`, `replay.clusters[1].name: "a" is the name of replay.clusters[0] too`},
		"one cluster, two names": {`[{name: a, brokers: ["b:1", "c:1"]}, {name: d, brokers: ["c:1"]}]`, `replay.clusters[1].brokers: "c:1" is a broker of replay.clusters[0] too`},
		"the archived one":       {`[{name: a, brokers: ["k:9"]}]`, `"k:9" is among kafka.brokers too`},
		"no name":                {`[{brokers: ["b:1"]}]`, `replay.clusters[0].name: "" is not a name`},
		"no brokers":             {`[{name: a}]`, "replay.clusters[0].brokers: must name a broker"},
		"no port":                {`[{name: a, brokers: [b]}]`, `"b" is not host:port`},
		"mechanism":              {`[{name: a, brokers: ["b:1"], sasl: {mechanism: scram}}]`, `replay.clusters[0].sasl.mechanism: "scram" is not one of`},
		"no password":            {`[{name: a, brokers: ["b:1"], sasl: {mechanism: PLAIN, username: u}}]`, "name a file in replay.clusters[0].sasl.password_file"},
		"password in the file":   {`[{name: a, brokers: ["b:1"], sasl: {mechanism: PLAIN, username: u, password: p}}]`, "secrets do not stand in the configuration; name a file in replay.clusters[0].sasl.password_file"},
		"no file":                {`[{name: a, brokers: ["b:1"], sasl: {mechanism: PLAIN, username: u, password_file: /nowhere}}]`, "replay.clusters[0].sasl.password_file: open /nowhere"},
		"bearer":                 {`[{name: a, brokers: ["b:1"], sasl: {mechanism: OAUTHBEARER}}]`, "OAUTHBEARER needs replay.clusters[0].sasl.token_file or replay.clusters[0].sasl.token_url"},
		"unused certificate":     {`[{name: a, brokers: ["b:1"], tls: {ca_file: c.pem}}]`, "replay.clusters[0].tls: is set but would be ignored"},
		"unknown key":            {`[{name: a, broker: ["b:1"]}]`, "did you mean brokers"},
	} {
		_, _, err := load(t, "kafka: {brokers: [\"k:9\"]}\nreplay:\n  clusters: "+c.rows+"\n")
		var problem *config.Problem
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &problem) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if name == "no file" && strings.Contains(fmt.Sprint(err), "is needed") {
			t.Errorf("%s: said twice: %v", name, err)
		}
	}
}
