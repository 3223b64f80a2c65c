package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/custody"
	"github.com/fx-risk-ai/annals/web/api"
)

// exportCommand is annals export.
type exportCommand struct {
	asking
	between
	Trace string   `placeholder:"ID" help:"Export this trace."`
	Topic []string `placeholder:"TOPIC" help:"Export these topics, within --from and --to."`
	ID    string   `name:"topic-id" placeholder:"ID" help:"With one --topic: another one of the name, an older one or another cluster's (annals coverage lists their IDs)."`
	Case  string   `placeholder:"TEXT" help:"An identifier of yours for the bag."`
	Out   string   `required:"" placeholder:"DIR" help:"Folder to write the bag into; it must not exist."`
}

// Run implements kong's command.
func (c *exportCommand) Run(ctx context.Context, in *invocation) error {
	from, to, err := c.times()
	if err == nil {
		err = c.selected(c.Trace, c.Topic)
	}
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	request := api.ExportRequest{TraceId: pointer(c.Trace), TopicId: pointer(c.ID), From: from, To: to, Case: pointer(c.Case)}
	if len(c.Topic) > 0 {
		request.Topics = &c.Topic
	}
	read, write := io.Pipe()
	refused := make(chan error, 1)
	go func() {
		err := server.Export(ctx, request, write)
		refused <- err
		write.CloseWithError(err)
	}()
	if err := custody.Unpack(ctx, read, c.Out); err != nil {
		read.CloseWithError(err) // ends the transfer
		if asked := <-refused; asked != nil && errors.Is(err, asked) {
			return asked // nothing is wrong with the bag: there is none
		}
		return err
	}
	if c.JSON {
		return json.NewEncoder(in.out).Encode(map[string]string{"bag": c.Out})
	}
	_, err = fmt.Fprintf(in.out, "The bag is in %s. To check it: annals verify %s\n", c.Out, c.Out)
	return err
}
