package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// archiveFlags are those of annals verify --archive.
type archiveFlags struct {
	settings
	Archive bool    `help:"Verify a whole archive instead, by its bucket alone: that of s3 in the configuration, or of a running annals up."`
	DataDir string  `placeholder:"DIR" help:"With --archive or --index: data folder of the annals up whose archive it is (annals-data)."`
	Sample  float64 `placeholder:"PERCENT" help:"With --archive: read only so many of a hundred segments, chosen at random, and of the others look at the size."`
	Seed    uint64  `placeholder:"N" help:"With --sample: choose the same ones as a run that said this seed."`
}

// used names a flag that was given and belongs to an archive; "" if none was.
func (c *archiveFlags) used() string {
	switch {
	case c.Config != "":
		return "--config"
	case c.DataDir != "":
		return "--data-dir"
	case c.Sample != 0:
		return "--sample"
	case c.Seed != 0:
		return "--seed"
	case c.LogLevel != "":
		return "--log-level"
	default:
		return ""
	}
}

// verifyArchive verifies a bucket. Exit codes: 0 ok, 1 damaged, 3 indeterminate,
// 4 usage.
func (c *verifyCommand) verifyArchive(ctx context.Context, in *invocation) error {
	if c.Sample < 0 || c.Sample > 100 || c.Sample == 0 && c.Seed != 0 {
		return schema.InvalidField("--sample", "--sample takes a percentage above 0 and up to 100, and --seed goes with it")
	}
	store, _, _, err := c.bucket(in, c.DataDir)
	if err != nil {
		return indeterminate(err)
	}
	defer store.Close()
	options := custody.ArchiveOptions{Sample: c.Sample / 100, Seed: c.Seed}
	if c.Sample > 0 && c.Seed == 0 {
		options.Seed = rand.Uint64()
	}
	say := newProgress(in.err)
	options.Progress = func(p custody.ArchiveProgress) {
		say.at(p.Bytes, p.Total, fmt.Sprintf("%d of %d chains, %s of about %s read", p.Streams, p.Chains, size(p.Bytes), size(max(p.Total, p.Bytes))))
	}
	report, err := custody.VerifyArchive(ctx, store, ledger.New(store, nil), options)
	say.end()
	if report == nil {
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

// unsure is an error after which nothing is known of an archive: it must not end
// with the code that says damaged.
type unsure struct{ error }

// Unwrap returns the error itself.
func (u unsure) Unwrap() error { return u.error }

func indeterminate(err error) error {
	if schema.KindOf(err) == schema.Invalid {
		return err
	}
	return unsure{err}
}
