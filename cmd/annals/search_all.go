package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fx-risk-ai/annals/internal/terminal"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// formatOf is the format of an export of matches: the one asked for, or what a
// file's name says.
func formatOf(asked, file string) (api.ExportRecordsParamsFormat, error) {
	if asked == "" {
		asked = strings.TrimPrefix(strings.ToLower(filepath.Ext(file)), ".")
	}
	switch f := api.ExportRecordsParamsFormat(asked); f {
	case "jsonl":
		return "ndjson", nil
	case "ndjson", "csv", "parquet":
		return f, nil
	default:
		return "", schema.WithHint(schema.InvalidField("--format", "the name %q says no format", file), "end it in .ndjson, .csv or .parquet, or say --format")
	}
}

// export writes every match to a file, or to standard output where it is "-".
// A file that is not whole has no name: it is renamed when it is.
func (c *searchCommand) export(ctx context.Context, in *invocation, server *client.Client, p api.SearchRecordsParams) error {
	format, err := formatOf(c.Format, c.Output)
	if err != nil {
		return err
	}
	params := api.ExportRecordsParams{
		From: p.From, To: p.To, Topic: p.Topic, TopicId: p.TopicId, EventType: p.EventType, Service: p.Service, Stage: p.Stage, Violation: p.Violation,
		Status: (*api.ExportRecordsParamsStatus)(p.Status), Q: p.Q, Format: format,
	}
	said, err := c.download(in, func(w io.Writer) (*answer.Statement, error) { return server.Matches(ctx, params, w) })
	if err != nil {
		markFault(in.err, strings.Join(c.Query, " "), err)
		return err
	}
	out := in.out
	if c.Output == "-" {
		out = in.err
	}
	if err := c.print(out, said, func(w io.Writer) { showStatement(w, c.Output, said) }); err != nil {
		return err
	}
	if !said.Complete {
		return exitError(exitIncomplete)
	}
	return nil
}

func (c *searchCommand) download(in *invocation, write func(io.Writer) (*answer.Statement, error)) (said *answer.Statement, err error) {
	if c.Output == "-" {
		return write(in.out)
	}
	part, err := os.CreateTemp(filepath.Dir(c.Output), filepath.Base(c.Output)+".part-*")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", c.Output, err)
	}
	defer func() {
		if err != nil {
			_ = part.Close()           // it is thrown away
			_ = os.Remove(part.Name()) // and what went wrong is told
		}
	}()
	if said, err = write(part); err != nil {
		return nil, err
	}
	if err = part.Sync(); err == nil {
		err = part.Close()
	}
	if err == nil {
		err = os.Rename(part.Name(), c.Output)
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", c.Output, err)
	}
	return said, nil
}

func showStatement(w io.Writer, file string, s *answer.Statement) {
	fmt.Fprintf(w, "%d records written to %s, of %d topics, sealed to %s\n", s.Records, file, s.Topics, moment(&s.SealedTo))
	for _, note := range s.Notes {
		fmt.Fprintln(w, note)
	}
	if s.Complete {
		fmt.Fprintln(w, "Complete: every record that the index finds is in it.")
	} else {
		fmt.Fprintln(w, "Not complete.")
	}
}

// scan shows what the bytes of the archive hold, while it is read.
func (c *searchCommand) scan(ctx context.Context, in *invocation, server *client.Client) error {
	query := strings.Join(c.Query, " ")
	progress := newProgress(in.err)
	plain := terminal.Plain(in.out)
	lines, err := server.Scan(ctx, api.ScanRecordsParams{Q: query, Limit: &c.Limit})
	if err != nil {
		markFault(in.err, query, err)
		return err
	}
	defer lines.Close()
	for {
		line, raw, err := lines.Next()
		switch {
		case err != nil:
			progress.end()
			return err
		case c.JSON:
			if _, err := in.out.Write(raw); err != nil {
				return err
			}
		case line.Record != nil:
			progress.end()
			h := line.Record
			at := h.Coordinates
			fmt.Fprintf(plain, "%s  %s/%d/%d  %s  %s  %s\n", h.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"),
				terminal.Line(at.Topic), at.Partition, at.Offset, terminal.Line(h.SourceService), terminal.Line(h.EventType), h.TraceId)
		case line.Progress != nil:
			progress.at(line.Progress.Bytes, line.Progress.OfBytes, "searched "+readOf(*line.Progress))
		}
		if line.End != nil {
			progress.end()
			return c.ended(in, line.End)
		}
	}
}

func readOf(p api.ScanProgress) string {
	return fmt.Sprintf("%d of %d records, %s of %s", p.Records, p.OfRecords, size(p.Bytes), size(p.OfBytes))
}

// ended says what a scan read, and is exit code 2 where that was not all.
func (c *searchCommand) ended(in *invocation, end *api.ScanEnd) error {
	if !c.JSON {
		w := terminal.Plain(in.out)
		fmt.Fprintf(w, "%d found; searched %s\n", end.Found, readOf(end.Read))
		if end.Stopped != nil {
			fmt.Fprintln(w, map[api.ScanEndStopped]string{
				"limit": "Stopped, as many were found as asked for: raise --limit, or go on with before:.",
				"bytes": "Stopped, search.scan_bytes allows no more: narrow topics and time.",
				"time":  "Stopped, search.scan_time allows no more: narrow topics and time.",
			}[*end.Stopped])
		}
		switch {
		case end.Unsealed == nil:
			fmt.Fprintln(w, "The index does not answer: how many records are not sealed, and so not read, is not known.")
		case *end.Unsealed > 0:
			fmt.Fprintf(w, "%d records are not sealed yet and were not read (annals seal).\n", *end.Unsealed)
		}
		if end.Opaque > 0 {
			fmt.Fprintf(w, "%d values are no JSON, and no pointer looks into them.\n", end.Opaque)
		}
		if end.Withheld > 0 {
			fmt.Fprintf(w, "%d records were not looked into: their topic's policy withholds what was asked for (annals topics).\n", end.Withheld)
		}
	}
	if end.UnknownTopics != nil {
		return notThere(*end.UnknownTopics)
	}
	if !end.Complete {
		return exitError(exitIncomplete)
	}
	return nil
}
