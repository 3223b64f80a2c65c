package config

import (
	"strings"

	"github.com/fx-risk-ai/annals/schema"
)

// Configured reports whether a Kafka cluster is named.
func (k Kafka) Configured() bool { return len(k.Brokers) > 0 }

// Configured reports whether an object store is named.
func (s S3) Configured() bool { return s.Endpoint != "" }

// Configured reports whether a ClickHouse server is named.
func (h ClickHouse) Configured() bool { return h.URL != "" }

// HeaderValues gives the headers by name. The error names no value.
func (o OTLP) HeaderValues() (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(o.Headers.Reveal(), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " :\t") {
			return nil, schema.InvalidField("telemetry.otlp.headers", "a header is not name=value")
		}
		headers[name] = strings.TrimSpace(value)
	}
	return headers, nil
}

// RequireEngines returns an error unless Kafka, the object store and ClickHouse
// are all configured: annals archive and annals serve embed nothing.
func (c *Config) RequireEngines() error {
	var missing []string
	if !c.Kafka.Configured() {
		missing = append(missing, "kafka.brokers")
	}
	if !c.S3.Configured() {
		missing = append(missing, "s3.endpoint")
	}
	if !c.ClickHouse.Configured() {
		missing = append(missing, "clickhouse.url")
	}
	if len(missing) == 0 {
		return nil
	}
	return schema.Errorf(schema.Invalid, "not set: %s; this command uses your own engines (annals up brings embedded ones)", strings.Join(missing, ", "))
}
