package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/web/api"
)

// verdictCommand is annals verdict.
type verdictCommand struct {
	asking
	between
	ID    string   `arg:"" optional:"" help:"A trace, in any encoding; without one, of topics and a range."`
	Topic []string `placeholder:"TOPIC" help:"Only these topics."`
}

// Run implements kong's command. Exit code 2: not everything is there.
func (c *verdictCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	params := api.GetVerdictParams{TraceId: pointer(c.ID), From: from, To: to}
	if len(c.Topic) > 0 {
		params.Topic = &c.Topic
	}
	v, err := server.Verdict(ctx, params)
	if err != nil {
		return err
	}
	if err := c.print(in.out, v, func(w io.Writer) { showVerdict(w, v) }); err != nil {
		return err
	}
	if !v.Complete {
		return exitError(exitIncomplete)
	}
	return nil
}

func showVerdict(w io.Writer, v *api.Verdict) {
	word := "complete"
	if !v.Complete {
		words := make([]string, len(v.Reasons))
		for i, reason := range v.Reasons {
			words[i] = string(reason)
		}
		word = "not complete: " + strings.Join(words, ", ")
	}
	what := "what was asked for"
	if v.TraceId != nil {
		what = fmt.Sprintf("trace %s, %d hops", *v.TraceId, *v.Hops)
	}
	fmt.Fprintf(w, "%s: %s\n", what, word)
	fmt.Fprintf(w, "%d partitions looked at, %s to %s, sealed to %s\n", len(v.Partitions), moment(v.From), moment(v.To), moment(v.SealedTo))
	for _, g := range v.Gaps {
		fmt.Fprintf(w, "gaps, %s: %d offsets in %d ranges\n", g.Class, g.Offsets, g.Ranges)
	}
	if v.Ghosts != nil && *v.Ghosts > 0 {
		fmt.Fprintf(w, "%d parents are named and not archived\n", *v.Ghosts)
	}
	if v.Unsealed > 0 {
		fmt.Fprintf(w, "%d records in these topics are not sealed yet\n", v.Unsealed)
	}
	if v.Behind > 0 {
		fmt.Fprintf(w, "%d records in Kafka were not read yet\n", v.Behind)
	}
	for _, note := range v.Notes {
		fmt.Fprintln(w, note)
	}
	fmt.Fprintln(w, "This is what the ledger says. To check it from the bytes: annals verify")
}

// showField shows what a place held at each hop; hops that neither have it nor
// dropped it are counted.
func showField(w io.Writer, h *api.FieldHistory) {
	fmt.Fprintf(w, "%s through trace %s\n", h.Pointer, h.TraceId)
	absent := 0
	for _, s := range h.Steps {
		if s.Change == api.FieldStepChange("absent") {
			absent++
			continue
		}
		shown := ""
		if s.Value != nil {
			text, err := json.Marshal(s.Value)
			if err != nil {
				text = []byte(err.Error())
			}
			shown = string(text)
		}
		at := s.Record.Coordinates
		fmt.Fprintf(w, "%3d %-8s %s  %s %s  %s/%d/%d\n", s.Hop, s.Change, terminal.Line(shown), terminal.Line(s.Record.SourceService), terminal.Line(s.Record.EventType), at.Topic, at.Partition, at.Offset)
		if s.MovedFrom != nil {
			fmt.Fprintf(w, "             moved from %s\n", terminal.Line(*s.MovedFrom))
		}
		if s.Note != nil {
			fmt.Fprintf(w, "             %s\n", terminal.Line(*s.Note))
		}
	}
	if absent > 0 {
		fmt.Fprintf(w, "%d of %d hops do not have it\n", absent, len(h.Steps))
	}
	if h.Truncated {
		fmt.Fprintf(w, "Only the first %d hops are shown; raise --limit.\n", len(h.Steps))
	}
}
