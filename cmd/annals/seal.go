package main

import (
	"context"
	"fmt"
	"io"
)

// sealCommand is annals seal.
type sealCommand struct {
	asking
	Wait bool `help:"Return when everything is in the ledger."`
}

// Run implements kong's command.
func (c *sealCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	sealed, err := server.Seal(ctx, c.Wait)
	if err != nil {
		return err
	}
	return c.print(in.out, sealed, func(w io.Writer) {
		verb := "asked to seal"
		if sealed.Waited {
			verb = "sealed"
		}
		fmt.Fprintf(w, "%s %d records of %d partitions\n", verb, sealed.Records, sealed.Partitions)
	})
}
