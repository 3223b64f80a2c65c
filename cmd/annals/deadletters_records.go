package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/web/api"
)

// deadRecordsCommand is annals dead-letters records.
type deadRecordsCommand struct {
	asking
	deadSelection
	Signature string `placeholder:"SIGNATURE" help:"Only those of a group of annals dead-letters groups."`
	Limit     int    `default:"100" help:"At most so many; 0 is all."`
}

// Run implements kong's command.
func (c *deadRecordsCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	params := api.ListDeadRecordsParams{
		Topic: pointer(c.Topic), Original: pointer(c.Original), Error: pointer(c.Error), Service: pointer(c.Service),
		Signature: pointer(c.Signature), From: from, To: to,
	}
	all := &api.DeadRecordPage{Records: []api.DeadRecord{}}
	var notes []string
	err = turnPages(c.Limit, func(size int, cursor *string) (int, *string, error) {
		params.Limit, params.Cursor = &size, cursor
		page, err := server.DeadRecords(ctx, params)
		if err != nil {
			return 0, nil, err
		}
		all.Records, all.Searched = append(all.Records, page.Records...), page.Searched
		all.Examined, all.Unread = all.Examined+page.Examined, all.Unread+page.Unread
		all.NextCursor = page.NextCursor
		// That a page ended at its bound says nothing where the next one goes on.
		if page.Note != nil && (page.Unread > 0 || page.NextCursor == nil) {
			notes = append(notes, *page.Note)
		}
		return len(page.Records), page.NextCursor, nil
	})
	if err != nil {
		return err
	}
	all.Note = pointer(strings.Join(notes, "; "))
	return c.print(in.out, all, func(w io.Writer) { showDeadRecords(w, all) })
}

func showDeadRecords(w io.Writer, page *api.DeadRecordPage) {
	if len(page.Records) > 0 {
		table(w, "RECORD|TIME|FROM|BY|REDRIVEN|PUT BACK TO|ERROR", func(row func(...any)) {
			for i := range page.Records {
				r, back := &page.Records[i], "–"
				if r.PutBack != nil {
					back = placeText(r.PutBack)
				}
				row(recordText(r.Record.Coordinates.Topic, r.Record.Coordinates.Partition, r.Record.Coordinates.Offset), moment(&r.Record.Timestamp), placeText(r.Failure.Original), textOr(r.Failure.By, "–"), r.Failure.Redriven, back, errorText(&r.Failure))
			}
		})
	} else {
		fmt.Fprintln(w, "No dead letters of services.")
	}
	if page.Note != nil {
		fmt.Fprintln(w, "note: "+*page.Note)
	}
	if page.NextCursor != nil {
		fmt.Fprintln(w, "There are more; --limit 0 lists all.")
	}
}
