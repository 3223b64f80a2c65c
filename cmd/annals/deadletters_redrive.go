package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// deadRedriveCommand is annals dead-letters redrive.
type deadRedriveCommand struct {
	asking
	deadSelection
	Records       []string `arg:"" optional:"" placeholder:"TOPIC/PARTITION/OFFSET" help:"These dead letters; otherwise those that the flags choose."`
	Signature     string   `placeholder:"SIGNATURE" help:"Only those of a group of annals dead-letters groups."`
	AllowExisting bool     `help:"Required: the records go into topics that exist, and whose consumers see them again."`
	Times         int      `default:"3" placeholder:"N" help:"How often a record may be put back in all (3); one that was is refused."`
	KeepHeaders   bool     `help:"Keep the headers that say what failed; otherwise they are taken off."`
	Again         bool     `help:"Also records of which a copy stands in the original topic already."`
	SkipRefused   bool     `help:"Leave out, and name, what cannot be put back; otherwise nothing is planned then."`
}

// Run implements kong's command.
func (c *deadRedriveCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	request := api.RedriveRequest{
		Topic: pointer(c.Topic), Original: pointer(c.Original), Error: pointer(c.Error), Service: pointer(c.Service), Signature: pointer(c.Signature),
		From: from, To: to, AllowExisting: pointer(c.AllowExisting), Limit: &c.Times, KeepHeaders: pointer(c.KeepHeaders), Again: pointer(c.Again),
		SkipRefused: pointer(c.SkipRefused),
	}
	var records []api.Place
	for _, text := range c.Records {
		at, err := schema.ParseCoordinates(text)
		if err != nil {
			return err
		}
		records = append(records, api.Place{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset})
	}
	if len(records) > 0 {
		request.Records = &records
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	plan, err := server.PlanRedrive(ctx, request)
	if err != nil {
		return err
	}
	return c.print(in.out, plan, func(w io.Writer) {
		showPlan(w, plan)
		fmt.Fprintf(w, "\nNothing was produced. To put them back, ten a second: annals replay run %s --rate 10\n", plan.Id)
	})
}
