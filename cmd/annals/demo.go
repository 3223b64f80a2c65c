package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/demo"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// demoFlags are annals up's flags of the demo.
type demoFlags struct {
	Demo         bool          `help:"Run the demo: four services on 27 years of the ECB's exchange rates."`
	DemoYears    int           `placeholder:"N" help:"Load only the last N years of history."`
	DemoNoLive   bool          `help:"End with the history; no days arrive one by one."`
	DemoInterval time.Duration `placeholder:"DURATION" help:"Time between two live days (1s)."`
	DemoLogDir   string        `placeholder:"DIR" help:"Write each demo service's log into this folder; it is thrown away otherwise."`
}

// runDemo runs the demo's services beside the archive and, when the history is
// through, has it sealed and says what can be tried.
func (c *upCommand) runDemo(ctx context.Context, in *invocation, cfg config.Config, a *archiver.Archiver, log *slog.Logger) error {
	program, err := besides("annals-demo")
	if err != nil {
		return err
	}
	console := demo.NewConsole(in.err, false, "run annals-demo again --up-file "+filepath.Join(cfg.Embedded.DataDir, embedded.UpFileName))
	loaded := make(chan struct{}, 1)
	said := false
	s := demo.Supervisor{
		Command: func(service string) *exec.Cmd { return c.demoService(program, service, cfg.Kafka) },
		Status: func(status demo.Status) {
			console.Status(status)
			if status.Loaded && !said {
				said = true
				loaded <- struct{}{}
			}
		},
		Logger: log.With("component", "demo"),
	}
	go func() {
		select {
		case <-ctx.Done():
		case <-loaded:
			c.historyLoaded(ctx, in, a)
		}
	}()
	return s.Run(ctx)
}

// historyLoaded seals what the history brought and says so.
func (c *upCommand) historyLoaded(ctx context.Context, in *invocation, a *archiver.Archiver) {
	if err := a.CatchUp(ctx); err != nil {
		return // stopping
	}
	if _, err := a.Seal(ctx, true); err != nil {
		return
	}
	if err := a.Indexed(ctx); err != nil {
		return
	}
	fmt.Fprintln(in.err, "history loaded, indexed and sealed")
}

func (c *upCommand) demoService(program, service string, cfg config.Kafka) *exec.Cmd {
	args := []string{service, "--supervised"}
	if c.DemoYears > 0 {
		args = append(args, "--years", strconv.Itoa(c.DemoYears))
	}
	if c.DemoNoLive {
		args = append(args, "--no-live")
	}
	if c.DemoInterval > 0 {
		args = append(args, "--live-interval", c.DemoInterval.String())
	}
	cmd := exec.Command(program, args...)
	// Secrets go through the environment, which other users cannot read.
	cmd.Env = append(os.Environ(),
		"DEMO_KAFKA_BROKERS="+strings.Join(cfg.Brokers, ","), "DEMO_KAFKA_MECHANISM="+cfg.SASL.Mechanism,
		"DEMO_KAFKA_USER="+cfg.SASL.Username, "DEMO_KAFKA_PASSWORD="+cfg.SASL.Password.Reveal())
	// Ctrl-C is for this process alone, which then stops its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = io.Discard
	if c.DemoLogDir != "" {
		f, err := os.OpenFile(filepath.Join(c.DemoLogDir, service+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			cmd.Stderr = f
		}
	}
	return cmd
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
