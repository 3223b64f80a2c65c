package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/web/api"
	"github.com/fx-risk-ai/annals/web/client"
)

// pacing are the flags of how fast a replay produces. Without any it is as fast
// as possible.
type pacing struct {
	Rate      float64       `placeholder:"N" help:"Produce at most so many records a second, all partitions by one clock."`
	BytesRate float64       `placeholder:"N" help:"Produce at most so many bytes of keys, values and headers a second; with --rate the slower holds."`
	Speed     float64       `placeholder:"X" help:"Produce at the original pace times X, all topics and partitions by one clock; 1 is as it was."`
	MaxWait   time.Duration `placeholder:"DURATION" help:"With --speed: wait for no gap longer than this."`
	FastUntil string        `placeholder:"TIME" help:"With --speed or a rate: do not wait for what the clock has before this time; the pace holds from there on."`
}

// pace is nil if none of the flags is given.
func (p pacing) pace() (*api.ReplayPace, error) {
	until, err := parseTime("--fast-until", p.FastUntil)
	rated := p.Rate != 0 || p.BytesRate != 0
	switch {
	case err != nil:
		return nil, err
	case until != nil && !rated && p.Speed == 0:
		return nil, schema.InvalidField("fast-until", "--fast-until needs --speed or a rate, to go on with")
	case rated && p.Speed != 0:
		return nil, schema.InvalidField("speed", "--speed and a rate exclude each other")
	case p.MaxWait != 0 && p.Speed == 0:
		return nil, schema.InvalidField("max-wait", "--max-wait needs --speed")
	case rated:
		return &api.ReplayPace{Mode: "rate", RecordsPerSecond: pointer(p.Rate), BytesPerSecond: pointer(p.BytesRate), FastUntil: until}, nil
	case p.Speed != 0:
		return &api.ReplayPace{Mode: "original", Speed: &p.Speed, MaxWaitSeconds: pointer(p.MaxWait.Seconds()), FastUntil: until}, nil
	}
	return nil, nil //nolint:nilnil // nothing was asked for
}

// replayPaceCommand is annals replay pace.
type replayPaceCommand struct {
	replayControl
	pacing
}

// Run implements kong's command.
func (c *replayPaceCommand) Run(ctx context.Context, in *invocation) error {
	pace, err := c.pace()
	if err != nil {
		return err
	}
	if pace == nil {
		pace = &api.ReplayPace{Mode: "fast"}
	}
	return c.act(in, func(server *client.Client, id string) (*api.ReplayJob, error) {
		return server.PaceReplay(ctx, id, *pace)
	})
}

// describePace says in words how fast a job produces.
func describePace(p *api.ReplayPace) string {
	switch p.Mode {
	case "rate":
		out := "by one clock"
		if p.RecordsPerSecond != nil {
			out += fmt.Sprintf(", %g records/s", *p.RecordsPerSecond)
		}
		if p.BytesPerSecond != nil {
			out += fmt.Sprintf(", %g bytes/s", *p.BytesPerSecond)
		}
		return out + describeUntil(p)
	case "original":
		out := "by one clock, at the original pace"
		if p.Speed != nil {
			out += fmt.Sprintf(" × %g", *p.Speed)
		}
		return out + describeUntil(p)
	}
	return "as fast as possible"
}

func describeUntil(p *api.ReplayPace) string {
	if p.FastUntil == nil {
		return ""
	}
	return ", from " + moment(p.FastUntil) + " on"
}

// showLateness prints how well a pace was kept.
func showLateness(w io.Writer, l *api.ReplayLateness) {
	for _, line := range []struct {
		when string
		of   api.Lateness
	}{{"sent", l.Sent}, {"acknowledged", l.Acked}} {
		fmt.Fprintf(w, "%s later than due: p50 %.1f ms, p99 %.1f ms, at most %.1f ms, of %d records\n", line.when, line.of.P50Ms, line.of.P99Ms, line.of.MaxMs, line.of.Records)
	}
	fmt.Fprintf(w, "readers of committed data get them with the next commit, every %g ms\n", l.CommitIntervalMs)
}
