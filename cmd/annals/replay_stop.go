package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// replayStopCommand is annals replay stop-all.
type replayStopCommand struct {
	asking
	Reason string `placeholder:"TEXT" help:"Why; it is kept. Without one nothing is changed: it is said whether replays are stopped."`
}

// Run implements kong's command.
func (c *replayStopCommand) Run(ctx context.Context, in *invocation) error {
	return c.turn(in, func(server *client.Client) (*api.ReplayStop, error) {
		if c.Reason == "" {
			return server.ReplayStop(ctx)
		}
		return server.StopReplays(ctx, c.Reason)
	})
}

// replayStartCommand is annals replay start-all.
type replayStartCommand struct {
	asking
	Reason string `required:"" placeholder:"TEXT" help:"Why; it is kept."`
}

// Run implements kong's command.
func (c *replayStartCommand) Run(ctx context.Context, in *invocation) error {
	return c.turn(in, func(server *client.Client) (*api.ReplayStop, error) { return server.StartReplays(ctx, c.Reason) })
}

func (c *asking) turn(in *invocation, do func(server *client.Client) (*api.ReplayStop, error)) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	stop, err := do(server)
	if err != nil {
		return err
	}
	return c.print(in.out, stop, func(w io.Writer) { showStop(w, stop) })
}

func showStop(w io.Writer, stop *api.ReplayStop) {
	if stop.Stopped {
		fmt.Fprintln(w, "ALL REPLAYS ARE STOPPED. Workers let go of their jobs within seconds; nothing begins before annals replay start-all")
	} else {
		fmt.Fprintln(w, "replays are not stopped; --reason TEXT stops them")
	}
	if len(stop.History) == 0 {
		return
	}
	table(w, "AT|WHAT|BY|REASON", func(row func(...any)) {
		for _, s := range stop.History {
			row(moment(&s.At), map[bool]string{true: "stopped", false: "let go on"}[s.Stopped], s.By, s.Reason)
		}
	})
}
