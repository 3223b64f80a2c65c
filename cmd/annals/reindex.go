package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/schema"
)

// reindexCommand is annals reindex.
type reindexCommand struct {
	settings
	DataDir string `placeholder:"DIR" help:"Take the engines of the annals up that runs on this data folder."`
}

// Run implements kong's command.
func (c *reindexCommand) Run(ctx context.Context, in *invocation) (err error) {
	cfg, log, err := c.load(in, func(cfg *config.Config) {
		if c.DataDir != "" {
			err = useUpFile(c.DataDir, cfg)
		}
	})
	if err != nil {
		return err
	}
	if err := cfg.RequireEngines(); err != nil {
		return schema.WithHint(err, "annals reindex --data-dir DIR uses the engines of a running annals up")
	}
	p, err := connect(cfg, log)
	if err != nil {
		return err
	}
	defer both(&err, p.close)
	if err := p.index.Migrate(ctx); err != nil {
		return err
	}
	began := time.Now()
	say := newProgress(in.err)
	done, damaged, err := archiver.Reindex(ctx, p.store, p.book, p.index, p.rules, log, func(at archiver.ReindexProgress) {
		say.at(at.Offsets, at.Total, fmt.Sprintf("%d of %d partitions, %d segments, %d records", at.Streams, at.Chains, at.Segments, at.Records))
	})
	say.end()
	took := time.Since(began)
	fmt.Fprintf(in.out, "reindexed %d records of %d segments in %d streams in %s", done.Records, done.Segments, done.Streams, took.Round(time.Millisecond))
	if done.Records > 0 {
		fmt.Fprintf(in.out, " (%.1f s a million)", took.Seconds()*1e6/float64(done.Records))
	}
	fmt.Fprintln(in.out)
	for _, d := range damaged {
		at := fmt.Sprintf("%s/%d, commit %d", d.Stream.Topic, d.Stream.Partition, d.Seq)
		if d.Seq < 0 {
			at = schema.LedgerStreamPrefix(d.Stream)
		}
		fmt.Fprintf(in.err, "not indexed: %s: %v\n", at, d.Err)
	}
	if err == nil && len(damaged) > 0 {
		err = schema.WithHint(schema.Errorf(schema.Corrupt, "%d commits or chains are damaged and could not be indexed; all others are", len(damaged)),
			"annals verify --archive says what is damaged; bring those objects back from a copy, and reindex again")
	}
	return err
}

// useUpFile takes the engines that a running annals up has written down.
func useUpFile(dir string, cfg *config.Config) error {
	up, err := embedded.ReadUpFile(dir)
	if err != nil {
		return err
	}
	if up.ClickHouse == nil {
		return schema.Errorf(schema.Unavailable, "the annals up on %s has no index", dir)
	}
	cfg.Kafka.Brokers = up.Kafka.Brokers
	if up.Kafka.Mechanism != "" {
		cfg.Kafka.SASL = config.SASL{Mechanism: up.Kafka.Mechanism, Username: up.Kafka.User, Password: config.NewSecret(up.Kafka.Password)}
	}
	cfg.S3.Endpoint, cfg.S3.Region, cfg.S3.Bucket, cfg.S3.Prefix = up.S3.Endpoint, up.S3.Region, up.S3.Bucket, up.S3.Prefix
	if up.S3.AccessKey != "" {
		cfg.S3.AccessKey, cfg.S3.SecretKey = up.S3.AccessKey, config.NewSecret(up.S3.SecretKey)
	}
	cfg.ClickHouse.URL, cfg.ClickHouse.Database, cfg.ClickHouse.User = up.ClickHouse.URL, up.ClickHouse.Database, up.ClickHouse.User
	if up.ClickHouse.Password != "" {
		cfg.ClickHouse.Password = config.NewSecret(up.ClickHouse.Password)
	}
	return nil
}
