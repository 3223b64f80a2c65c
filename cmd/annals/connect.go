package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/extract"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/registry"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// kafkaOptions turns the configuration into the Kafka client's options; section is where
// it says so.
func kafkaOptions(section string, c config.Kafka, logger *slog.Logger) (kafka.Options, error) {
	o := kafka.Options{
		Brokers: c.Brokers, ClientID: c.ClientID, MetadataMaxAge: c.MetadataMaxAge.Std(), Logger: logger,
		SASL: kafka.SASL{Mechanism: c.SASL.Mechanism, Username: c.SASL.Username, Password: c.SASL.Password.Reveal()},
	}
	switch c.SASL.Mechanism {
	case "none":
		o.SASL.Mechanism = ""
	case "OAUTHBEARER":
		o.SASL.Token = kafka.ClientCredentials(c.SASL.TokenURL, c.SASL.ClientID, c.SASL.ClientSecret.Reveal(), c.SASL.Scope)
		if c.SASL.TokenFile != "" {
			o.SASL.Token = kafka.TokenFile(c.SASL.TokenFile)
		}
	}
	if c.TLS.Enabled {
		var err error
		if o.TLS, err = c.TLS.Load(); err != nil {
			return o, fmt.Errorf("%s.tls: %w", section, err)
		}
	}
	return o, nil
}

// openStore opens the object store.
func openStore(c config.S3, logger *slog.Logger) (*objstore.Store, error) {
	address, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, schema.InvalidField("s3.endpoint", "s3.endpoint: %w", err)
	}
	o := objstore.Options{
		Endpoint: address.Host, Secure: address.Scheme == "https", Region: c.Region, Bucket: c.Bucket, Prefix: c.Prefix,
		PathStyle:   c.Addressing == "path" || c.Addressing == "auto" && !strings.HasSuffix(address.Hostname(), ".amazonaws.com"),
		Credentials: c.Credentials, AccessKey: c.AccessKey, SecretKey: c.SecretKey.Reveal(),
		Timeout: c.RequestTimeout.Std(), Logger: logger,
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = c.ConnectionLimit, c.ConnectionLimit
	if o.Secure {
		if transport.TLSClientConfig, err = c.TLS.Load(); err != nil {
			return nil, fmt.Errorf("s3.tls: %w", err)
		}
	}
	o.Transport = transport
	return objstore.Open(o)
}

// openTracer begins to send traces; nil where none are wanted.
func openTracer(c config.OTLP, instance string, logger *slog.Logger) (*telemetry.Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	headers, err := c.HeaderValues()
	if err != nil {
		return nil, err
	}
	o := telemetry.TraceOptions{
		Endpoint: c.Endpoint, Headers: headers, Share: float64(c.Sampling) / 100,
		Instance: instance, Build: telemetry.Version(), Logger: logger,
	}
	if strings.HasPrefix(c.Endpoint, "https:") {
		if o.TLS, err = c.TLS.Load(); err != nil {
			return nil, fmt.Errorf("telemetry.otlp.tls: %w", err)
		}
	}
	return telemetry.NewTracer(context.Background(), o)
}

// openIndex opens the index.
func openIndex(cfg *config.Config, logger *slog.Logger) (*index.Index, error) {
	c, x := cfg.ClickHouse, cfg.Index
	address, err := url.Parse(c.URL)
	if err != nil {
		return nil, schema.InvalidField("clickhouse.url", "clickhouse.url: %w", err)
	}
	o := index.Options{
		Addr: address.Host, Database: c.Database, User: c.User, Password: c.Password.Reveal(),
		Partition: x.Partition, Retention: x.Retention.Std(), MergeIdle: x.MergeIdle.Std(), Logger: logger,
	}
	o.Given.Partition, o.Given.Retention, o.Given.MergeIdle = cfg.Given("index.partition"), cfg.Given("index.retention"), cfg.Given("index.merge_idle")
	if address.Scheme == "https" {
		if o.TLS, err = c.TLS.Load(); err != nil {
			return nil, fmt.Errorf("clickhouse.tls: %w", err)
		}
	}
	return index.Open(o)
}

// openSchemas makes what decodes payloads that name a schema; nil where neither
// a registry is configured nor what is archived of one.
func (p *parts) openSchemas(c config.Schemas) (extract.Decoder, error) {
	if c.URL == "" && !c.Archived {
		return nil, nil
	}
	o := registry.Options{Store: p.store, Name: c.Name, Timeout: c.Timeout.Std(), Logger: p.log.With("component", "schemas")}
	if c.URL != "" {
		connection := registry.Connection{URL: c.URL, User: c.Username, Password: c.Password.Reveal()}
		if strings.HasPrefix(c.URL, "https:") {
			var err error
			if connection.TLS, err = c.TLS.Load(); err != nil {
				return nil, fmt.Errorf("schemas.tls: %w", err)
			}
		}
		client, err := registry.Connect(connection)
		if err != nil {
			return nil, err
		}
		p.closers = append(p.closers, client.Close)
		o.Fetcher = client
	}
	return registry.NewDecoder(o), nil
}
