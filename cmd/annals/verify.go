package main

import (
	"context"
	"fmt"

	"github.com/fx-risk-ai/annals/custody"
)

// verifyCommand is annals verify.
type verifyCommand struct {
	Bag  string `arg:"" help:"Folder of the bag." type:"path"`
	JSON bool   `help:"Print JSON."`
}

// Run implements kong's command. Exit codes: 0 ok, 1 tampered, 2 incomplete,
// 3 unverifiable, 4 usage.
func (c *verifyCommand) Run(ctx context.Context, in *invocation) error {
	var progress func(custody.Progress)
	if isTerminal(in.err) {
		progress = func(p custody.Progress) {
			fmt.Fprintf(in.err, "\r\x1b[K%s of %s hashed, %d records compared", size(p.Bytes), size(p.Total), p.Records)
		}
	}
	report, err := custody.Verify(ctx, c.Bag, progress)
	if progress != nil {
		fmt.Fprint(in.err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	write := report.WriteText
	if c.JSON {
		write = report.WriteJSON
	}
	if err := write(in.out); err != nil {
		return err
	}
	switch report.Result {
	case custody.OK:
		return nil
	case custody.Tampered:
		return exitError(exitFailed)
	case custody.Incomplete:
		return exitError(exitIncomplete)
	default:
		return exitError(exitUnverifiable)
	}
}
