package measure

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

	"github.com/fx-risk-ai/annals/internal/embedded"
)

// Harness is a folder with other programs and the scripts that measure them, and a
// topic that all of them archive. It stays outside of this repository; PEERS_DIR
// names it.
type Harness struct {
	// Set are its settings, as its env.sh gives them.
	Set map[string]string
	dir string
	env []string
}

// PeerResult is what the harness gives of one run, of a line of results.jsonl.
type PeerResult struct {
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

// OpenHarness reads the settings of the harness in a folder, for a topic of so many
// records.
func OpenHarness(ctx context.Context, dir string, records int64) (*Harness, error) {
	h := &Harness{dir: dir, env: append(os.Environ(), "PEERS="+dir, "N="+strconv.FormatInt(records, 10)), Set: map[string]string{}}
	cmd := exec.CommandContext(ctx, "bash", "-c", `. "$PEERS/env.sh" && env -0`)
	cmd.Env = h.env
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read the settings of %s: %w", dir, err)
	}
	for pair := range bytes.SplitSeq(out, []byte{0}) {
		if name, value, ok := strings.Cut(string(pair), "="); ok {
			h.Set[name] = value
		}
	}
	return h, nil
}

// Script runs one of the harness' scripts to its end.
func (h *Harness) Script(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(h.dir, name), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = h.dir, h.env, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// Serve starts the harness' broker and store and fills its topic, and gives how many
// records that has, and what stops both, also where ctx has ended.
func (h *Harness) Serve(ctx context.Context) (records int64, stop func() error, err error) {
	if err := h.Script(ctx, "services.sh", "start"); err != nil {
		return 0, nil, err
	}
	stop = func() error {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return h.Script(ending, "services.sh", "stop")
	}
	if records, err = h.load(ctx); err != nil {
		return 0, nil, errors.Join(err, stop())
	}
	return records, stop, nil
}

// load fills the topic, unless it is full, and returns how many records it has.
func (h *Harness) load(ctx context.Context) (int64, error) {
	brokers, topic := h.Set["BROKERS"], h.Set["TOPIC"]
	count := exec.CommandContext(ctx, filepath.Join(h.Set["BIN"], "topic"), "-brokers", brokers, "count", topic)
	out, _ := count.Output() // it fails while there is no such topic
	if lines := strings.Fields(string(out)); len(lines) == 0 || lines[len(lines)-1] != h.Set["N"] {
		load := exec.CommandContext(ctx, filepath.Join(h.Set["BIN"], "loader"), "-brokers", brokers, "-topic", topic,
			"-partitions", h.Set["PARTS"], "-n", h.Set["N"], "-codec", h.Set["CODEC"], "-batch-bytes", h.Set["BATCH"])
		load.Env, load.Stderr = h.env, os.Stderr
		if err := load.Run(); err != nil {
			return 0, fmt.Errorf("fill the peers' topic: %w", err)
		}
	}
	digest := exec.CommandContext(ctx, filepath.Join(h.Set["BIN"], "consume"), "-brokers", brokers, "-topic", topic, "-digest")
	digest.Env = h.env
	said, err := digest.Output()
	if err != nil {
		return 0, fmt.Errorf("read the peers' topic: %w", err)
	}
	var held struct{ Records int64 }
	if err := json.Unmarshal(said, &held); err != nil {
		return 0, fmt.Errorf("read the peers' topic: %w", err)
	}
	if err := os.WriteFile(filepath.Join(h.Set["WORK"], "bench.json"), said, 0o600); err != nil {
		return 0, fmt.Errorf("tell the harness what the topic holds: %w", err)
	}
	return held.Records, nil
}

// Has tells whether one of the others is built.
func (h *Harness) Has(program string) bool {
	_, err := os.Stat(filepath.Join(h.Set["BIN"], program))
	return err == nil
}

// Run has one of the others do something once, and gives its line of results.jsonl.
func (h *Harness) Run(ctx context.Context, name, what, label string) (PeerResult, error) {
	if err := h.Script(ctx, "peers/"+name+".sh", what, label); err != nil {
		return PeerResult{}, err
	}
	file, err := os.Open(filepath.Join(h.Set["RESULTS"], "results.jsonl"))
	if err != nil {
		return PeerResult{}, fmt.Errorf("read the results of %s: %w", name, err)
	}
	defer file.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r PeerResult
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Peer != name || r.What != what || r.Round != label {
			continue // another's, or another run's
		}
		if r.Failed {
			return r, fmt.Errorf("%s failed in round %s", name, label)
		}
		return r, nil
	}
	return PeerResult{}, errors.Join(lines.Err(), fmt.Errorf("%s left no result of round %s", name, label))
}

// Delete removes a topic of the harness' broker.
func (h *Harness) Delete(ctx context.Context, topic string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(h.Set["BIN"], "topic"), "-brokers", h.Set["BROKERS"], "delete", topic)
	cmd.Env = h.env
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// Up says where the harness' broker and store are.
func (h *Harness) Up() embedded.UpFile {
	return embedded.UpFile{
		Kafka: embedded.UpKafka{Brokers: strings.Split(h.Set["BROKERS"], ",")},
		S3: embedded.UpS3{
			Endpoint: h.Set["S3_URL"], Region: h.Set["AWS_REGION"], Bucket: h.Set["S3_BUCKET"],
			AccessKey: h.Set["AWS_ACCESS_KEY_ID"], SecretKey: h.Set["AWS_SECRET_ACCESS_KEY"],
		},
	}
}
