package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
)

// getCommand is annals get.
type getCommand struct {
	asking
	Record  string `arg:"" help:"topic/partition/offset."`
	TopicID string `name:"topic-id" placeholder:"ID" help:"Another topic of the name, an older one or another cluster's."`
	Raw     bool   `help:"Write the value's exact bytes and nothing else."`
}

// Run implements kong's command.
func (c *getCommand) Run(ctx context.Context, in *invocation) error {
	at, err := schema.ParseCoordinates(c.Record)
	if err != nil {
		return err
	}
	server, err := c.dial()
	if err != nil {
		return err
	}
	defer server.Close()
	params := api.GetRecordParams{TopicId: pointer(c.TopicID)}
	if c.Raw {
		null, err := server.Value(ctx, at, params, in.out)
		if err == nil && null {
			fmt.Fprintln(in.err, "The value is null.")
		}
		return err
	}
	record, err := server.Record(ctx, at, params)
	if err != nil {
		return err
	}
	return c.print(in.out, record, func(w io.Writer) { showRecord(w, record) })
}

func showRecord(w io.Writer, r *api.Record) {
	at := r.Coordinates
	fmt.Fprintf(w, "%s/%d/%d  branch %d, topic ID %s\n", at.Topic, at.Partition, at.Offset, at.Branch, at.TopicId)
	state := "sealed"
	if !r.Sealed {
		state = "fresh: not in the ledger yet"
	}
	fmt.Fprintf(w, "status     %s, %s\n", r.Status, state)
	fmt.Fprintf(w, "timestamp  %s (%s, %s ms)\n", moment(&r.Timestamp), r.TimestampType, r.TimestampMs)
	fmt.Fprintf(w, "event      %s %s by %s, stage %s\n", r.EventType, r.EventVersion, r.SourceService, r.Stage)
	fmt.Fprintf(w, "ids        trace %s, event %s\n", r.TraceId, r.EventId)
	for _, cause := range r.Causes {
		fmt.Fprintf(w, "cause      %s\n", cause)
	}
	fmt.Fprintf(w, "read from  %s\n", r.Source)
	if r.Withheld != nil {
		fmt.Fprintf(w, "withheld   %s\n", terminal.Line(strings.Join(*r.Withheld, ", ")))
	}
	fmt.Fprintf(w, "key        %s\n", bytesText(r.Key))
	for _, h := range r.Headers {
		decoded := ""
		if h.Decoded != nil {
			decoded = " = " + *h.Decoded
		}
		fmt.Fprintf(w, "header     %s: %s%s\n", terminal.Line(h.Name), bytesText(h.Value), decoded)
	}
	fmt.Fprintf(w, "value      %s\n", bytesText(r.Value))
	if d := r.Decoded; d != nil {
		showDecoding(w, d)
	}
}

// showDecoding prints what the schema that the value names makes of it.
func showDecoding(w io.Writer, d *api.Decoding) {
	of := "not known"
	if d.SchemaType != nil {
		of = *d.SchemaType
	}
	if d.SchemaName != nil {
		of += " " + *d.SchemaName
	}
	fmt.Fprintf(w, "schema     %s, %s\n", d.SchemaId, terminal.Line(of))
	switch {
	case d.Reason != nil:
		fmt.Fprintf(w, "decoded    no, %s: %s\n", *d.Reason, terminal.Line(d.Detail))
	case d.Value == nil:
		fmt.Fprintf(w, "decoded    %s\n", terminal.Line(d.Detail))
	default:
		fmt.Fprintf(w, "decoded    %s\n", bytesText(*d.Value))
	}
	if d.Withheld != nil {
		fmt.Fprintf(w, "           withheld of it: %s\n", terminal.Line(strings.Join(*d.Withheld, ", ")))
	}
}

func bytesText(b api.Bytes) string {
	switch {
	case b.Format == api.Withheld:
		return "withheld by the topic's policy"
	case b.IsNull:
		return "null"
	case b.Text != nil:
		return strings.ReplaceAll(*b.Text, "\n", "\n           ") // a line of it must not pass for one of ours
	case b.Base64 != nil:
		return fmt.Sprintf("%d bytes, base64 %s", b.Size, *b.Base64)
	default:
		return fmt.Sprintf("%d bytes", b.Size)
	}
}
