package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// searchCommand is annals search.
type searchCommand struct {
	asking
	between
	Query     []string `arg:"" optional:"" help:"Any id (trace, event, span, causation, correlation), and terms such as service:risk-engine 'type:FxRate*' after:2024-01-01. Fields: topic, type, version, service, partition, stage, status, team, violation, id, after, before, event_after, event_before, key and header.NAME= (where the topic's policy has them indexed; with --scan anywhere), and with --scan payload and payload/POINTER=."`
	Topic     []string `placeholder:"TOPIC" help:"Only these topics."`
	TopicID   string   `name:"topic-id" placeholder:"ID" help:"With one --topic: another one of the name, an older one or another cluster's (annals coverage lists their IDs)."`
	Type      string   `placeholder:"TYPE" help:"Only this event type."`
	Service   string   `placeholder:"NAME" help:"Only this source service."`
	Stage     string   `placeholder:"STAGE" help:"Only this stage."`
	Violation string   `placeholder:"RULE" help:"Only what breaks this rule, such as contract:type:/amount, or 'contract:*' (annals contracts violations lists them)."`
	Status    string   `placeholder:"STATUS" enum:"committed,aborted,control,all" default:"committed" help:"committed, aborted, control or all."`
	Limit     int      `placeholder:"50" help:"Records on a page; with --scan, records found after which to stop."`
	Cursor    string   `placeholder:"CURSOR" help:"Go on where the page before ended."`
	Output    string   `short:"o" placeholder:"FILE" help:"Write every sealed record that matches into this file (.ndjson, .csv or .parquet; - is standard output)."`
	Format    string   `placeholder:"FORMAT" help:"With --output: ndjson, csv or parquet, where the file's name does not say it."`
	Scan      bool     `help:"Read the archive itself, within the bounds of search.scan_bytes and search.scan_time: for payloads, and for keys and headers that the index does not have. What to read is said by terms alone."`
}

// usage refuses flags that would do nothing together.
func (c *searchCommand) usage() error {
	switch {
	case c.Limit < 0:
		return schema.InvalidField("--limit", "--limit is a number from 1")
	case c.Format != "" && c.Output == "":
		return schema.InvalidField("--format", "--format goes with --output")
	case c.Output != "" && (c.Limit != 0 || c.Cursor != "" || c.Scan):
		return schema.InvalidField("--output", "--output writes everything that is found: --limit, --cursor and --scan do not go with it")
	case c.Scan && (c.Cursor != "" || c.From != "" || c.To != "" || len(c.Topic) > 0 || c.TopicID != "" || c.Type != "" || c.Service != "" || c.Stage != "" || c.Violation != "" || c.Status != "committed"):
		return schema.WithHint(schema.InvalidField("--scan", "with --scan everything is said by terms"), "write topic:NAME, type:NAME, after:TIME and so on")
	case c.Scan && len(c.Query) == 0:
		return schema.InvalidField("--scan", "--scan needs terms")
	}
	return nil
}

// Run implements kong's command.
func (c *searchCommand) Run(ctx context.Context, in *invocation) error {
	if err := c.usage(); err != nil {
		return err
	}
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	whole := c.Output != ""
	if c.Limit == 0 && !whole {
		c.Limit = 50
	}
	if c.Scan {
		return c.scan(ctx, in, server)
	}
	params := api.SearchRecordsParams{
		From: from, To: to, EventType: pointer(c.Type), Service: pointer(c.Service), Stage: pointer(c.Stage),
		Q: pointer(strings.Join(c.Query, " ")), Limit: &c.Limit, Cursor: pointer(c.Cursor), Status: pointer(api.SearchRecordsParamsStatus(c.Status)),
	}
	params.Violation = pointer(c.Violation)
	params.TopicId = pointer(c.TopicID)
	if len(c.Topic) > 0 {
		params.Topic = &c.Topic
	}
	if whole {
		return c.export(ctx, in, server, params)
	}
	page, err := server.Search(ctx, params)
	if err != nil {
		markFault(in.err, strings.Join(c.Query, " "), err)
		return err
	}
	var unknown []api.UnknownTopic
	if page.UnknownTopics != nil {
		unknown = *page.UnknownTopics
	}
	if c.JSON || len(page.Records) > 0 || len(unknown) < len(c.Topic) || len(unknown) == 0 {
		if err := c.print(in.out, page, func(w io.Writer) { showPage(w, page) }); err != nil {
			return err
		}
	}
	return notThere(unknown)
}

// markFault shows a query with a mark under the character that an error says is
// at fault; nothing where it says none.
func markFault(w io.Writer, query string, err error) {
	var problem *client.ProblemError
	if !errors.As(err, &problem) || problem.Field == nil || *problem.Field != "q" || problem.At == nil {
		return
	}
	const around = 60
	runes := []rune(query)
	at := min(max(*problem.At, 1), len(runes)+1) - 1
	from, to := max(0, at-around), min(len(runes), at+around)
	before, lead := "  ", "  "
	if from > 0 {
		before, lead = "  …", "   "
	}
	fmt.Fprintf(terminal.Plain(w), "%s%s\n%s%s^\n", before, string(runes[from:to]), lead, strings.Repeat(" ", at-from))
}

// notThere is the error for topics that were asked for by names that nothing
// is archived under; nil if there are none.
func notThere(unknown []api.UnknownTopic) error {
	if len(unknown) == 0 {
		return nil
	}
	var names []string
	for _, u := range unknown {
		name := strconv.Quote(u.Topic)
		if u.DidYouMean != nil {
			name += fmt.Sprintf(" (did you mean %s?)", *u.DidYouMean)
		}
		names = append(names, name)
	}
	return schema.WithHint(schema.Errorf(schema.NotFound, "no such topic is archived: %s", strings.Join(names, ", ")), "annals coverage lists the topics")
}

func showPage(w io.Writer, page *api.RecordPage) {
	table(w, "TIME|RECORD|STAGE|SERVICE|TYPE|VERSION|TRACE|", func(row func(...any)) {
		for _, h := range page.Records {
			at := h.Coordinates
			mark := ""
			if !h.Sealed {
				mark = "fresh"
			}
			if h.Status != "committed" {
				mark += " " + string(h.Status)
			}
			row(h.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"), recordText(at.Topic, at.Partition, at.Offset),
				h.Stage, h.SourceService, h.EventType, h.EventVersion, h.TraceId, mark)
		}
	})
	if page.Note != nil && page.UnknownTopics == nil { // these are an error of their own
		fmt.Fprintln(w, *page.Note)
	}
	s := page.Searched
	fmt.Fprintf(w, "%d shown; searched %d records in %d topics, fresh to %s\n", len(page.Records), s.Records, s.Topics, moment(s.FreshTo))
	if page.NextCursor != nil {
		fmt.Fprintf(w, "There is more: --cursor %s\n", *page.NextCursor)
	}
}
