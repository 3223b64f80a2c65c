package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/web/api"
)

// deadGroupsCommand is annals dead-letters groups.
type deadGroupsCommand struct {
	asking
	deadSelection
	Limit int `default:"50" help:"At most so many groups, 1000 at most."`
}

// Run implements kong's command.
func (c *deadGroupsCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	found, err := server.DeadRecordGroups(ctx, api.ListDeadRecordGroupsParams{
		Topic: pointer(c.Topic), Original: pointer(c.Original), Error: pointer(c.Error), Service: pointer(c.Service), From: from, To: to, Limit: pointer(c.Limit),
	})
	if err != nil {
		return err
	}
	err = c.print(in.out, found, func(w io.Writer) { showDeadGroups(w, found) })
	if err == nil && !found.Complete {
		return exitError(exitIncomplete)
	}
	return err
}

func showDeadGroups(w io.Writer, found *api.DeadRecordGroupList) {
	if len(found.Groups) == 0 {
		fmt.Fprintln(w, "No dead letters of services.")
	} else {
		table(w, "SIGNATURE|RECORDS|FIRST|LAST|FROM|BY|ERROR|SUCH AS", func(row func(...any)) {
			for i := range found.Groups {
				g := &found.Groups[i]
				told := api.Failure{Stage: pointer(g.Stage), Class: pointer(g.Class), Message: pointer(g.Message)}
				row(g.Signature, g.Records, moment(&g.First), moment(&g.Last), strings.Join(g.Originals, ","), strings.Join(g.By, ","), errorText(&told), recordText(g.Samples[0].Record.Coordinates.Topic, g.Samples[0].Record.Coordinates.Partition, g.Samples[0].Record.Coordinates.Offset))
			}
		})
	}
	if found.LeftOut > 0 {
		fmt.Fprintf(w, "%d more groups; --limit shows more.\n", found.LeftOut)
	}
	if found.Note != nil {
		fmt.Fprintln(w, "note: "+*found.Note)
	}
}
