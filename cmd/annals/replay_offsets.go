package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// replayOffsetsCommand is annals replay offsets.
type replayOffsetsCommand struct {
	asking
	Job     string `required:"" placeholder:"ID" help:"The job's id, which is the plan's, or its first 8 digits."`
	Group   string `required:"" placeholder:"GROUP" help:"A consumer group of the replay's source."`
	AsOf    string `placeholder:"TIME" help:"Take what the group had committed then, by the archived snapshots (RFC 3339); otherwise what it has committed now."`
	Into    string `placeholder:"GROUP" help:"Commit for this group; otherwise for the same one."`
	Nearest bool   `help:"Take the next copy, or the end, where an offset has no exact place in the target; otherwise nothing is committed then."`
	Apply   bool   `help:"Commit the offsets; otherwise they are only shown. Refused while the group has members."`
}

// Run implements kong's command.
func (c *replayOffsetsCommand) Run(ctx context.Context, in *invocation) error {
	id, err := planID(c.Job)
	if err != nil {
		return err
	}
	asOf, err := parseTime("--as-of", c.AsOf)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	var found *api.GroupOffsets
	if c.Apply {
		found, err = server.CommitGroupOffsets(ctx, id, api.GroupOffsetsRequest{Group: c.Group, AsOf: asOf, Into: pointer(c.Into), Nearest: pointer(c.Nearest)})
	} else {
		found, err = server.GroupOffsets(ctx, id, api.GetGroupOffsetsParams{Group: c.Group, AsOf: asOf, Into: pointer(c.Into)})
	}
	if err != nil {
		return err
	}
	return c.print(in.out, found, func(w io.Writer) { showGroupOffsets(w, found) })
}

func showGroupOffsets(w io.Writer, found *api.GroupOffsets) {
	number := func(n *int64) string {
		if n == nil {
			return "–"
		}
		return fmt.Sprint(*n)
	}
	inexact := 0
	table(w, "SOURCE|COMMITTED|STATUS|TARGET|OFFSET|THERE NOW|NOTE", func(row func(...any)) {
		for _, p := range found.Partitions {
			if p.TargetOffset != nil && !p.Exact {
				inexact++
			}
			row(fmt.Sprintf("%s/%d", p.Source, p.Partition), number(p.Committed), p.Status, fmt.Sprintf("%s/%d", p.Target, p.TargetPartition),
				number(p.TargetOffset), number(p.Current), textOr(p.Note, ""))
		}
	})
	if found.Taken != nil {
		fmt.Fprintf(w, "As of the snapshot of %s.\n", moment(found.Taken))
	}
	for _, note := range found.Notes {
		fmt.Fprintln(w, "note: "+note)
	}
	switch {
	case found.Applied > 0:
		fmt.Fprintf(w, "%d offsets were committed for group %s.\n", found.Applied, found.Into)
	case inexact > 0:
		fmt.Fprintf(w, "Nothing was committed for group %s, which is %s. %d offsets have no exact place: --apply --nearest takes those that are shown.\n", found.Into, found.State, inexact)
	default:
		fmt.Fprintf(w, "Nothing was committed for group %s, which is %s. --apply does it.\n", found.Into, found.State)
	}
}
