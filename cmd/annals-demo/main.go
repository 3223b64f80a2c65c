// Command annals-demo runs the example pipeline of package demo: one service,
// or all of them as child processes.
//
//	annals-demo all --up-file DIR/up.json
//	annals-demo rate-enricher --brokers 127.0.0.1:9092
//	annals-demo again --up-file DIR/up.json
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/fx-risk-ai/annals/demo"
)

type commands struct {
	ECBGateway   serviceCommand   `cmd:"" name:"ecb-gateway" help:"Publish the fixing days as events."`
	RateEnricher serviceCommand   `cmd:"" name:"rate-enricher" help:"Add currency, region and change to each rate."`
	RiskEngine   serviceCommand   `cmd:"" name:"risk-engine" help:"Compute volatilities and exposures."`
	RiskAlerts   serviceCommand   `cmd:"" name:"risk-alerts" help:"Raise alerts for moves beyond four standard deviations."`
	All          allCommand       `cmd:"" help:"Run the four services, each as a process of its own, until Ctrl-C."`
	Contracts    contractsCommand `cmd:"" help:"Write the contracts of the event types into a folder."`
	Again        againCommand     `cmd:"" help:"Have the live days arrive again, with new trace ids, while the other services run."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	k := kong.Parse(&c,
		kong.Name("annals-demo"),
		kong.Description("A real event pipeline on the European Central Bank's exchange rates."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err := k.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "annals-demo: "+err.Error())
		stop()
		os.Exit(1)
	}
}

// serviceCommand runs one service in this process.
type serviceCommand struct {
	connection
	days
	Supervised bool `hidden:"" help:"Write progress as JSON lines to standard output, take requests from standard input, stop when it ends."`
}

// Run implements kong's command; the command's name is the service's.
func (c *serviceCommand) Run(ctx context.Context, k *kong.Context) error {
	log := c.logger()
	cfg, err := c.config(log)
	if err != nil {
		return err
	}
	c.apply(&cfg)
	limitMemory()
	if c.Supervised {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		cfg.Progress = demo.ProgressWriter(os.Stdout, log)
		cfg.Again = requests(os.Stdin, cancel)
	} else {
		cfg.Progress = func(p demo.Progress) {
			log.Info("progress", "day", p.Day, "in", p.In, "out", p.Out, "dead", p.Dead, "phase", string(p.Phase), "days", p.Days, "total_days", p.TotalDays)
		}
	}
	return demo.Run(ctx, k.Command(), cfg)
}

// contractsCommand writes the contracts.
type contractsCommand struct {
	Dir string `arg:"" help:"The folder; created when missing."`
}

// Run implements kong's command.
func (c *contractsCommand) Run() error { return demo.WriteContracts(c.Dir) }

// againCommand is the gateway's further run.
type againCommand struct {
	connection
	days
}

// Run implements kong's command.
func (c *againCommand) Run(ctx context.Context) error {
	log := c.logger()
	cfg, err := c.config(log)
	if err != nil {
		return err
	}
	c.apply(&cfg)
	cfg.Progress = func(p demo.Progress) {
		fmt.Fprintf(os.Stderr, "run %d, %s: %d of %d days\n", p.Run, p.Day, p.Days, p.TotalDays)
	}
	err = demo.RunAgain(ctx, cfg)
	if errors.Is(err, demo.ErrStillRunning) {
		return fmt.Errorf("%w; try again then", err)
	}
	return err
}

// allCommand runs every service as a child process.
type allCommand struct {
	connection
	days
	Once   bool   `help:"End when everything is published and processed."`
	LogDir string `help:"Write each service's log to a file in this folder instead of standard error." type:"existingdir" placeholder:"DIR"`
	Report bool   `hidden:"" help:"Write \"loaded\" to standard output when the history is through, take requests from standard input, stop when it ends."`
	Hint   string `hidden:"" help:"How a person has the live days arrive again."`
}

// Run implements kong's command.
func (c *allCommand) Run(ctx context.Context) error {
	log := c.logger()
	cfg, err := c.config(log)
	if err != nil {
		return err
	}
	c.apply(&cfg)
	if err := cfg.Validate(); err != nil {
		return err
	}
	logs, err := openLogs(c.LogDir)
	if err != nil {
		return err
	}
	defer logs.close(log)
	terminal := isTerminal(os.Stderr)
	how := "run `annals-demo again` with the same connection"
	var again <-chan struct{}
	switch {
	case c.Report:
		how = c.Hint
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		again = requests(os.Stdin, cancel)
	case isTerminal(os.Stdin):
		how = "press Enter"
		entered := make(chan struct{}, 1)
		go enters(os.Stdin, entered)
		again = entered
	}
	status := demo.NewConsole(os.Stderr, terminal, how).Status
	if c.Report {
		status = reporting(os.Stdout, status)
	}
	s := demo.Supervisor{
		Command: func(name string) *exec.Cmd { return c.child(name, cfg, logs) },
		Status:  status,
		Again:   again,
		Once:    c.Once,
		Logger:  log.With(slog.String("component", "demo")),
	}
	return s.Run(ctx)
}

// reporting writes a line to w when the history is through, besides what next
// tells a person.
func reporting(w io.Writer, next func(demo.Status)) func(demo.Status) {
	said := false
	return func(s demo.Status) {
		next(s)
		if s.Loaded && !said {
			said = true
			fmt.Fprintln(w, "loaded")
		}
	}
}
