package config_test

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/config"
)

func TestRulesBetweenOptions(t *testing.T) {
	secret := config.NewSecret("s")
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"broker without port":    {func(c *config.Config) { c.Kafka.Brokers = []string{"b1"} }, `kafka.brokers: "b1" is not host:port`},
		"broker with port 0":     {func(c *config.Config) { c.Kafka.Brokers = []string{"b1:0"} }, "not host:port"},
		"broker as URL":          {func(c *config.Config) { c.Kafka.Brokers = []string{"kafka://b1:9"} }, "not host:port"},
		"bad pattern":            {func(c *config.Config) { c.Kafka.Topics.Include = []string{"["} }, "not a regular expression"},
		"no pattern":             {func(c *config.Config) { c.Kafka.Topics.Include = nil }, "no topic would be archived"},
		"scram without user":     {func(c *config.Config) { c.Kafka.SASL.Mechanism, c.Kafka.SASL.Password = "SCRAM-SHA-256", secret }, "kafka.sasl.username: is needed for SCRAM-SHA-256"},
		"plain without password": {func(c *config.Config) { c.Kafka.SASL.Mechanism, c.Kafka.SASL.Username = "PLAIN", "u" }, "set ANNALS_KAFKA_SASL_PASSWORD, or name a file in kafka.sasl.password_file"},
		"ignored user":           {func(c *config.Config) { c.Kafka.SASL.Username = "u" }, "would be ignored"},
		"bearer without source":  {func(c *config.Config) { c.Kafka.SASL.Mechanism = "OAUTHBEARER" }, "needs kafka.sasl.token_file or"},
		"bearer with two sources": {func(c *config.Config) {
			c.Kafka.SASL = config.SASL{Mechanism: "OAUTHBEARER", TokenFile: "f", TokenURL: "https://i"}
		}, "keep one"},
		"bearer without client":    {func(c *config.Config) { c.Kafka.SASL = config.SASL{Mechanism: "OAUTHBEARER", TokenURL: "https://i/t"} }, "kafka.sasl.client_id: is needed"},
		"half a certificate":       {func(c *config.Config) { c.Kafka.TLS.Enabled, c.Kafka.TLS.CertFile = true, "c.pem" }, "belong together"},
		"unused certificate":       {func(c *config.Config) { c.Kafka.TLS.CAFile = "c.pem" }, "kafka.tls: is set but would be ignored"},
		"s3 without scheme":        {func(c *config.Config) { c.S3.Endpoint = "s3.example:9000" }, "s3.endpoint: is not an http:// or https:// address"},
		"s3 with path":             {func(c *config.Config) { c.S3.Endpoint = "http://s3.example/bucket" }, "must not hold a path"},
		"s3 password in address":   {func(c *config.Config) { c.S3.Endpoint = "http://u:p@s3.example" }, "must not hold a user"},
		"s3 without keys":          {func(c *config.Config) { c.S3.Endpoint = "http://s3.example" }, "s3.access_key: is needed"},
		"s3 with unused key":       {func(c *config.Config) { c.S3.Endpoint, c.S3.Credentials, c.S3.SecretKey = "http://s3", "env", secret }, "s3.secret_key: is set but would be ignored"},
		"bucket":                   {func(c *config.Config) { c.S3.Endpoint, c.S3.Bucket = "http://s3", "Big_Bucket" }, "not a bucket name"},
		"prefix":                   {func(c *config.Config) { c.S3.Prefix = "/a/" }, "begin or end with a slash"},
		"database":                 {func(c *config.Config) { c.ClickHouse.Database = "a;b" }, "clickhouse.database"},
		"clickhouse password":      {func(c *config.Config) { c.ClickHouse.Password = secret }, "clickhouse.url is not set"},
		"clickhouse native":        {func(c *config.Config) { c.ClickHouse.URL = "clickhouse://h:9000" }, "not an http://"},
		"memory":                   {func(c *config.Config) { c.Archive.Memory.Bytes = 32 * config.MiB }, "less than archive.cut.bytes"},
		"min bytes":                {func(c *config.Config) { c.Archive.Cut.MinBytes = 65 * config.MiB }, "more than archive.cut.bytes"},
		"group":                    {func(c *config.Config) { c.Archive.Group = "" }, "archive.group"},
		"hours of retention":       {func(c *config.Config) { c.Index.Retention = config.Duration(3_600e9) }, "less than a day"},
		"position topic":           {func(c *config.Config) { c.Replay.PositionTopic = "a b" }, "not a topic name"},
		"sandbox":                  {func(c *config.Config) { c.Replay.SandboxPrefix = "" }, "not the beginning of a topic name"},
		"replication":              {func(c *config.Config) { c.Replay.PositionReplication = 0 }, "not a replication factor"},
		"host with port":           {func(c *config.Config) { c.Web.AllowedHosts = []string{"a.example:80"} }, "without scheme and port"},
		"control characters":       {func(c *config.Config) { c.Kafka.ClientID = "a\nb" }, "control characters"},
		"long text":                {func(c *config.Config) { c.Kafka.ClientID = strings.Repeat("a", 5000) }, "longer than 4096"},
		"traces with headers only": {func(c *config.Config) { c.Telemetry.OTLP.Headers = config.NewSecret("a=b") }, "telemetry.otlp.endpoint is not set"},
		"traces without scheme":    {func(c *config.Config) { c.Telemetry.OTLP.Endpoint = "collector:4318" }, "telemetry.otlp.endpoint: is not an http://"},
		"traces with odd headers": {func(c *config.Config) {
			c.Telemetry.OTLP.Endpoint, c.Telemetry.OTLP.Headers = "http://c:4318/x", config.NewSecret("u:p@x")
		}, "telemetry.otlp.headers: are not name=value"},
		"no series":         {func(c *config.Config) { c.Metrics.Partitions.Max = 0 }, "below 1"},
		"embedded for all":  {func(c *config.Config) { c.Embedded.KafkaListen = "0.0.0.0:1" }, "for this machine only"},
		"dead letter topic": {func(c *config.Config) { c.Archive.DeadLetters.Topic = "a b" }, "not a topic name"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			c.change(&cfg)
			_, err := cfg.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "u:p@") {
				t.Errorf("shows a password: %v", err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"open listener": {func(c *config.Config) { c.Web = config.Web{Listen: "0.0.0.0:80", AllowedHosts: []string{"a.example"}} }, "there is no login"},
		"plain over the network": {func(c *config.Config) {
			c.Kafka.Brokers = []string{"b:9092"}
			c.Kafka.SASL = config.SASL{Mechanism: "PLAIN", Username: "u", Password: config.NewSecret("p")}
		}, "readable over the network"},
		"clickhouse password over the network": {func(c *config.Config) {
			c.ClickHouse.URL, c.ClickHouse.Password = "http://ch:8123", config.NewSecret("p")
		}, "use https"},
	} {
		cfg := config.Default()
		c.change(&cfg)
		warnings, err := cfg.Validate()
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), c.want) {
			t.Errorf("%s: warnings %v, err %v", name, warnings, err)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "127.1.2.3:80": true, "[::1]:80": true, "localhost:80": true, "localhost": true, "::ffff:127.0.0.1": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "localhost.evil.example:80": false, "": false,
	} {
		if got := config.Loopback(address); got != want {
			t.Errorf("Loopback(%q) = %v", address, got)
		}
	}
}
