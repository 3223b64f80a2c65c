package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/web/api"
)

// anomaliesCommand is annals anomalies.
type anomaliesCommand struct {
	asking
	At string `placeholder:"TIME" help:"The moment (RFC 3339, or a day); now unless given. The last hour that was over then for long enough is looked at."`
}

// Run implements kong's command. Exit code 2: there are some, or a check had too
// little to go by.
func (c *anomaliesCommand) Run(ctx context.Context, in *invocation) error {
	at, err := parseTime("--at", c.At)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	found, err := server.Anomalies(ctx, api.GetAnomaliesParams{At: at})
	if err != nil {
		return err
	}
	if err := c.print(in.out, found, func(w io.Writer) { showAnomalies(w, found) }); err != nil {
		return err
	}
	for _, check := range found.Checks {
		if check.State != "ok" {
			return exitError(exitIncomplete)
		}
	}
	return nil
}

func showAnomalies(w io.Writer, a *api.Anomalies) {
	fmt.Fprintf(w, "at %s, of the hour from %s\n", a.At.UTC().Format("2006-01-02 15:04:05"), a.From.UTC().Format("2006-01-02 15:04"))
	for _, c := range a.Checks {
		note := ""
		if c.Note != nil {
			note = "; " + *c.Note
		}
		fmt.Fprintf(w, "  %-18s %s (%d judged%s)\n", words(c.Kind), c.State, c.Judged, note)
	}
	for _, f := range a.Anomalies {
		where := terminal.Line(f.Topic)
		if f.Partition != nil {
			where += fmt.Sprintf("/%d", *f.Partition)
		}
		whose := ""
		if f.Team != nil {
			whose += ", team " + terminal.Line(*f.Team)
		}
		if f.Component != nil {
			whose += ", " + terminal.Line(*f.Component)
		}
		fmt.Fprintf(w, "\n%s: %s%s\n  %s\n", words(f.Kind), where, whose, terminal.Line(f.Evidence))
		for _, trace := range f.Traces {
			fmt.Fprintf(w, "  trace %s\n", terminal.Line(trace))
		}
	}
	if a.Truncated {
		fmt.Fprintf(w, "\nThere are more than these %d.\n", len(a.Anomalies))
	}
}

func words(kind api.AnomalyKind) string { return strings.ReplaceAll(string(kind), "_", " ") }
