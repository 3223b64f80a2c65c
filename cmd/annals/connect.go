package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/index"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// kafkaOptions turns the configuration into the Kafka client's options.
func kafkaOptions(c config.Kafka, logger *slog.Logger) (kafka.Options, error) {
	o := kafka.Options{
		Brokers: c.Brokers, ClientID: c.ClientID, MetadataMaxAge: c.MetadataMaxAge.Std(), Logger: logger,
		SASL: kafka.SASL{Mechanism: c.SASL.Mechanism, Username: c.SASL.Username, Password: c.SASL.Password.Reveal()},
	}
	switch c.SASL.Mechanism {
	case "none":
		o.SASL.Mechanism = ""
	case "OAUTHBEARER":
		o.SASL.Token = tokenSource(c.SASL)
	}
	if c.TLS.Enabled {
		tlsConfig, err := tlsConfig(c.TLS.TLSFiles)
		if err != nil {
			return o, fmt.Errorf("kafka.tls: %w", err)
		}
		o.TLS = tlsConfig
	}
	return o, nil
}

// tokenSource reads a token file anew at every authentication, or asks a token
// endpoint by the client credentials grant (RFC 6749, section 4.4).
func tokenSource(c config.SASL) func(context.Context) (string, error) {
	if c.TokenFile != "" {
		return func(context.Context) (string, error) {
			raw, err := os.ReadFile(c.TokenFile)
			if err != nil {
				return "", fmt.Errorf("read kafka.sasl.token_file: %w", err)
			}
			return strings.TrimSpace(string(raw)), nil
		}
	}
	grant := clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), TokenURL: c.TokenURL}
	if c.Scope != "" {
		grant.Scopes = strings.Fields(c.Scope)
	}
	source := grant.TokenSource(context.Background()) // keeps the token until it expires
	return func(context.Context) (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", fmt.Errorf("ask kafka.sasl.token_url for a token: %w", err)
		}
		return token.AccessToken, nil
	}
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
		if transport.TLSClientConfig, err = tlsConfig(c.TLS); err != nil {
			return nil, fmt.Errorf("s3.tls: %w", err)
		}
	}
	o.Transport = transport
	return objstore.Open(o)
}

// openIndex opens the index.
func openIndex(c config.ClickHouse, x config.Index, logger *slog.Logger) (*index.Index, error) {
	address, err := url.Parse(c.URL)
	if err != nil {
		return nil, schema.InvalidField("clickhouse.url", "clickhouse.url: %w", err)
	}
	o := index.Options{
		Addr: address.Host, Database: c.Database, User: c.User, Password: c.Password.Reveal(),
		Partition: x.Partition, Retention: x.Retention.Std(), MergeIdle: x.MergeIdle.Std(), Logger: logger,
	}
	if address.Scheme == "https" {
		if o.TLS, err = tlsConfig(c.TLS); err != nil {
			return nil, fmt.Errorf("clickhouse.tls: %w", err)
		}
	}
	return index.Open(o)
}

// tlsConfig reads PEM files. The server's certificate is always verified.
func tlsConfig(files config.TLSFiles) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: files.ServerName}
	if files.CAFile != "" {
		pem, err := os.ReadFile(files.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, schema.InvalidField("ca_file", "%s holds no PEM certificate", files.CAFile)
		}
	}
	if files.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// topicFilter tells which topics the patterns choose.
func topicFilter(c config.Topics) (func(string) bool, error) {
	compile := func(patterns []string) ([]*regexp.Regexp, error) {
		var list []*regexp.Regexp
		for _, pattern := range patterns {
			re, err := regexp.Compile("^(?:" + pattern + ")$")
			if err != nil {
				return nil, schema.InvalidField("kafka.topics", "pattern %q: %w", pattern, err)
			}
			list = append(list, re)
		}
		return list, nil
	}
	include, err := compile(c.Include)
	if err != nil {
		return nil, err
	}
	exclude, err := compile(c.Exclude)
	if err != nil {
		return nil, err
	}
	any := func(list []*regexp.Regexp, name string) bool {
		for _, re := range list {
			if re.MatchString(name) {
				return true
			}
		}
		return false
	}
	return func(name string) bool { return any(include, name) && !any(exclude, name) }, nil
}
