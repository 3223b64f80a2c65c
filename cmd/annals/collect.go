package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/schema"
)

// collectCommand is annals collect.
type collectCommand struct {
	settings
	DataDir string          `placeholder:"DIR" help:"Data folder of the annals up whose bucket it is (annals-data)."`
	Topic   []string        `placeholder:"NAME" help:"Only this topic; in a pattern, * stands for any characters and ? for one. Repeatable."`
	After   config.Duration `placeholder:"DURATION" help:"How old an object that nothing needs is by then; 24h at least (archive.collect.after)."`
	Delete  bool            `help:"Delete them. Without, nothing is deleted."`
	JSON    bool            `help:"Print JSON: a line an object, and one that adds them up."`
}

// Run implements kong's command. Exit codes: 0 all was gone through, 2 some
// streams were left alone, 4 usage.
func (c *collectCommand) Run(ctx context.Context, in *invocation) error {
	topics, err := matching(c.Topic)
	if err != nil {
		return err
	}
	store, cfg, log, err := c.bucket(in, c.DataDir)
	if err != nil {
		return err
	}
	defer store.Close()
	after := cfg.Archive.Collect.After.Std()
	if c.After != 0 {
		after = c.After.Std()
	}
	say := collected{out: in.out, json: c.JSON, deletes: c.Delete, after: after}
	report, err := archiver.CollectAll(ctx, store, ledger.New(store, log), log, archiver.CollectOptions{
		Delete: c.Delete, Topics: topics, After: after, Each: say.object,
	})
	say.end(report)
	for _, left := range report.Left {
		fmt.Fprintf(in.err, "left alone: %s: %v\n", nameOf(left.Stream), left.Err)
	}
	switch {
	case err != nil:
		return err
	case say.failed != nil:
		return say.failed
	case report.Streams == 0 && len(report.Left) == 0 && len(c.Topic) > 0:
		return schema.Errorf(schema.NotFound, "collect: no topic that is archived matches %s", strings.Join(c.Topic, ", "))
	case len(report.Left) > 0:
		return exitError(exitIncomplete)
	}
	return nil
}

// nameOf names a stream whose topic may not be known.
func nameOf(s schema.Stream) string {
	if s.Topic == "" {
		return schema.LedgerStreamPrefix(s)
	}
	return fmt.Sprintf("%s/%d", s.Topic, s.Partition)
}

// reasons say why an object goes, in words.
var reasons = map[string]string{
	archiver.WhyReplaced: "segments that a compaction joined into others",
	archiver.WhyOrphan:   "objects that no commit names, and that none can name any more",
	archiver.WhyJob:      "jobs of compactions that are over",
}

// collected says what goes.
type collected struct {
	out     io.Writer
	json    bool
	deletes bool
	after   time.Duration
	failed  error // the output's own
}

func (c *collected) print(format string, args ...any) {
	if c.failed == nil {
		_, c.failed = fmt.Fprintf(c.out, format, args...)
	}
}

func (c *collected) line(v any) {
	if c.failed == nil {
		c.failed = json.NewEncoder(c.out).Encode(v)
	}
}

func (c *collected) object(s schema.Stream, o archiver.Collected) {
	if !c.json {
		c.print("%-8s  since %s  %10s  %s\n", o.Why, moment(&o.Since), size(o.Bytes), o.Key)
		return
	}
	c.line(struct {
		Key       string    `json:"key"`
		Bytes     int64     `json:"bytes,string"`
		Why       string    `json:"why"`
		Since     time.Time `json:"since"`
		Topic     string    `json:"topic"`
		Partition int32     `json:"partition"`
		Deleted   bool      `json:"deleted"`
	}{o.Key, o.Bytes, o.Why, o.Since.UTC(), s.Topic, s.Partition, c.deletes})
}

// tally is some objects, as JSON says it.
type tally struct {
	Objects int64 `json:"objects,string"`
	Bytes   int64 `json:"bytes,string"`
}

func tallies(of map[string]archiver.Objects) map[string]tally {
	out := map[string]tally{}
	for why, o := range of {
		out[why] = tally{o.Count, o.Bytes}
	}
	return out
}

// end adds it all up, also of a collection that did not get to its end.
func (c *collected) end(r archiver.CollectReport) {
	if c.json {
		var from *time.Time
		if !r.From.IsZero() {
			utc := r.From.UTC()
			from = &utc
		}
		c.line(struct {
			Deleted bool             `json:"deleted"`
			After   string           `json:"after"`
			Streams int              `json:"streams"`
			Left    int              `json:"streams_left_alone"`
			Gone    map[string]tally `json:"collected"`
			Waiting map[string]tally `json:"too_young"`
			From    *time.Time       `json:"too_young_until"`
		}{c.deletes, config.Duration(c.after).String(), r.Streams, len(r.Left), tallies(r.Gone), tallies(r.Waiting), from})
		return
	}
	did := "would be deleted"
	if c.deletes {
		did = "deleted"
	}
	if len(r.Gone) == 0 {
		c.print("Nothing of %d streams is older than %s and of no use.\n", r.Streams, config.Duration(c.after))
	}
	for _, why := range slices.Sorted(maps.Keys(r.Gone)) {
		c.print("%d %s, %s: %s\n", r.Gone[why].Count, reasons[why], size(r.Gone[why].Bytes), did)
	}
	for _, why := range slices.Sorted(maps.Keys(r.Waiting)) {
		c.print("%d %s, %s: kept, younger than %s\n", r.Waiting[why].Count, reasons[why], size(r.Waiting[why].Bytes), config.Duration(c.after))
	}
	if !r.From.IsZero() {
		c.print("The first of those can go from %s on.\n", moment(&r.From))
	}
	if len(r.Gone) > 0 && !c.deletes {
		c.print("Nothing was deleted; --delete does it.\n")
	}
}
