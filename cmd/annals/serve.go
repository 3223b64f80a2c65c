package main

import "context"

// serveCommand is annals serve.
type serveCommand struct {
	settings
}

// Run implements kong's command.
func (c *serveCommand) Run(ctx context.Context, in *invocation) error {
	return runRole(ctx, in, c.settings, "serve", nil)
}
