package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/config"
)

// demoFlags are annals up's flags of the demo.
type demoFlags struct {
	Demo         bool          `help:"Run the demo: four services on 27 years of the ECB's exchange rates."`
	DemoYears    int           `placeholder:"N" help:"Load only the last N years of history."`
	DemoNoLive   bool          `help:"End with the history; no days arrive one by one."`
	DemoInterval time.Duration `placeholder:"DURATION" help:"Time between two live days (1s)."`
	DemoLogDir   string        `placeholder:"DIR" help:"Write each demo service's log into this folder."`
}

// runDemo runs the demo's command beside the archive and, when the history is
// through, has it sealed and says what can be tried.
func (c *upCommand) runDemo(ctx context.Context, in *invocation, cfg config.Config, address string, a *archiver.Archiver) error {
	program, err := besides("annals-demo")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, c.demoArguments(in)...)
	// Secrets go through the environment, which other users cannot read.
	cmd.Env = append(os.Environ(),
		"DEMO_KAFKA_BROKERS="+strings.Join(cfg.Kafka.Brokers, ","), "DEMO_KAFKA_MECHANISM="+cfg.Kafka.SASL.Mechanism,
		"DEMO_KAFKA_USER="+cfg.Kafka.SASL.Username, "DEMO_KAFKA_PASSWORD="+cfg.Kafka.SASL.Password.Reveal())
	// Ctrl-C is for this process alone; the demo stops when its input ends,
	// also when this process is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	requests, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	cmd.Cancel, cmd.WaitDelay = requests.Close, 20*time.Second
	cmd.Stderr = in.err
	reports, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the demo: %w", err)
	}
	if isTerminal(in.err) {
		go askAgain(os.Stdin, requests)
	}
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		if lines.Text() == "loaded" {
			go c.historyLoaded(ctx, in, address, a)
		}
	}
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the demo ended: %w", err)
	}
	<-ctx.Done() // what it has brought stays to be looked at
	return nil
}

// demoContracts has the demo's command write its contracts, and says where.
func demoContracts(ctx context.Context, dataDir string) (string, error) {
	program, err := besides("annals-demo")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(dataDir, "demo-contracts")
	if text, err := exec.CommandContext(ctx, program, "contracts", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("write the demo's contracts: %w: %s", err, text)
	}
	return dir, nil
}

func (c *upCommand) demoArguments(in *invocation) []string {
	hint := "run bin/annals-demo again --up-file " + filepath.Join(c.DataDir, "up.json")
	if isTerminal(in.err) {
		hint = "press Enter"
	}
	args := []string{"all", "--report", "--hint", hint}
	if c.DemoYears > 0 {
		args = append(args, "--years", strconv.Itoa(c.DemoYears))
	}
	if c.DemoNoLive {
		args = append(args, "--no-live")
	}
	if c.DemoInterval > 0 {
		args = append(args, "--live-interval", c.DemoInterval.String())
	}
	if c.DemoLogDir != "" {
		args = append(args, "--log-dir", c.DemoLogDir)
	}
	return args
}

// askAgain passes a person's Enter on to the demo.
func askAgain(from io.Reader, to io.Writer) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if _, err := fmt.Fprintln(to, "again"); err != nil {
			return // the demo has ended
		}
	}
}

// historyLoaded seals what the history brought and says what can be tried.
func (c *upCommand) historyLoaded(ctx context.Context, in *invocation, address string, a *archiver.Archiver) {
	err := waiting(in, a, func() error {
		if err := a.CatchUp(ctx); err != nil {
			return err
		}
		if _, err := a.Seal(ctx, true); err != nil {
			return err
		}
		return a.Indexed(ctx)
	})
	if err != nil {
		if ctx.Err() == nil {
			fmt.Fprintf(in.err, "The history is not sealed yet: %v\n", err)
		}
		return
	}
	from := ""
	if c.DataDir != "" {
		from = "--data-dir " + c.DataDir + " "
	}
	crisis, autumn := "--from 2008-10-01 --to 2008-11-01", "--from 2008-09-15 --to 2008-10-15"
	if c.DemoYears > 0 {
		crisis, autumn = "--from 2023-01-01 --to 2024-01-01", "--from 2023-09-15 --to 2023-10-15"
	}
	fmt.Fprintf(in.err, `
history loaded, indexed and sealed
The explorer: %s
Three things to try, each in another terminal:
  bin/annals search %s--topic fx.risk.alerts %s
  bin/annals trace %s$(bin/annals search %s--topic fx.risk.alerts %s --limit 1 --json | sed -n 's/.*"trace_id": "\(.*\)".*/\1/p')
  bin/annals replay plan %s--topic fx.rates.enriched %s

`, address, from, crisis, from, from, crisis, from, autumn)
}

// besides finds a program beside this one, or in PATH.
func besides(name string) (string, error) {
	self, err := os.Executable()
	if err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find %s: it is neither beside this program nor in PATH; make build makes both: %w", name, err)
	}
	return path, nil
}
