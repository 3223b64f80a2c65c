package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// Bars beside others, on the same topic, broker, store and cores.
const (
	leastOfOSO      = 0.5 // of OSO kafka-backup's records/s, without an index; aim: 0.8
	leastOfBento    = 0.7 // of Bento's, whose Parquet has none, with a full index; aim: 1
	mostOfMemory    = 1.0 / 3
	mostOfOSOsBytes = 1.15 // aim: 1
)

// peerFigures are those with a limit, for when they are not run.
var peerFigures = [][2]string{
	{"peers_archive_over_oso", "×"},
	{"peers_archive_memory_over_oso", "×"},
	{"peers_archive_bytes_over_oso", "×"},
	{"peers_index_over_bento", "×"},
	{"peers_index_memory_over_bento", "×"},
}

func (b *bench) notRun(prefix, why string) {
	for _, f := range peerFigures {
		if strings.HasSuffix(f[0], prefix) {
			b.figures.NotRun(f[0], f[1], why)
		}
	}
}

// peers measures OSO kafka-backup, Bento and annals archive in turn, round by
// round. A peer that is not built is not run, and its lines say so.
func (b *bench) peers(ctx context.Context) (err error) {
	dir := os.Getenv("PEERS_DIR")
	if dir == "" {
		b.notRun("", "PEERS_DIR names no harness")
		return nil
	}
	h, err := measure.OpenHarness(ctx, dir, b.peerRecords)
	if err != nil {
		return err
	}
	records, stop, err := h.Serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	ours := b.at(h)
	var oso, bento peerSpreads
	var bare, full peerSpreads
	stamp := time.Now().UTC().Format("20060102T150405Z")
	for round := range b.rounds {
		label := fmt.Sprintf("%s-%d", stamp, round+1)
		for _, step := range []func() error{
			func() error { return peer(ctx, h, "oso", "kafka-backup", label, &oso) },
			func() error { return ours.beside(ctx, h, records, false, round, &bare) },
			func() error { return peer(ctx, h, "bento", "bento", label, &bento) },
			func() error { return ours.beside(ctx, h, records, true, round, &full) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	b.comparePeers(&oso, &bento, &bare, &full)
	return nil
}

// peerSpreads are one program's rounds. missing says why there are none.
type peerSpreads struct {
	rate, cpu, memory, bytes measure.Spread
	missing                  string
}

func (b *bench) comparePeers(oso, bento, bare, full *peerSpreads) {
	f := b.figures
	for _, p := range []struct {
		name string
		of   *peerSpreads
	}{{"oso", oso}, {"bento", bento}, {"archive", bare}, {"index", full}} {
		if p.of.missing != "" {
			continue
		}
		f.All("peers_"+p.name, p.of.rate, "records/s")
		f.Add("peers_"+p.name+"_cpu", p.of.cpu.Median(), "µs CPU/record")
		f.Add("peers_"+p.name+"_resident", p.of.memory.Median(), "MiB")
		f.Add("peers_"+p.name+"_bytes", p.of.bytes.Median()/1e6, "MB")
	}
	if oso.missing != "" {
		b.notRun("_over_oso", oso.missing)
	} else {
		f.AtLeast("peers_archive_over_oso", bare.rate.Median()/oso.rate.Median(), "×", leastOfOSO)
		f.AtMost("peers_archive_memory_over_oso", bare.memory.Median()/oso.memory.Median(), "×", mostOfMemory)
		f.AtMost("peers_archive_bytes_over_oso", bare.bytes.Median()/oso.bytes.Median(), "×", mostOfOSOsBytes)
	}
	if bento.missing != "" {
		b.notRun("_over_bento", bento.missing)
		return
	}
	f.AtLeast("peers_index_over_bento", full.rate.Median()/bento.rate.Median(), "×", leastOfBento)
	f.AtMost("peers_index_memory_over_bento", full.memory.Median()/bento.memory.Median(), "×", mostOfMemory)
}

// peer runs one of the others, if it is built.
func peer(ctx context.Context, h *measure.Harness, name, program, label string, into *peerSpreads) error {
	if !h.Has(program) {
		into.missing = fmt.Sprintf("the harness has no bin/%s", program)
		return nil
	}
	r, err := h.Run(ctx, name, "backup", label)
	if err != nil {
		return err
	}
	into.rate.Add(r.Rate)
	into.cpu.Add(r.CPU / r.Records * 1e6)
	into.memory.Add(r.Memory)
	into.bytes.Add(r.Bytes)
	return nil
}

// at is this bench at the harness' broker and store, with our own ClickHouse.
func (b *bench) at(h *measure.Harness) *bench {
	there := *b
	up := h.Up()
	there.up.Kafka, there.up.S3 = up.Kafka, up.S3
	there.store = h.Set["S3_DIR"]
	return &there
}

// beside runs annals archive as a peer is run: its time begins with its start.
func (b *bench) beside(ctx context.Context, h *measure.Harness, records int64, index bool, round int, into *peerSpreads) error {
	r := run{name: fmt.Sprintf("annals-%d", round), topics: h.Set["TOPIC"], index: index}
	if index {
		r.name += "-index"
	}
	if err := b.forget(ctx, r); err != nil { // of a run that was cut short
		return err
	}
	got, err := b.archive(ctx, r, records)
	if err = errors.Join(err, b.forget(ctx, r)); err != nil {
		return err
	}
	into.rate.Add(float64(records) / (got.wall + got.startUp).Seconds())
	into.cpu.Add(float64(got.cpu.Microseconds()) / float64(records))
	into.memory.Add(float64(got.resident) / mib)
	into.bytes.Add(float64(got.bytes + got.ledger))
	return nil
}
