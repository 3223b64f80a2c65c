package main

import (
	"context"

	"github.com/fx-risk-ai/annals/archiver"
)

// archiveCommand is annals archive.
type archiveCommand struct {
	settings
	Instance string `placeholder:"NAME" help:"Static name in the consumer group (a StatefulSet's pod name, say): a restart takes the partitions back at once."`
}

// Run implements kong's command.
func (c *archiveCommand) Run(ctx context.Context, in *invocation) error {
	return runRole(ctx, in, c.settings, "archive", func(p *parts) (*archiver.Archiver, error) {
		return p.archiver(c.Instance, false)
	})
}
