package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// deadChainCommand is annals dead-letters chain.
type deadChainCommand struct {
	asking
	Record string `arg:"" placeholder:"TOPIC/PARTITION/OFFSET" help:"A dead letter, or any record of its chain."`
}

// Run implements kong's command.
func (c *deadChainCommand) Run(ctx context.Context, in *invocation) error {
	at, err := schema.ParseCoordinates(c.Record)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	chain, err := server.DeadChain(ctx, at)
	if err != nil {
		return err
	}
	return c.print(in.out, chain, func(w io.Writer) { showDeadChain(w, chain) })
}

func showDeadChain(w io.Writer, chain *api.DeadChain) {
	table(w, "ROLE|RECORD|TIME|COPY OF|WHAT", func(row func(...any)) {
		for i := range chain.Links {
			l := &chain.Links[i]
			time, what := "–", textOr(l.Note, "")
			if l.Record != nil {
				time, what = moment(&l.Record.Timestamp), strings.TrimSpace(l.Record.EventType+" "+l.Record.SourceService)
			}
			if l.Failure != nil && l.Role != api.DeadLinkRoleRedriven {
				what = errorText(l.Failure)
			}
			var of []string
			for j := range l.CopyOf {
				of = append(of, placeText(&l.CopyOf[j]))
			}
			row(l.Role, placeText(&l.At), time, strings.Join(of, ", "), what)
		}
	})
	if chain.Truncated {
		fmt.Fprintln(w, "The chain is longer than is shown.")
	}
}
