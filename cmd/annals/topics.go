package main

import (
	"context"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// topicsCommand is annals topics.
type topicsCommand struct {
	asking
	Topic string `arg:"" optional:"" help:"Only this topic."`
	All   bool   `help:"Show also what no entry of the configuration says, and holds by default."`
}

// Run implements kong's command.
func (c *topicsCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	found, err := server.TopicPolicies(ctx, api.ListTopicPoliciesParams{Topic: pointer(c.Topic)})
	if err != nil {
		return err
	}
	return c.print(in.out, found, func(w io.Writer) { showPolicies(w, found, c.All || c.Topic != "") })
}

func showPolicies(w io.Writer, found *api.TopicPolicies, all bool) {
	table(w, "TOPIC|WHAT|HOLDS|DECIDED BY", func(row func(...any)) {
		for _, t := range found.Topics {
			said := false
			for _, p := range t.Properties {
				by := "default"
				if p.DecidedBy != nil {
					by = *p.DecidedBy
				}
				if all || p.DecidedBy != nil {
					row(t.Topic, p.Name, p.Value, by)
					said = true
				}
			}
			if !said {
				row(t.Topic, "everything", "by default", "no entry")
			}
		}
	})
	for _, note := range found.Notes {
		line(w, note)
	}
}
