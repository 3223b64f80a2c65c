package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// engines are the embedded engines that annals up has started, for whatever
// the configuration does not point elsewhere.
type engines struct {
	lock       *embedded.DataDirLock
	kafka      *embedded.Kafka
	store      *embedded.S3
	clickhouse *embedded.ClickHouse
	noIndex    error // why there is no embedded ClickHouse
	closers    []func() error
}

// startEngines starts what is not configured and writes its addresses and
// credentials into cfg, so that the rest of the program sees engines like any
// other. On an error what was started is stopped.
func startEngines(ctx context.Context, in *invocation, cfg *config.Config, logger *slog.Logger) (_ *engines, err error) {
	dir := cfg.Embedded.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	e := &engines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.lock, err = embedded.LockDataDir(dir); err != nil {
		return nil, err
	}
	if e.lock.Unclean() {
		line(in.err, "The last run in "+dir+" was not stopped cleanly: what it wrote last is read again and compared with the archive. Recovering …")
	}
	if err := embedded.RemoveUpFile(dir); err != nil { // of a run that ended without cleaning up
		return nil, err
	}
	secrets, err := embedded.LoadOrCreateCredentials(dir)
	if err != nil {
		return nil, err
	}
	if err := e.startKafka(ctx, cfg, secrets, logger); err != nil {
		return nil, err
	}
	if err := e.startStore(ctx, cfg, secrets, logger); err != nil {
		return nil, err
	}
	return e, e.startClickHouse(ctx, cfg, secrets, logger)
}

func (e *engines) startKafka(ctx context.Context, cfg *config.Config, secrets embedded.Credentials, logger *slog.Logger) (err error) {
	if cfg.Kafka.Configured() {
		return nil
	}
	e.kafka, err = embedded.StartKafka(ctx, embedded.KafkaOptions{
		Listen: cfg.Embedded.KafkaListen, DataDir: filepath.Join(cfg.Embedded.DataDir, "kafka"),
		User: secrets.Kafka.User, Password: secrets.Kafka.Password, Logger: logger,
	})
	if err != nil {
		return named(err, "--kafka-listen", "embedded.kafka_listen")
	}
	e.closers = append(e.closers, e.kafka.Close)
	cfg.Kafka.Brokers = []string{e.kafka.Addr()}
	cfg.Kafka.MetadataMaxAge = min(cfg.Kafka.MetadataMaxAge, config.Duration(2*time.Second)) // nothing is far away here
	cfg.Kafka.SASL = config.SASL{
		Mechanism: "SCRAM-SHA-256", Username: secrets.Kafka.User, Password: config.NewSecret(secrets.Kafka.Password),
	}
	return nil
}

func (e *engines) startStore(ctx context.Context, cfg *config.Config, secrets embedded.Credentials, logger *slog.Logger) (err error) {
	if cfg.S3.Configured() {
		return nil
	}
	e.store, err = embedded.StartS3(ctx, embedded.S3Options{
		Listen: cfg.Embedded.S3Listen, DataDir: filepath.Join(cfg.Embedded.DataDir, "s3"),
		AccessKey: secrets.S3.AccessKey, SecretKey: secrets.S3.SecretKey, Bucket: cfg.S3.Bucket, Logger: logger,
	})
	if err != nil {
		return named(err, "--s3-listen", "embedded.s3_listen")
	}
	e.closers = append(e.closers, e.store.Close)
	cfg.S3.Endpoint, cfg.S3.Region = "http://"+e.store.Endpoint(), e.store.Region()
	cfg.S3.Credentials, cfg.S3.AccessKey = "static", secrets.S3.AccessKey
	cfg.S3.SecretKey = config.NewSecret(secrets.S3.SecretKey)
	return nil
}

// startClickHouse starts the index's engine. Without the library everything
// but search works, so that is no error here.
func (e *engines) startClickHouse(ctx context.Context, cfg *config.Config, secrets embedded.Credentials, logger *slog.Logger) (err error) {
	if cfg.ClickHouse.Configured() {
		return nil
	}
	e.clickhouse, err = embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{
		DataDir: filepath.Join(cfg.Embedded.DataDir, "clickhouse"), Listen: cfg.Embedded.ClickHouseListen,
		User: secrets.ClickHouse.User, Password: secrets.ClickHouse.Password, Logger: logger,
	})
	switch {
	case errors.Is(err, embedded.ErrNoClickHouseEngine):
		e.noIndex = err
		cfg.ClickHouse.URL = "http://127.0.0.1:9" // the discard port: every call fails at once, and Health says so
		return nil
	case err != nil:
		return named(err, "--clickhouse-listen", "embedded.clickhouse_listen")
	}
	e.closers = append(e.closers, e.clickhouse.Close)
	cfg.ClickHouse.URL, cfg.ClickHouse.User = "http://"+e.clickhouse.Addr(), secrets.ClickHouse.User
	cfg.ClickHouse.Password = config.NewSecret(secrets.ClickHouse.Password)
	return nil
}

// named says which flag and setting choose an address that is taken.
func named(err error, flag, option string) error {
	if errors.Is(err, embedded.ErrPortInUse) {
		return schema.WithHint(err, fmt.Sprintf("stop what listens there, or choose another address with %s (%s); port 0 picks a free one", flag, option))
	}
	return err
}

// close stops the engines, the last first, and gives the data folder back.
func (e *engines) close() error {
	var errs []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		errs = append(errs, e.closers[i]())
	}
	e.closers = nil
	if e.lock != nil {
		errs = append(errs, e.lock.Unlock())
		e.lock = nil
	}
	return errors.Join(errs...)
}

// upFile says where everything is, for scripts and clients.
func (e *engines) upFile(cfg config.Config, webURL string) embedded.UpFile {
	up := embedded.UpFile{
		Version: telemetry.Version().String(), PID: os.Getpid(), StartedAt: time.Now().UTC(), Web: webURL,
		Kafka: embedded.UpKafka{Embedded: e.kafka != nil, Brokers: cfg.Kafka.Brokers},
		S3: embedded.UpS3{
			Embedded: e.store != nil, Endpoint: cfg.S3.Endpoint, Region: cfg.S3.Region, Bucket: cfg.S3.Bucket, Prefix: cfg.S3.Prefix,
		},
	}
	if e.kafka != nil {
		up.Kafka.ClusterID, up.Kafka.Mechanism = e.kafka.ClusterID(), cfg.Kafka.SASL.Mechanism
		up.Kafka.User, up.Kafka.Password = e.kafka.User(), e.kafka.Password()
	}
	if e.store != nil {
		up.S3.AccessKey, up.S3.SecretKey = e.store.AccessKey(), e.store.SecretKey()
	}
	if e.noIndex == nil {
		up.ClickHouse = &embedded.UpClickHouse{
			Embedded: e.clickhouse != nil, URL: cfg.ClickHouse.URL, Database: cfg.ClickHouse.Database, User: cfg.ClickHouse.User,
		}
		if e.clickhouse != nil {
			up.ClickHouse.Password = cfg.ClickHouse.Password.Reveal()
		}
	}
	return up
}
