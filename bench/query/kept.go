package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// loaded says what a folder holds.
type loaded struct {
	Asked    int64  `json:"asked"`    // records that were asked for
	Records  int64  `json:"records"`  // that are in the index
	Archived int64  `json:"archived"` // those that are in the archive too
	Few      int64  `json:"few"`      // in the index of the first ones
	Stride   int64  `json:"stride"`   // offsets from a copy to the next
	BigTrace string `json:"big_trace"`
}

// loadedFile is written when everything is loaded.
const loadedFile = "loaded.json"

// load loads the records, unless the folder has them, and says what is there.
func (b *bench) load(ctx context.Context, records int64) error {
	file := filepath.Join(b.work, loadedFile)
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = b.fill(ctx, file, records)
	case err == nil:
		err = json.Unmarshal(text, &b.loaded)
		if err == nil && b.loaded.Asked != records {
			err = fmt.Errorf("it was loaded with -records %d", b.loaded.Asked)
		}
	}
	if err != nil {
		return fmt.Errorf("folder %s: %w", b.work, err)
	}
	l := &b.loaded
	b.figures.Add("records", float64(l.Records), "records")
	b.figures.Add("records_archived", float64(l.Archived), "records")
	b.figures.Add("records_few", float64(l.Few), "records")
	return nil
}

// fill loads an empty folder: ten million records, or half of them if they are
// fewer than twenty, of which an index is kept apart, and then all others.
func (b *bench) fill(ctx context.Context, file string, records int64) error {
	n, err := measure.Count(ctx, b.up.ClickHouse, "SELECT count() FROM records")
	if err == nil && n > 0 {
		err = errors.New("its loading did not come to an end: remove it")
	}
	if err != nil {
		return err
	}
	started := time.Now()
	if err := b.archive(ctx, records/copies); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	b.figures.Add("archived_in", time.Since(started).Seconds(), "s")
	if err := b.keepOriginals(ctx); err != nil {
		return err
	}
	big, err := measure.SQL(ctx, b.up.ClickHouse, "SELECT any(trace_id) FROM records_by_trace WHERE topic = '"+bigTopic+"'")
	if err != nil {
		return err
	}
	b.loaded.BigTrace = big[0][0]
	some := max(1, min(copies/2, copies*fewRecords/records))
	if err := b.copy(ctx, 1, some); err != nil {
		return err
	}
	if err := b.keepFew(ctx); err != nil {
		return err
	}
	if err := b.copy(ctx, some, copies); err != nil {
		return err
	}
	if err := b.dropOriginals(ctx); err != nil {
		return err
	}
	l := &b.loaded
	l.Asked, l.Few, l.Records = records, l.Archived*some, l.Archived*copies
	b.figures.Add("loaded_in", time.Since(started).Seconds(), "s")
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o600)
}
