package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// reindexCommand is annals reindex.
type reindexCommand struct {
	settings
	DataDir string   `placeholder:"DIR" help:"Take the engines of the annals up that runs on this data folder."`
	Topic   []string `placeholder:"NAME" help:"Only this topic; in a pattern, * stands for any characters and ? for one. Repeatable."`
	From    string   `placeholder:"TIME" help:"Of what the index has under this version's rules, read again only segments with records from then on: 2024-03-01 or 2024-03-01T10:00:00Z."`
}

// Run implements kong's command.
func (c *reindexCommand) Run(ctx context.Context, in *invocation) (err error) {
	options, err := c.options()
	if err != nil {
		return err
	}
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
	options.Progress = func(at archiver.ReindexProgress) {
		say.at(at.Offsets, at.Total, fmt.Sprintf("%d of %d partitions, %d segments, %d records", at.Streams, at.Chains, at.Segments, at.Records))
	}
	done, damaged, err := archiver.Reindex(ctx, p.store, p.book, p.index, p.rules, log, options)
	say.end()
	if err == nil && done.Chains == 0 && len(damaged) == 0 && len(c.Topic) > 0 {
		return schema.Errorf(schema.NotFound, "reindex: no topic that is archived matches %s", strings.Join(c.Topic, ", "))
	}
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
	if err != nil {
		return err
	}
	if err := c.settle(ctx, in, p); err != nil {
		return err
	}
	return notIndexed(damaged)
}

// notIndexed says what has to be done about commits or chains that could not be
// indexed.
func notIndexed(left []archiver.Damage) error {
	shared := 0
	for _, d := range left {
		if schema.KindOf(d.Err) == schema.Conflict {
			shared++
		}
	}
	switch {
	case len(left) == 0:
		return nil
	case shared == len(left):
		return schema.WithHint(schema.Errorf(schema.Conflict, "%d chains have a topic ID that belongs to another cluster and were not indexed; all others are", shared), ledger.OwnPrefix)
	default:
		return schema.WithHint(schema.Errorf(schema.Corrupt, "%d commits or chains are damaged and could not be indexed; all others are", len(left)-shared),
			"annals verify --archive says what is damaged; bring those objects back from a copy, and reindex again")
	}
}

// options reads what the flags choose.
func (c *reindexCommand) options() (o archiver.ReindexOptions, err error) {
	if o.Topics, err = matching(c.Topic); err != nil {
		return o, err
	}
	from, err := parseTime("--from", c.From)
	if from != nil {
		o.From = *from
	}
	return o, err
}

// matching tells whether a topic has one of some names or patterns; nil where
// there are none: all have.
func matching(patterns []string) (func(topic string) bool, error) {
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, schema.InvalidField("topic", "topic %q: want a name or a pattern", pattern)
		}
	}
	if len(patterns) == 0 {
		return nil, nil
	}
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			match, err := path.Match(pattern, name)
			return err == nil && match
		})
	}, nil
}

// settle waits a while until the rows of earlier rules are gone. They count
// nowhere; they only take space.
func (c *reindexCommand) settle(ctx context.Context, in *invocation, p *parts) error {
	const patience = 30 * time.Second
	for until := time.Now().Add(patience); ; {
		left, err := p.index.Deleting(ctx)
		if err != nil || left == 0 {
			return err
		}
		if time.Now().After(until) {
			_, err := fmt.Fprintf(in.out, "ClickHouse is still deleting rows of earlier rules (%d deletions); they count nowhere\n", left)
			return err
		}
		if err := retry.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
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
