package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/fx-risk-ai/annals/internal/forecast"
)

// Bars of many partitions.
const (
	manyPartitions = 1000
	manyResident   = 512 // MiB
	manyRate       = 0.5 // times the pace with four partitions

	costPartitions = 10_000
	costRate       = 10.0      // records a second, of each
	costRequests   = 2_000_000 // a day, PUT and GET each
)

// many archives as many records from a thousand partitions as from four, both
// with an index, and counts what that asks of the store.
func (b *bench) many(ctx context.Context) error {
	few, err := b.plain(ctx, b.up.Kafka, "few", 4, b.records)
	if err != nil {
		return err
	}
	many, err := b.plain(ctx, b.up.Kafka, "many", manyPartitions, b.records)
	if err != nil {
		return err
	}
	reference, err := b.once(ctx, few)
	if err != nil {
		return err
	}
	got, err := b.once(ctx, many)
	if err != nil {
		return err
	}
	f := b.figures
	// Opening a thousand chains takes a time of its own, which is no pace.
	rate := func(a archived) float64 { return float64(a.records) / (a.wall - a.opened).Seconds() }
	f.Add("partitions_4", rate(reference), "records/s")
	f.Add("partitions_1000", rate(got), "records/s")
	f.AtLeast("partitions_1000_over_4", rate(got)/rate(reference), "×", manyRate)
	f.Add("partitions_4_opened", reference.opened.Seconds(), "s")
	f.Add("partitions_1000_opened", got.opened.Seconds(), "s")
	f.Add("partitions_1000_cpu", float64(got.cpu.Microseconds())/float64(got.records), "µs CPU/record")
	f.AtMost("partitions_1000_resident", float64(got.resident)/mib, "MiB", manyResident)
	f.Add("partitions_1000_mean_segment", float64(got.bytes)/float64(got.segments)/1000, "KB")
	f.Add("partitions_1000_put", got.puts()/got.wall.Seconds(), "PUT/s")
	return b.requestsADay(many, got)
}

// once is one run with an index, of which nothing stays.
func (b *bench) once(ctx context.Context, u *unit) (archived, error) {
	r := run{name: u.name + "-once", topics: u.pattern(), index: true, partitions: u.partitions}
	got, err := b.archive(ctx, r, u.records)
	return got, errors.Join(err, b.forget(ctx, r))
}

// puts are all requests that write.
func (a *archived) puts() float64 {
	return a.requests["put"] + a.requests["put_if_absent"] + a.requests["put_if_match"]
}

// costMemory and costSpool are what one process of the forecast is given for its
// buffers, in memory and on a local disk.
const (
	costMemory = 2 << 30
	costSpool  = 16 << 30
)

// requestsADay does the arithmetic of annals plan for ten thousand partitions,
// with what a segment was seen to cost: the forecast's own two PUTs and one GET
// must be no fewer than that.
func (b *bench) requestsADay(u *unit, got archived) error {
	perSegment := (got.puts() - float64(u.partitions)) / float64(got.segments) // each chain began with one
	size := float64(u.payload) / float64(u.records)
	const overhead = forecast.RowOverhead + 4*forecast.HeaderOverhead
	cut := forecast.Cut{Bytes: 64 << 20, MinBytes: 4 << 20, Age: 60e9, MaxAge: 900e9, Memory: costMemory, Spool: costSpool}
	loads := make([]forecast.Load, costPartitions)
	for i := range loads {
		loads[i] = forecast.Load{Topic: "t", Partition: int32(i), RecordsPerSecond: costRate, BytesPerRecord: size, Overhead: overhead, Compression: float64(got.bytes) / float64(u.payload)}
	}
	var cast forecast.Forecast
	processes := 1
	for ; processes < 1000; processes++ {
		if cast = forecast.Estimate(loads, forecast.Settings{Cut: cut, Archivers: processes}); cast.Ceiling == 0 {
			break
		}
	}
	if cast.Ceiling != 0 {
		return fmt.Errorf("no number of processes holds %d partitions for their time", costPartitions)
	}
	f := b.figures
	f.Add("requests_put_a_segment_seen", perSegment, "PUT")
	f.Add("requests_processes", float64(processes), "processes")
	f.Add("requests_processes_for_the_pace", math.Ceil(costPartitions*costRate*got.wall.Seconds()/float64(got.records)), "processes")
	f.Add("requests_buffers_a_process", costMemory/(1<<30), "GiB")
	f.Add("requests_spool_a_process", costSpool/(1<<30), "GiB")
	f.Add("requests_spool_needed_a_process", cast.Spool/(1<<30), "GiB")
	f.Add("requests_mean_segment_raw", cast.Total.MeanSegment/1e6, "MB")
	f.Add("requests_mean_segment", cast.Total.MeanSegment*float64(got.bytes)/float64(u.payload)/1e6, "MB")
	f.AtMost("requests_put_a_day", cast.Total.Puts*max(1, perSegment/2), "PUT", costRequests)
	f.AtMost("requests_get_a_day", cast.Total.Gets, "GET", costRequests)
	return nil
}
