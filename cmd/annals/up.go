package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
	"golang.org/x/sync/errgroup"
)

// upCommand is annals up.
type upCommand struct {
	settings
	DataDir          string `placeholder:"DIR" help:"Folder of the embedded engines (annals-data)."`
	KafkaListen      string `placeholder:"ADDR" help:"Address of the embedded Kafka (127.0.0.1:19092); port 0 picks a free one."`
	S3Listen         string `name:"s3-listen" placeholder:"ADDR" help:"Address of the embedded object store (127.0.0.1:19000)."`
	ClickhouseListen string `placeholder:"ADDR" help:"Address of the embedded ClickHouse (127.0.0.1:18123)."`
	WebListen        string `placeholder:"ADDR" help:"Address of the web API and the explorer (127.0.0.1:8080)."`
	demoFlags
}

// Run implements kong's command.
func (c *upCommand) Run(ctx context.Context, in *invocation) (err error) {
	cfg, log, err := c.load(in, c.override)
	if err != nil {
		return err
	}
	limitMemory(cfg.Archive.Memory.Bytes, 384<<20) // the embedded engines
	defer func() {
		if ctx.Err() != nil && err == nil {
			line(in.err, "stopped; run the same command to go on")
		}
	}()
	engines, err := startEngines(ctx, in, &cfg, log)
	if err != nil {
		return err
	}
	defer both(&err, engines.close)
	if c.Demo && cfg.Contracts.Dir == "" {
		if cfg.Contracts.Dir, err = demoContracts(ctx, cfg.Embedded.DataDir); err != nil {
			return err
		}
	}
	p, err := connect(cfg, log)
	if err != nil {
		return err
	}
	defer both(&err, p.close)
	p.spoolDir = filepath.Join(cfg.Embedded.DataDir, "spool")
	p.tempDir = filepath.Join(cfg.Embedded.DataDir, "tmp")
	if err := os.MkdirAll(p.tempDir, 0o700); err != nil {
		return fmt.Errorf("make a folder for temporary files: %w", err)
	}
	a, err := p.archiver("up", engines.lock.Unclean())
	if err != nil {
		return err
	}
	roles := []string{"archive", "serve"}
	server, err := p.server(roles, a, c.Demo)
	if err != nil {
		return err
	}
	address, err := server.Listen()
	if err != nil {
		return named(err, "--web-listen", "web.listen")
	}
	if engines.noIndex == nil {
		p.tables(ctx)
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return p.migrate(running) })
	group.Go(func() error { return a.Run(running) })
	group.Go(func() error { return p.snapshots(running) })
	group.Go(func() error { return server.run(running, roles) })
	defer both(&err, func() error { return embedded.RemoveUpFile(cfg.Embedded.DataDir) })
	if err := embedded.WriteUpFile(cfg.Embedded.DataDir, engines.upFile(cfg, "http://"+address)); err != nil {
		return err
	}
	c.ready(in, engines, "http://"+address)
	defer context.AfterFunc(ctx, func() {
		line(in.err, "stopping: segments under way are finished, and what is only buffered is read from Kafka again at the next start; Ctrl-C again ends it at once")
	})()
	if engines.lock.Unclean() && !c.Demo { // the demo waits for the same, and more
		group.Go(func() error { recovered(running, in, a); return nil })
	}
	if c.Demo {
		group.Go(func() error { return c.runDemo(running, in, cfg, "http://"+address, a) })
	}
	return group.Wait()
}

// ready says where everything is.
func (c *upCommand) ready(in *invocation, e *engines, address string) {
	fmt.Fprintf(in.err, "\nAnnals is up: %s\n", address)
	if e.noIndex != nil {
		fmt.Fprintf(in.err, "Without search: %v\n", e.noIndex)
	}
	fmt.Fprintln(in.err, "Ctrl-C stops everything.")
}

// override puts the flags over the configuration.
func (c *upCommand) override(cfg *config.Config) {
	set := func(to *string, flag string) {
		if flag != "" {
			*to = flag
		}
	}
	set(&cfg.Embedded.DataDir, c.DataDir)
	set(&cfg.Embedded.KafkaListen, c.KafkaListen)
	set(&cfg.Embedded.S3Listen, c.S3Listen)
	set(&cfg.Embedded.ClickHouseListen, c.ClickhouseListen)
	set(&cfg.Web.Listen, c.WebListen)
	if c.Demo {
		if c.LogLevel == "" {
			cfg.Log.Level = "warn" // the demo's own lines are what a person watches
		}
		// 27 years of history would make hundreds of monthly partitions, and a
		// retention of 400 days would drop all of it. Its past years take no
		// more records once they are loaded.
		cfg.Index.Partition, cfg.Index.Retention, cfg.Index.MergeIdle = "years", 0, config.Duration(15*time.Second)
	}
}
