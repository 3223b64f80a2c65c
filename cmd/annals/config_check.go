package main

import (
	"fmt"

	"github.com/fx-risk-ai/annals/internal/config"
)

// configCheckCommand is annals config check.
type configCheckCommand struct {
	File string `arg:"" optional:"" type:"path" help:"Configuration file; the environment counts too."`
}

// Run implements kong's command.
func (c *configCheckCommand) Run(in *invocation) error {
	_, warnings, err := config.Load(c.File, in.environ)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(in.out, "warning: "+w.String())
	}
	_, err = fmt.Fprintln(in.out, "The configuration is sound.")
	return err
}
