package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/config"
	"github.com/fx-risk-ai/annals/internal/forecast"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// planCommand is annals plan.
type planCommand struct {
	attaching
	Interval         time.Duration   `default:"30s" placeholder:"DURATION" help:"How long high watermarks are watched for the rates (30s)."`
	RecordsPerSecond *float64        `placeholder:"N" help:"What if this many records came a second, over all topics: in proportion to what was measured, or evenly where nothing was."`
	BytesPerRecord   float64         `placeholder:"N" help:"Take this for every topic instead of what was measured."`
	Compression      float64         `placeholder:"RATIO" help:"Bytes stored for one byte of records, for every topic, instead of what was measured."`
	CutBytes         config.Bytes    `placeholder:"SIZE" help:"What if archive.cut.bytes were this."`
	CutAge           config.Duration `placeholder:"DURATION" help:"What if archive.cut.max_age were this; archive.cut.age is lowered to it, if it is above."`
	Memory           config.Bytes    `placeholder:"SIZE" help:"What if archive.memory.bytes were this."`
	Spool            *config.Bytes   `placeholder:"SIZE" help:"What if archive.spool.bytes were this; 0B: no spool."`
	Archivers        int             `default:"1" placeholder:"N" help:"Processes that archive (1)."`
	Servers          int             `default:"1" placeholder:"N" help:"Processes that serve (1)."`
	Keep             config.Duration `default:"365d" placeholder:"DURATION" help:"How long segments are kept (365d); 0s: for ever, counted as ten years."`
	PricePut         float64         `default:"${price_put}" placeholder:"USD" help:"1,000 PUT or LIST requests (${price_put}: Amazon's list price of S3 Standard in us-east-1, as of ${prices_as_of})."`
	PriceGet         float64         `default:"${price_get}" placeholder:"USD" help:"1,000 GET or HEAD requests (${price_get}, likewise)."`
	PriceStore       float64         `default:"${price_store}" placeholder:"USD" help:"A gigabyte in the store for a month (${price_store}, likewise)."`
	PriceIndex       float64         `default:"${price_index}" placeholder:"USD" help:"A gigabyte on the index's disks for a month (${price_index}: gp3 volumes, likewise)."`
}

// planned is what annals plan prints as JSON.
type planned struct {
	forecast.Forecast
	Interval string          `json:"interval"`
	Moved    int64           `json:"records_seen"`
	Prices   forecast.Prices `json:"prices_usd"`
	Notes    []string        `json:"notes"`
	Loads    []forecast.Load `json:"partitions"`
}

// Run implements kong's command. Its exit code is 2 where nothing came while
// it looked and nothing was supposed.
func (c *planCommand) Run(ctx context.Context, in *invocation) (err error) {
	if c.Interval <= 0 || c.RecordsPerSecond != nil && *c.RecordsPerSecond < 0 || c.BytesPerRecord < 0 || c.Compression < 0 {
		return schema.Errorf(schema.Invalid, "--interval must be above 0, --records-per-second, --bytes-per-record and --compression not below")
	}
	p, _, err := c.attach(in)
	if err != nil {
		return err
	}
	defer both(&err, p.close)
	topics, err := p.cfg.Archived()
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(p.kafka)
	if err != nil {
		return err
	}
	defer admin.Close()
	reader, err := kafka.NewReader(p.kafka)
	if err != nil {
		return err
	}
	seen, err := forecast.Survey(ctx, admin, reader, p.index, topics, c.Interval)
	if err != nil {
		return err
	}
	settings := c.suppose(&seen, p.cfg)
	answer := planned{
		Forecast: forecast.Estimate(seen.Loads, settings), Interval: seen.Interval.Round(time.Millisecond).String(),
		Moved: seen.Moved, Prices: settings.Prices, Notes: seen.Notes, Loads: seen.Loads,
	}
	if err := c.print(in, answer, settings); err != nil {
		return err
	}
	if answer.Active == 0 {
		return exitError(exitIncomplete)
	}
	return nil
}

