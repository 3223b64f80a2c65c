package main

import (
	"context"
	"errors"
	"fmt"
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
	DataDir   string   `placeholder:"DIR" help:"Take the engines of the annals up that runs on this data folder."`
	Topic     []string `placeholder:"NAME" help:"Only this topic; in a pattern, * stands for any characters and ? for one. Repeatable."`
	Undecoded bool     `help:"Only topics with records whose schema the registry did not give when they were read (schema:unavailable), from the first of them on."`
	From      string   `placeholder:"TIME" help:"Of what the index has under this version's rules, read again only segments with records from then on: 2024-03-01 or 2024-03-01T10:00:00Z."`
}

// Run implements kong's command.
func (c *reindexCommand) Run(ctx context.Context, in *invocation) (err error) {
	options, err := c.options()
	if err != nil {
		return err
	}
	var down error
	cfg, log, err := c.load(in, func(cfg *config.Config) {
		if c.DataDir != "" {
			down = useUpFile(c.DataDir, cfg)
		}
	})
	if err := errors.Join(down, err); err != nil {
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
	if c.Undecoded {
		if none, err := c.narrow(ctx, in, p, &options); none || err != nil {
			return err
		}
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
	if c.Undecoded {
		if err := stillUndecoded(ctx, p, options.Topics); err != nil {
			return err
		}
	}
	return notIndexed(damaged)
}

// narrow leaves the topics and the time of records that were not decoded; none
// tells that there are none.
func (c *reindexCommand) narrow(ctx context.Context, in *invocation, p *parts, options *archiver.ReindexOptions) (none bool, err error) {
	if p.cfg.Schemas.URL == "" && !p.cfg.Schemas.Archived {
		return false, schema.WithHint(schema.InvalidField("undecoded", "--undecoded: no registry is configured that could give a schema now"), "set schemas.url, or schemas.archived")
	}
	u, err := archiver.FindUndecoded(ctx, p.index, options.Topics)
	if err != nil {
		return false, err
	}
	if u.Records == 0 && !u.Cut {
		fmt.Fprintln(in.out, "no sealed record waits for its schema")
		return true, nil
	}
	fmt.Fprintf(in.out, "%d records since %s wait for their schemas, in %s\n", u.Records, u.First.Format(time.RFC3339), strings.Join(u.Topics, ", "))
	options.From, options.Topics = u.First, func(topic string) bool { return slices.Contains(u.Topics, topic) }
	return false, nil
}

// stillUndecoded is an error where records wait for their schemas as before.
func stillUndecoded(ctx context.Context, p *parts, topics func(string) bool) error {
	u, err := archiver.FindUndecoded(ctx, p.index, topics)
	if err != nil || u.Records == 0 && !u.Cut {
		return err
	}
	return schema.WithHint(schema.Errorf(schema.Unavailable, "%d records still wait for their schemas", u.Records),
		"the log says what the registry answered; run it again once it gives them, or where more were left than one run looks at")
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
	if c.Undecoded && c.From != "" {
		return o, schema.InvalidField("from", "--from: --undecoded begins with the first record that was not decoded")
	}
	from, err := parseTime("--from", c.From)
	if from != nil {
		o.From = *from
	}
	return o, err
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
	takeKafka(cfg, up)
	takeStore(cfg, up)
	takeIndex(cfg, up)
	return nil
}
