package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// deadLetterListCommand is annals dead-letters list.
type deadLetterListCommand struct {
	asking
	Topic     string `placeholder:"TOPIC" help:"Only this topic."`
	Component string `placeholder:"COMPONENT" enum:",reading,extraction,index" default:"" help:"Only what this component could not process: reading, extraction or index."`
	Limit     int    `default:"200" help:"At most so many; 0 is all."`
}

// Run implements kong's command.
func (c *deadLetterListCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	all := &api.DeadLetterPage{DeadLetters: []api.DeadLetter{}, Unreadable: []api.UnreadableDeadLetter{}, Counts: []api.DeadLetterCount{}}
	params := api.ListDeadLettersParams{Topic: pointer(c.Topic), Component: pointer(api.ListDeadLettersParamsComponent(c.Component))}
	err = turnPages(c.Limit, func(size int, cursor *string) (int, *string, error) {
		params.Limit, params.Cursor = &size, cursor
		page, err := server.DeadLetters(ctx, params)
		if err != nil {
			return 0, nil, err
		}
		all.DeadLetters = append(all.DeadLetters, page.DeadLetters...)
		all.Unreadable = append(all.Unreadable, page.Unreadable...)
		all.Total, all.Counts, all.CountsLeftOut = page.Total, page.Counts, page.CountsLeftOut
		all.NextCursor = page.NextCursor
		return len(page.DeadLetters), page.NextCursor, nil
	})
	if err != nil {
		return err
	}
	return c.print(in.out, all, func(w io.Writer) { showDeadLetters(w, all) })
}

func showDeadLetters(w io.Writer, page *api.DeadLetterPage) {
	if page.Total == 0 {
		fmt.Fprintln(w, "No dead letters.")
		return
	}
	table(w, "ID|LAST|COMPONENT|PARTITION|FROM|TO|ATTEMPTS|ERROR", func(row func(...any)) {
		for _, l := range page.DeadLetters {
			row(l.Id, moment(&l.Last), l.Component, fmt.Sprintf("%s/%d", l.Topic, l.Partition), l.From, l.To, l.Attempts, l.Error)
		}
	})
	for _, l := range page.Unreadable {
		fmt.Fprintf(w, "Not read: %s: %s\n", l.Key, l.Error)
	}
	if shown := len(page.DeadLetters) + len(page.Unreadable); shown < page.Total {
		fmt.Fprintf(w, "These are %d of %d; --limit 0 lists all.\n", shown, page.Total)
	}
}

// deadLetterShowCommand is annals dead-letters show.
type deadLetterShowCommand struct {
	asking
	ID string `arg:"" help:"The letter's ID, as the list gives it."`
}

// Run implements kong's command.
func (c *deadLetterShowCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	page, err := server.DeadLetters(ctx, api.ListDeadLettersParams{Id: &c.ID})
	if err != nil {
		return err
	}
	for _, l := range page.Unreadable {
		return schema.Errorf(schema.Corrupt, "%s cannot be read: %s", l.Key, l.Error)
	}
	if len(page.DeadLetters) == 0 {
		return schema.Errorf(schema.NotFound, "there is no dead letter %s", c.ID)
	}
	return c.print(in.out, page.DeadLetters[0], func(w io.Writer) { showDeadLetter(w, &page.DeadLetters[0]) })
}

func showDeadLetter(w io.Writer, l *api.DeadLetter) {
	table(w, "WHAT|"+l.Id, func(row func(...any)) {
		row("component", l.Component)
		row("topic", fmt.Sprintf("%s (%s)", l.Topic, l.TopicId))
		row("partition", fmt.Sprintf("%d, branch %d", l.Partition, l.Branch))
		row("offsets", fmt.Sprintf("%d to %d, exclusive", l.From, l.To))
		row("error", l.Error)
		row("attempts", l.Attempts)
		row("first", moment(&l.First))
		row("last", moment(&l.Last))
		for name, text := range map[string]*string{"trace": l.TraceId, "event": l.EventId} {
			if text != nil {
				row(name, *text)
			}
		}
		if l.RawKey != nil {
			row("raw bytes", fmt.Sprintf("%s (%d bytes, SHA-256 %s)", *l.RawKey, *l.RawBytes, *l.RawSha256))
		} else {
			row("bytes", "annals get "+recordText(l.Topic, l.Partition, l.From))
		}
		row("written by", fmt.Sprintf("%s, %s", l.Writer, l.Build))
		row("kept as", l.Key)
	})
}
