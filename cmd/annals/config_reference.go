package main

import (
	"fmt"

	"github.com/fx-risk-ai/annals/internal/config"
)

// configReferenceCommand is annals config reference.
type configReferenceCommand struct{}

// Run implements kong's command.
func (c *configReferenceCommand) Run(in *invocation) error {
	_, err := fmt.Fprint(in.out, config.Reference())
	return err
}
