package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/schema"
)

// lookAgain is how long after a first look what differed is looked at again.
const lookAgain = 5 * time.Second

// verifyIndex holds the index against the archive. Exit codes: 0 equal, 1 different,
// 3 indeterminate, 4 usage.
func (c *verifyCommand) verifyIndex(ctx context.Context, in *invocation) (err error) {
	topics, err := matching(c.Topic)
	if err != nil {
		return err
	}
	var down error
	cfg, log, err := c.load(in, func(cfg *config.Config) {
		dir := c.DataDir
		if dir == "" && !cfg.S3.Configured() {
			dir = cfg.Embedded.DataDir
		}
		if dir != "" {
			down = useUpFile(dir, cfg)
		}
	})
	if err := errors.Join(down, err); err != nil {
		return indeterminate(err)
	}
	if err := cfg.RequireEngines(); err != nil {
		return schema.WithHint(err, "annals verify --index --data-dir DIR uses the engines of a running annals up")
	}
	p, err := connect(cfg, log)
	if err != nil {
		return indeterminate(err)
	}
	defer both(&err, p.close)
	say := newProgress(in.err)
	report, err := custody.VerifyIndex(ctx, p.store, p.book, p.index, custody.IndexOptions{
		Topics: topics, Again: lookAgain,
		Progress: func(at custody.IndexProgress) {
			say.at(int64(at.Streams), int64(at.Chains), fmt.Sprintf("%d of %d partitions, %d records", at.Streams, at.Chains, at.Records))
		},
	})
	say.end()
	if err != nil && len(report.Findings) == 0 {
		return indeterminate(err)
	}
	write := report.WriteText
	if c.JSON {
		write = report.WriteJSON
	}
	if err := write(in.out); err != nil {
		return err
	}
	if code := report.ExitCode(); code != 0 {
		return exitError(code)
	}
	return nil
}
