package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fx-risk-ai/annals/web/api"
)

// filesCommand is annals files.
type filesCommand struct {
	asking
	Topic   string `required:"" placeholder:"TOPIC" help:"The topic."`
	TopicID string `name:"topic-id" placeholder:"ID" help:"Another topic of the name, an older one or another cluster's (annals coverage lists their IDs)."`
	Raw     bool   `help:"List the raw batches instead: the bytes, as they were fetched, of what could not be read."`
}

// Run implements kong's command.
func (c *filesCommand) Run(ctx context.Context, in *invocation) error {
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	list, err := server.Segments(ctx, api.ListSegmentsParams{Topic: c.Topic, TopicId: pointer(c.TopicID), Raw: pointer(c.Raw)})
	if err != nil {
		return err
	}
	return c.print(in.out, list, func(w io.Writer) {
		if list.Batches != nil { // asked for
			for _, b := range *list.Batches {
				fmt.Fprintf(w, "s3://%s/%s\n", list.Bucket, b.Key)
			}
			return
		}
		for _, s := range list.Segments {
			fmt.Fprintf(w, "s3://%s/%s\n", list.Bucket, s.Key)
		}
	})
}
