package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/bench/measure"
)

// loadedLine is what annals up says when the demo's history is through.
const loadedLine = "history loaded, indexed and sealed"

// Limits of the demo and of memory.
const (
	demoSeconds  = 90 // aim: 60
	treeBytes    = 2.5 * (1 << 30)
	archiveBytes = 512 << 20
	mib          = 1 << 20
)

// demonstrate starts annals up with the demo on an empty folder and waits until
// the history is loaded, indexed and sealed. The first round's topics are kept
// in filled for the other parts; the process goes on.
func (b *bench) demonstrate(ctx context.Context, round int, filled string, times *measure.Spread) (*stack, error) {
	b.log.Info("measure", "what", "demo", "round", round+1)
	dir := filepath.Join(b.work, fmt.Sprintf("demo-%d", round))
	loaded := make(chan struct{})
	var once sync.Once
	began := time.Now()
	s, err := b.up(ctx, dir, func(line string) {
		if strings.Contains(line, loadedLine) {
			once.Do(func() { close(loaded) })
		}
	}, "--demo", "--demo-no-live")
	if err != nil {
		return nil, err
	}
	select {
	case <-loaded:
	case <-s.Ended():
		err = s.Alive()
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(5 * time.Minute):
		err = fmt.Errorf("annals up did not say %q within 5 minutes\n%s", loadedLine, s.Said())
	}
	took := time.Since(began)
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	times.Add(took.Seconds())
	if used, err := s.CPU(); err == nil {
		b.figures.Add(fmt.Sprintf("demo_cpu_round_%d", round+1), used.Seconds(), "s")
	}
	b.figures.AtMost(fmt.Sprintf("demo_tree_resident_round_%d", round+1), float64(s.Resident())/mib, "MiB", treeBytes/mib)
	if round > 0 {
		return s, nil
	}
	// A broker's files are whole only when it has stopped.
	if err := s.Stop(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filled, 0o700); err != nil {
		return nil, fmt.Errorf("keep the topics: %w", err)
	}
	if err := keepKafka(dir, filled); err != nil {
		return nil, err
	}
	return b.up(ctx, dir, nil)
}

// keepKafka copies the broker's folder, and the credentials that go with it,
// into another data folder.
func keepKafka(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy the topics: %w", err)
	}
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case entry.IsDir() && entry.Name() == "kafka":
			err = os.CopyFS(target, os.DirFS(source))
		case entry.Type().IsRegular() && strings.HasSuffix(entry.Name(), ".json") && entry.Name() != "up.json":
			var body []byte
			if body, err = os.ReadFile(source); err == nil {
				err = os.WriteFile(target, body, 0o600)
			}
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", source, err)
		}
	}
	return nil
}
