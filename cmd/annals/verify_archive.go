package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/telemetry"
	"github.com/fx-risk-ai/annals/schema"
)

// archiveFlags are those of annals verify --archive.
type archiveFlags struct {
	settings
	Archive bool    `help:"Verify a whole archive instead, by its bucket alone: that of s3 in the configuration, or of a running annals up."`
	DataDir string  `placeholder:"DIR" help:"With --archive: data folder of the annals up whose bucket it is (annals-data)."`
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
		cfg.S3.Endpoint, cfg.S3.Region, cfg.S3.Bucket, cfg.S3.Prefix = up.S3.Endpoint, up.S3.Region, up.S3.Bucket, up.S3.Prefix
		cfg.S3.Credentials, cfg.S3.AccessKey, cfg.S3.SecretKey = "static", up.S3.AccessKey, config.NewSecret(up.S3.SecretKey)
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
