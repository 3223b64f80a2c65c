package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/web/api"
)

// catalogCommand is annals catalog.
type catalogCommand struct {
	asking
	Type string `arg:"" optional:"" help:"Only this event type, with its schema and newest record."`
}

// Run implements kong's command.
func (c *catalogCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	found, err := server.EventTypes(ctx, c.Type)
	if err != nil {
		return err
	}
	return c.print(in.out, found, func(w io.Writer) {
		if c.Type != "" && len(found.EventTypes) == 1 {
			showEventType(w, &found.EventTypes[0])
		} else {
			showEventTypes(w, found)
		}
		for _, note := range found.Notes {
			fmt.Fprintln(w, note)
		}
	})
}

func showEventTypes(w io.Writer, found *api.EventTypeList) {
	table(w, "TYPE|VERSIONS|TEAM|PRODUCERS|CONSUMERS|TOPICS|RECORDS|BYTES|WITH ERRORS|LAST", func(row func(...any)) {
		for i := range found.EventTypes {
			t := &found.EventTypes[i]
			row(t.EventType, versionsOf(t), said(t.Team), producersOf(t), consumersOf(t), topicsOf(t), t.Records, size(t.Bytes), t.WithErrors, moment(t.LastTimestamp))
		}
	})
	if found.More {
		fmt.Fprintln(w, "There are more types, versions and services than can be shown.")
	}
}

func showEventType(w io.Writer, t *api.EventType) {
	table(w, "WHAT|"+t.EventType, func(row func(...any)) {
		row("description", said(t.Description))
		row("team", said(t.Team)+by(t.TeamBy))
		for _, v := range t.Versions {
			registered := "not registered"
			if v.Contract != nil {
				registered = "contract " + *v.Contract
			}
			row("version "+v.EventVersion, fmt.Sprintf("%d records, %s to %s, %s", v.Records, moment(v.FirstTimestamp), moment(v.LastTimestamp), registered))
		}
		row("producers", producersOf(t))
		row("consumers", consumersOf(t))
		row("topics", topicsOf(t))
		row("records", fmt.Sprintf("%d, %s, %d with errors", t.Records, size(t.Bytes), t.WithErrors))
		row("first, last", moment(t.FirstTimestamp)+" "+moment(t.LastTimestamp))
		if t.MaxDelayMs != nil {
			row("SLA", fmt.Sprintf("at most %d ms from event to record", *t.MaxDelayMs))
		}
		if t.Sla != nil {
			row("SLA", *t.Sla)
		}
		if t.Sample != nil {
			at := t.Sample.Coordinates
			row("newest record", "annals get "+recordText(at.Topic, at.Partition, at.Offset))
		}
	})
	if t.Schema != nil {
		text, err := json.MarshalIndent(t.Schema, "", "  ")
		if err == nil {
			fmt.Fprintf(w, "%s\n", text)
		}
	}
}

func by(text *string) string {
	if text == nil {
		return ""
	}
	return " (by " + *text + ")"
}

func versionsOf(t *api.EventType) string {
	var list []string
	for _, v := range t.Versions {
		list = append(list, v.EventVersion)
	}
	return strings.Join(list, " ")
}

func producersOf(t *api.EventType) string {
	var list []string
	for _, p := range t.Producers {
		list = append(list, p.Service)
	}
	return strings.Join(list, " ")
}

func consumersOf(t *api.EventType) string {
	if !t.ConsumersKnown {
		return "not known"
	}
	var list []string
	for _, c := range t.Consumers {
		list = append(list, c.Group)
	}
	return strings.Join(list, " ")
}

func topicsOf(t *api.EventType) string {
	var list []string
	for _, o := range t.Topics {
		list = append(list, o.Topic)
	}
	return strings.Join(list, " ")
}