// suppose puts the flags over what was measured and configured.
func (c *planCommand) suppose(seen *forecast.Surveyed, cfg config.Config) forecast.Settings {
	if c.RecordsPerSecond != nil {
		forecast.Scale(seen.Loads, *c.RecordsPerSecond)
	}
	for i := range seen.Loads {
		if c.BytesPerRecord > 0 {
			seen.Loads[i].BytesPerRecord = c.BytesPerRecord
		}
		if c.Compression > 0 {
			seen.Loads[i].Compression = c.Compression
		}
	}
	cut := cfg.Archive.Cut
	if c.CutBytes > 0 {
		cut.Bytes, cut.MinBytes = c.CutBytes, min(cut.MinBytes, c.CutBytes)
	}
	if c.CutAge > 0 {
		cut.MaxAge, cut.Age = c.CutAge, min(cut.Age, c.CutAge)
	}
	memory := cfg.Archive.Memory.Bytes
	if c.Memory > 0 {
		memory = c.Memory
	}
	spool := cfg.Archive.Spool.Bytes
	if c.Spool != nil {
		spool = *c.Spool
	}
	return forecast.Settings{
		Cut: forecast.Cut{
			Bytes: int64(cut.Bytes), MinBytes: int64(cut.MinBytes), Age: cut.Age.Std(), MaxAge: cut.MaxAge.Std(), Memory: int64(memory), Spool: int64(spool),
		},
		Archivers: c.Archivers, Servers: c.Servers, Snapshots: cfg.Archive.Snapshots.Interval.Std(), IndexRows: seen.IndexRows, IndexBytes: seen.IndexBytes,
		Keep: c.Keep.Std(), IndexKeep: cfg.Index.Retention.Std(),
		Prices: forecast.Prices{Put1000: c.PricePut, Get1000: c.PriceGet, StoreGBMonth: c.PriceStore, IndexGBMonth: c.PriceIndex},
	}
}

// print writes the answer, with what it stands on.
func (c *planCommand) print(in *invocation, answer planned, s forecast.Settings) error {
	if c.JSON {
		encoder := json.NewEncoder(in.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer)
	}
	if err := answer.Print(in.out); err != nil {
		return err
	}
	fmt.Fprintf(in.out, "\n%d of %d partitions are active: %d records in %s.\n", answer.Active, answer.Total.Partitions, answer.Moved, answer.Interval)
	switch {
	case c.RecordsPerSecond != nil:
		fmt.Fprintf(in.out, "Supposed: %g records a second over all of them.\n", *c.RecordsPerSecond)
	case answer.Active == 0:
		fmt.Fprintln(in.out, "Indeterminate: nothing came, so this says nothing. Watch longer with --interval, or suppose a rate with --records-per-second.")
	}
	for _, note := range answer.Notes {
		fmt.Fprintln(in.out, note)
	}
	fmt.Fprintf(in.out, "Cut: at %s, at %s from %s on, at %s at the latest. ", config.Bytes(s.Cut.Bytes), config.Duration(s.Cut.Age), config.Bytes(s.Cut.MinBytes), config.Duration(s.Cut.MaxAge))
	switch {
	case answer.Ceiling > 0 && s.Cut.Spool == 0:
		fmt.Fprintf(in.out, "But memory (%s) cuts the largest buffers at %s already: set archive.spool.bytes (%s would do), raise archive.memory.bytes, or add archivers, for fewer requests.\n",
			config.Bytes(s.Cut.Memory), size(int64(answer.Ceiling)), size(int64(answer.Spool)))
	case answer.Ceiling > 0:
		fmt.Fprintf(in.out, "But memory and spool (%s, %s) cut the largest buffers at %s already: raise archive.spool.bytes (%s would do), or add archivers, for fewer requests.\n",
			config.Bytes(s.Cut.Memory), config.Bytes(s.Cut.Spool), size(int64(answer.Ceiling)), size(int64(answer.Spool)))
	case s.Cut.Spool > 0:
		fmt.Fprintln(in.out, "Memory and spool suffice for that.")
	default:
		fmt.Fprintln(in.out, "Memory suffices for that.")
	}
	fmt.Fprintf(in.out, "Money: list prices as of %s unless set by flags; in the end: segments kept %s, the index %s (0s: ten years). Not in it: searches, replays, exports, traffic between regions, machines.\n",
		forecast.PricesAsOf, config.Duration(s.Keep), config.Duration(s.IndexKeep))
	return nil
}
