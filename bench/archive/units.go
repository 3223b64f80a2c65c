package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// mostOverParts is how much CPU the archiver may take for that of its parts.
const mostOverParts = 1.3

const mib = 1 << 20

// outcome is what the rounds brought of one unit.
type outcome struct {
	rate, cpu, resident                             measure.Spread // without an index
	indexedRate, indexedCPU, indexedResident, index measure.Spread
	over, indexedOver                               measure.Spread
	consume, extract, leaf, tree, encode, hash, put measure.Spread
	insert, clickhouse                              measure.Spread
	last                                            archived // with an index
	lastParts                                       parts
	weight                                          weight // of the last round's
}

// units loads all units and measures each in every round: archive without an
// index, with one, and the parts alone.
func (b *bench) units(ctx context.Context) error {
	list, err := b.load(ctx)
	if err != nil {
		return err
	}
	outcomes := make([]outcome, len(list))
	var failed error
	for round := 0; round < b.rounds && failed == nil; round++ {
		for i, u := range list {
			b.log.Info("measure", "unit", u.name, "round", round+1, "records", u.records)
			if failed = b.round(ctx, round, u, &outcomes[i]); failed != nil {
				break
			}
		}
	}
	for i, u := range list {
		if len(outcomes[i].rate) > 0 { // what was measured before something failed counts
			b.report(u, &outcomes[i])
		}
	}
	return failed
}

func (b *bench) load(ctx context.Context) ([]*unit, error) {
	var (
		list    []*unit
		sources []string
	)
	for _, name := range b.chosen {
		var partitions int
		if _, err := fmt.Sscanf(name[strings.LastIndexByte(name, '-')+1:], "%d", &partitions); err != nil || partitions < 4 {
			return nil, fmt.Errorf("-units %s: want plain-N or demo-N, of at least 4 partitions", name)
		}
		var (
			u   *unit
			err error
		)
		switch {
		case strings.HasPrefix(name, "plain-"):
			u, err = b.plain(ctx, b.up.Kafka, name, partitions, b.records)
		case strings.HasPrefix(name, "demo-"):
			if sources == nil {
				if sources, err = b.demonstrate(ctx, b.up.Kafka); err != nil {
					return nil, err
				}
			}
			u, err = b.copyDemo(ctx, b.up.Kafka, sources, partitions)
		default:
			err = fmt.Errorf("-units %s: want plain-N or demo-N", name)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, nil
}

func (b *bench) round(ctx context.Context, round int, u *unit, o *outcome) error {
	bare := run{name: fmt.Sprintf("%s-bare-%d", u.name, round), topics: u.pattern()}
	full := run{name: fmt.Sprintf("%s-full-%d", u.name, round), topics: u.pattern(), index: true}
	without, err := b.archive(ctx, bare, u.records)
	if err != nil {
		return err
	}
	with, err := b.archive(ctx, full, u.records)
	if err != nil {
		return err
	}
	p, err := b.alone(ctx, u, full)
	if err != nil {
		return err
	}
	if o.weight, err = weigh(b.storedUnder(full.name)); err != nil {
		return err
	}
	if err := b.forget(ctx, bare); err != nil {
		return err
	}
	if err := b.forget(ctx, full); err != nil {
		return err
	}
	o.add(u, without, with, p)
	return nil
}

func (o *outcome) add(u *unit, without, with archived, p parts) {
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(u.records) }
	rate := func(a archived) float64 { return float64(a.records) / a.wall.Seconds() }
	o.rate.Add(rate(without))
	o.cpu.Add(each(without.cpu))
	o.resident.Add(float64(without.resident) / mib)
	o.indexedRate.Add(rate(with))
	o.indexedCPU.Add(each(with.cpu))
	o.indexedResident.Add(float64(with.resident) / mib)
	o.index.Add(each(with.clickhouse))
	o.over.Add(without.cpu.Seconds() / p.without().Seconds())
	o.indexedOver.Add((with.cpu + with.clickhouse).Seconds() / p.with().Seconds())
	for _, part := range []struct {
		to   *measure.Spread
		time time.Duration
	}{
		{&o.consume, p.Consume},
		{&o.extract, p.Extract},
		{&o.leaf, p.Leaf},
		{&o.tree, p.Tree},
		{&o.encode, p.Encode},
		{&o.hash, p.Hash},
		{&o.put, p.Put},
		{&o.insert, p.Insert},
		{&o.clickhouse, p.ClickHouse},
	} {
		part.to.Add(each(part.time))
	}
	o.last, o.lastParts = with, p
}

// report prints one unit's figures.
func (b *bench) report(u *unit, o *outcome) {
	f, name := b.figures, func(what string) string { return u.name + "_" + what }
	f.Add(name("records"), float64(u.records), "records")
	f.Add(name("record_size"), float64(u.payload)/float64(u.records), "B/record")
	f.Add(name("index_rows"), float64(o.lastParts.Rows)/float64(u.records), "rows/record")
	for _, part := range []struct {
		name string
		cpu  measure.Spread
	}{
		{"consume", o.consume},
		{"extract", o.extract},
		{"leaf", o.leaf},
		{"tree", o.tree},
		{"encode", o.encode},
		{"sha256", o.hash},
		{"put", o.put},
		{"insert", o.insert},
		{"insert_clickhouse", o.clickhouse},
	} {
		f.Add(name("part_"+part.name), part.cpu.Median(), "µs CPU/record")
	}
	f.All(name("archive"), o.rate, "records/s")
	f.All(name("archive_cpu"), o.cpu, "µs CPU/record")
	f.Add(name("archive_resident"), o.resident.Quantile(1), "MiB")
	f.All(name("archive_index"), o.indexedRate, "records/s")
	f.All(name("archive_index_cpu"), o.indexedCPU, "µs CPU/record")
	f.Add(name("archive_index_clickhouse_cpu"), o.index.Median(), "µs CPU/record")
	f.Add(name("archive_index_resident"), o.indexedResident.Quantile(1), "MiB")
	f.Around(name("archive_over_parts"), o.over, "×")
	f.AtMost(name("archive_over_parts"), o.over.Median(), "×", mostOverParts)
	f.Around(name("archive_index_over_parts"), o.indexedOver, "×")
	f.AtMost(name("archive_index_over_parts"), o.indexedOver.Median(), "×", mostOverParts)
	f.Add(name("segments"), float64(o.last.segments), "segments")
	f.Add(name("mean_segment"), float64(o.last.bytes)/float64(o.last.segments)/1000, "KB")
	b.reportWeight(u, o.weight, o.last)
	f.Add(name("encoded_alone"), float64(o.lastParts.Encoded)/float64(o.lastParts.Bytes), "of the segments' bytes")
}
