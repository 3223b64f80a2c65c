package main

import (
	"encoding/json"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/telemetry"
)

// versionCommand is annals version.
type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run implements kong's command.
func (c *versionCommand) Run(in *invocation) error {
	build := telemetry.Version()
	if c.JSON {
		return json.NewEncoder(in.out).Encode(build)
	}
	_, err := fmt.Fprintln(in.out, build)
	return err
}
