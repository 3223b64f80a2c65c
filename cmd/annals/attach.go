package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// attaching are the flags of commands that ask the engines themselves: those
// of the configuration, and for what it does not name those of a running
// annals up.
type attaching struct {
	settings
	DataDir string `placeholder:"DIR" help:"Data folder of a running annals up, whose embedded engines stand for what is not configured (annals-data)."`
	JSON    bool   `help:"Print JSON."`
}

// attach makes the clients. noIndex says why a running annals up has no index;
// nil where there is one, or should be.
func (a attaching) attach(in *invocation) (p *parts, noIndex, err error) {
	cfg, log, err := a.load(in, func(c *config.Config) {
		if a.DataDir != "" {
			c.Embedded.DataDir = a.DataDir
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if noIndex, err = fromUp(&cfg); err != nil {
		return nil, nil, err
	}
	if a.LogLevel == "" { // what the clients have to say is in the report
		if log, err = telemetry.NewLogger(in.err, "error", cfg.Log.Format); err != nil {
			return nil, nil, err
		}
	}
	p, err = connect(cfg, log)
	return p, noIndex, err
}

// fromUp fills what is not configured with the engines that a running annals
// up has embedded.
func fromUp(cfg *config.Config) (noIndex, err error) {
	missing := cfg.RequireEngines()
	if missing == nil {
		return nil, nil
	}
	up, err := embedded.ReadUpFile(cfg.Embedded.DataDir)
	if errors.Is(err, embedded.ErrNotUp) || errors.Is(err, embedded.ErrStaleUpFile) {
		return nil, schema.Errorf(schema.Invalid, "%w; name them with --config, or a running annals up with --data-dir: %w", missing, err)
	}
	if err != nil {
		return nil, err
	}
	var own []string
	if !cfg.Kafka.Configured() {
		if !up.Kafka.Embedded {
			own = append(own, "Kafka")
		}
		takeKafka(cfg, up)
	}
	if !cfg.S3.Configured() {
		if !up.S3.Embedded {
			own = append(own, "object store")
		}
		takeStore(cfg, up)
	}
	switch {
	case cfg.ClickHouse.Configured():
	case up.ClickHouse == nil:
		_, why := embedded.FindClickHouseLibrary()
		noIndex = errors.Join(errors.New("this annals up has no index"), why)
		cfg.ClickHouse.URL = "http://127.0.0.1:9"
	default:
		if !up.ClickHouse.Embedded {
			own = append(own, "ClickHouse")
		}
		takeIndex(cfg, up)
	}
	if len(own) > 0 {
		return nil, schema.WithHint(
			schema.Errorf(schema.Invalid, "annals up on %s uses your own %s, whose credentials up.json does not hold", cfg.Embedded.DataDir, strings.Join(own, ", ")),
			fmt.Sprintf("give the configuration that annals up got, with --config (and --data-dir %s)", cfg.Embedded.DataDir))
	}
	return noIndex, nil
}

// bucket opens the archive's store, and needs no other engine. A folder that is
// named is that of the annals up whose bucket it is.
func (s settings) bucket(in *invocation, dataDir string) (*objstore.Store, config.Config, *slog.Logger, error) {
	cfg, log, err := s.load(in, func(cfg *config.Config) {
		if dataDir != "" {
			cfg.Embedded.DataDir = dataDir
		}
	})
	if err == nil && s.LogLevel == "" { // what the client has to say is in the report
		log, err = telemetry.NewLogger(in.err, "error", cfg.Log.Format)
	}
	if err != nil {
		return nil, cfg, nil, err
	}
	if err := namedBucket(&cfg); err != nil {
		return nil, cfg, nil, err
	}
	store, err := openStore(cfg.S3, log)
	return store, cfg, log, err
}

// namedBucket takes the bucket of a running annals up where none is configured.
func namedBucket(cfg *config.Config) error {
	if !cfg.S3.Configured() {
		up, err := embedded.ReadUpFile(cfg.Embedded.DataDir)
		switch {
		case errors.Is(err, embedded.ErrNotUp), errors.Is(err, embedded.ErrStaleUpFile):
			return schema.WithHint(schema.Errorf(schema.Invalid, "no bucket is named, and %w", err), "name it with s3 in a --config, or start annals up on its data folder")
		case err != nil:
			return err
		case !up.S3.Embedded:
			return schema.WithHint(schema.Errorf(schema.Invalid, "annals up on %s uses your own object store, whose credentials up.json does not hold", cfg.Embedded.DataDir),
				"give the configuration that annals up got, with --config")
		}
		takeStore(cfg, up)
	}
	return nil
}

// takeKafka, takeStore and takeIndex take an engine of a running annals up. Of one
// that is the user's own up.json has no credentials: the configuration's stay.
func takeKafka(cfg *config.Config, up embedded.UpFile) {
	cfg.Kafka.Brokers = up.Kafka.Brokers
	if up.Kafka.Mechanism != "" {
		cfg.Kafka.SASL = config.SASL{Mechanism: up.Kafka.Mechanism, Username: up.Kafka.User, Password: config.NewSecret(up.Kafka.Password)}
	}
}

func takeStore(cfg *config.Config, up embedded.UpFile) {
	cfg.S3.Endpoint, cfg.S3.Region, cfg.S3.Bucket, cfg.S3.Prefix = up.S3.Endpoint, up.S3.Region, up.S3.Bucket, up.S3.Prefix
	if up.S3.AccessKey != "" {
		cfg.S3.Credentials, cfg.S3.AccessKey, cfg.S3.SecretKey = "static", up.S3.AccessKey, config.NewSecret(up.S3.SecretKey)
	}
}

func takeIndex(cfg *config.Config, up embedded.UpFile) {
	cfg.ClickHouse.URL, cfg.ClickHouse.Database, cfg.ClickHouse.User = up.ClickHouse.URL, up.ClickHouse.Database, up.ClickHouse.User
	if up.ClickHouse.Password != "" {
		cfg.ClickHouse.Password = config.NewSecret(up.ClickHouse.Password)
	}
}

// matching tells whether a topic has one of some names or matches one of some
// patterns; nil where there are none: all do.
func matching(patterns []string) (func(topic string) bool, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	topics, err := policy.Topics(patterns...)
	if err != nil {
		return nil, schema.InvalidField("topic", "%w", err)
	}
	return topics.Allows, nil
}
