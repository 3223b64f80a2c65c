package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/bench/measure"
	"github.com/fx-risk-ai/annals/internal/embedded"
)

// stack is a running annals up.
type stack struct {
	*measure.Program
	up    embedded.UpFile
	ready time.Time // when everything answered
}

// up starts annals up on a data folder, with what a user would add. lines
// takes what it says.
func (b *bench) up(ctx context.Context, dir string, lines func(string), more ...string) (*stack, error) {
	args := append([]string{
		"up", "--data-dir", dir, "--kafka-listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0",
		"--clickhouse-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0",
	}, more...)
	cmd := exec.Command(filepath.Join(b.bin, "annals"), args...)
	// As --demo has it: partitions of years for 27 years of history, all kept.
	cmd.Env = append(os.Environ(), "ANNALS_INDEX_PARTITION=years", "ANNALS_INDEX_RETENTION=0s")
	p, err := measure.Start(cmd, lines)
	if err != nil {
		return nil, err
	}
	s := &stack{Program: p}
	err = measure.Await(ctx, time.Minute, 20*time.Millisecond, func() (bool, error) {
		if err := p.Alive(); err != nil {
			return false, err
		}
		var err error
		s.up, err = embedded.ReadUpFile(dir)
		if errors.Is(err, embedded.ErrNotUp) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil && s.up.ClickHouse == nil {
		err = errors.New("annals up has no embedded ClickHouse: make engines fetches it")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start annals up: %w", err), p.Stop())
	}
	s.ready = time.Now()
	return s, nil
}

// held is how many offsets Kafka holds, by topic: the demo's topics have no
// compaction, so each is a row of the archive.
func held(ctx context.Context, k embedded.UpKafka) (topics []string, records int64, err error) {
	client, err := measure.KafkaClient(k)
	if err != nil {
		return nil, 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("ask for end offsets: %w", err)
	}
	seen := map[string]bool{}
	ends.Each(func(o kadm.ListedOffset) {
		if strings.HasPrefix(o.Topic, "__") {
			return
		}
		records += o.Offset
		seen[o.Topic] = true
	})
	for topic := range seen {
		topics = append(topics, topic)
	}
	return topics, records, nil
}
