package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// Bars beside others, on the same topic, broker, store and cores.
const (
	leastOfOSO      = 0.5 // of OSO kafka-backup's records/s, without an index; aim: 0.8
	leastOfBento    = 0.7 // of Bento's, whose Parquet has none, with a full index; aim: 1
	mostOfMemory    = 1.0 / 3
	mostOfOSOsBytes = 1.15 // aim: 1
)

// harness is a folder with the peers' programs and the scripts that measure
// them. It stays outside of this repository; PEERS_DIR names it.
type harness struct {
	dir string
	env []string
	set map[string]string
}

// What the harness gives of one run, of a line of results.jsonl.
type peerResult struct {
	Peer    string  `json:"peer"`
	What    string  `json:"what"`
	Round   string  `json:"round"`
	Failed  bool    `json:"failed"`
	Rate    float64 `json:"records_s"`
	CPU     float64 `json:"cpu_s"`
	Records float64 `json:"records"`
	Memory  float64 `json:"rss_mb"` // MiB
	Bytes   float64 `json:"bytes_written"`
}

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
	h, err := openHarness(ctx, dir, b.peerRecords)
	if err != nil {
		return err
	}
	if err := h.script(ctx, "services.sh", "start"); err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, h.script(ending, "services.sh", "stop"))
	}()
	records, err := h.load(ctx)
	if err != nil {
		return err
	}
	ours := b.at(h)
	var oso, bento peerSpreads
	var bare, full peerSpreads
	stamp := time.Now().UTC().Format("20060102T150405Z")
	for round := range b.rounds {
		label := fmt.Sprintf("%s-%d", stamp, round+1)
		for _, step := range []func() error{
			func() error { return h.peer(ctx, "oso", "kafka-backup", label, &oso) },
			func() error { return ours.beside(ctx, h, records, false, round, &bare) },
			func() error { return h.peer(ctx, "bento", "bento", label, &bento) },
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

// openHarness reads the harness' own settings.
func openHarness(ctx context.Context, dir string, records int64) (*harness, error) {
	h := &harness{dir: dir, env: append(os.Environ(), "PEERS="+dir, "N="+strconv.FormatInt(records, 10)), set: map[string]string{}}
	cmd := exec.CommandContext(ctx, "bash", "-c", `. "$PEERS/env.sh" && env -0`)
	cmd.Env = h.env
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read the settings of %s: %w", dir, err)
	}
	for pair := range bytes.SplitSeq(out, []byte{0}) {
		if name, value, ok := strings.Cut(string(pair), "="); ok {
			h.set[name] = value
		}
	}
	return h, nil
}

// script runs one of the harness' scripts to its end.
func (h *harness) script(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(h.dir, name), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = h.dir, h.env, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// load fills the topic, unless it is full, and returns how many records it has.
func (h *harness) load(ctx context.Context) (int64, error) {
	brokers, topic := h.set["BROKERS"], h.set["TOPIC"]
	count := exec.CommandContext(ctx, filepath.Join(h.set["BIN"], "topic"), "-brokers", brokers, "count", topic)
	out, _ := count.Output() // it fails while there is no such topic
	if lines := strings.Fields(string(out)); len(lines) == 0 || lines[len(lines)-1] != h.set["N"] {
		load := exec.CommandContext(ctx, filepath.Join(h.set["BIN"], "loader"), "-brokers", brokers, "-topic", topic,
			"-partitions", h.set["PARTS"], "-n", h.set["N"], "-codec", h.set["CODEC"], "-batch-bytes", h.set["BATCH"])
		load.Env, load.Stderr = h.env, os.Stderr
		if err := load.Run(); err != nil {
			return 0, fmt.Errorf("fill the peers' topic: %w", err)
		}
	}
	digest := exec.CommandContext(ctx, filepath.Join(h.set["BIN"], "consume"), "-brokers", brokers, "-topic", topic, "-digest")
	digest.Env = h.env
	said, err := digest.Output()
	if err != nil {
		return 0, fmt.Errorf("read the peers' topic: %w", err)
	}
	var held struct{ Records int64 }
	if err := json.Unmarshal(said, &held); err != nil {
		return 0, fmt.Errorf("read the peers' topic: %w", err)
	}
	if err := os.WriteFile(filepath.Join(h.set["WORK"], "bench.json"), said, 0o600); err != nil {
		return 0, fmt.Errorf("tell the harness what the topic holds: %w", err)
	}
	return held.Records, nil
}

// peer runs one of the others, and takes its line of results.jsonl.
func (h *harness) peer(ctx context.Context, name, program, label string, into *peerSpreads) error {
	if _, err := os.Stat(filepath.Join(h.set["BIN"], program)); err != nil {
		into.missing = fmt.Sprintf("the harness has no bin/%s", program)
		return nil
	}
	if err := h.script(ctx, "peers/"+name+".sh", "backup", label); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(h.set["RESULTS"], "results.jsonl"))
	if err != nil {
		return fmt.Errorf("read the results of %s: %w", name, err)
	}
	defer file.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r peerResult
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Peer != name || r.What != "backup" || r.Round != label {
			continue // another's, or another run's
		}
		if r.Failed {
			return fmt.Errorf("%s failed in round %s", name, label)
		}
		into.rate.Add(r.Rate)
		into.cpu.Add(r.CPU / r.Records * 1e6)
		into.memory.Add(r.Memory)
		into.bytes.Add(r.Bytes)
		return nil
	}
	return errors.Join(lines.Err(), fmt.Errorf("%s left no result of round %s", name, label))
}

// at is this bench at the harness' broker and store, with our own ClickHouse.
func (b *bench) at(h *harness) *bench {
	there := *b
	there.up.Kafka = embedded.UpKafka{Brokers: strings.Split(h.set["BROKERS"], ",")}
	there.up.S3 = embedded.UpS3{
		Endpoint: h.set["S3_URL"], Region: h.set["AWS_REGION"], Bucket: h.set["S3_BUCKET"],
		AccessKey: h.set["AWS_ACCESS_KEY_ID"], SecretKey: h.set["AWS_SECRET_ACCESS_KEY"],
	}
	there.store = h.set["S3_DIR"]
	return &there
}

// beside runs annals archive as a peer is run: its time begins with its start.
func (b *bench) beside(ctx context.Context, h *harness, records int64, index bool, round int, into *peerSpreads) error {
	r := run{name: fmt.Sprintf("annals-%d", round), topics: h.set["TOPIC"], index: index}
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
