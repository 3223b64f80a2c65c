package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/telemetry"
)

func TestLoggerFormatsAndLevels(t *testing.T) {
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, "warn", "auto")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("below the level")
	logger.Warn("shown", "at", time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 3600)))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("auto without a terminal is one JSON line: %v in %s", err, out.String())
	}
	if line["msg"] != "shown" || line["at"] != "2026-01-02T02:04:05Z" {
		t.Errorf("line %v", line)
	}
	out.Reset()
	if logger, err = telemetry.NewLogger(&out, "debug", "text"); err != nil {
		t.Fatal(err)
	}
	logger.Debug("shown", "topic", "a b")
	if !strings.Contains(out.String(), `level=DEBUG msg=shown topic="a b"`) {
		t.Errorf("text: %s", out.String())
	}
	for _, bad := range [][2]string{{"loud", "json"}, {"info+3", "json"}, {"info", "xml"}, {"", ""}} {
		if _, err := telemetry.NewLogger(io.Discard, bad[0], bad[1]); err == nil {
			t.Errorf("level %q, format %q accepted", bad[0], bad[1])
		}
	}
}

func TestLimiterLetsOneThroughAndTellsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		limited, flush := telemetry.Limit(slog.New(slog.NewTextHandler(&out, nil)), time.Minute)
		derived := limited.With("topic", "a").WithGroup("g")
		for i := range 10 {
			derived.Warn("retrying", "attempt", i)
		}
		derived.Error("retrying")
		time.Sleep(time.Minute)
		limited.Warn("retrying", "attempt", 10)
		limited.Warn("retrying", "attempt", 11)
		flush(t.Context())
		flush(t.Context())
		want := []string{
			`level=WARN msg=retrying topic=a g.attempt=0`,
			`level=ERROR msg=retrying topic=a`,
			`level=WARN msg=retrying attempt=10 suppressed=9`,
			`level=WARN msg="message repeated" message=retrying suppressed=1`,
		}
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), out.String())
		}
		for i := range want {
			if !strings.HasSuffix(got[i], want[i]) {
				t.Errorf("line %d: %s\nwant %s", i, got[i], want[i])
			}
		}
	})
}

// tally is a handler that counts messages and the suppressed ones they tell.
type tally struct {
	mu           sync.Mutex
	lines, told  int
	texts        map[string]bool
	slog.Handler // for the methods that do not matter here
}

func (c *tally) Enabled(context.Context, slog.Level) bool { return true }

func (c *tally) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "suppressed" {
			c.told += int(a.Value.Int64())
			told = true
		}
		return true
	})
	if !told || r.Message != "message repeated" {
		c.lines++
	}
	c.texts[r.Message] = true
	return nil
}

// TestLimiterLosesNoCount: whatever comes when, lines let through and counts
// told add up to what was logged.
func TestLimiterLosesNoCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 600), 1, 300).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			counts := &tally{texts: map[string]bool{}}
			limited, flush := telemetry.Limit(slog.New(counts), 10*time.Second)
			for _, s := range steps {
				limited.Info(fmt.Sprintf("message %d", s%400))
				time.Sleep(time.Duration(s%7) * time.Second)
			}
			flush(t.Context())
			if counts.lines+counts.told != len(steps) {
				rt.Errorf("%d let through and %d told, of %d", counts.lines, counts.told, len(steps))
			}
		})
	})
}

func TestLimiterBoundsItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := &tally{texts: map[string]bool{}}
		limited, flush := telemetry.Limit(slog.New(counts), time.Hour)
		for i := range 10_000 {
			limited.Info(fmt.Sprintf("message %d", i))
		}
		if len(counts.texts) > 300 {
			t.Errorf("%d kinds are told apart", len(counts.texts))
		}
		flush(t.Context())
		if counts.lines+counts.told != 10_000 {
			t.Errorf("%d let through and %d told", counts.lines, counts.told)
		}
	})
}

func TestLimiterFromSeveralGoroutines(t *testing.T) {
	counts := &tally{texts: map[string]bool{}}
	limited, flush := telemetry.Limit(slog.New(counts), time.Hour)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				limited.Info("same")
			}
		})
	}
	wg.Wait()
	flush(t.Context())
	if counts.lines != 1 || counts.told != 3999 {
		t.Errorf("%d let through, %d told", counts.lines, counts.told)
	}
}

func TestRegistryTellsTheBuild(t *testing.T) {
	build := telemetry.Version()
	if build.Version == "" || build.Commit == "" || build.Date == "" || !strings.HasPrefix(build.Go, "go1.") {
		t.Errorf("build %+v", build)
	}
	if !strings.HasPrefix(build.String(), "annals "+build.Version) {
		t.Errorf("String: %s", build)
	}
	registry := telemetry.NewRegistry(build)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	n, err := testutil.GatherAndCount(registry, "annals_build_info", "process_resident_memory_bytes", "go_goroutines")
	if err != nil || n != 3 {
		t.Errorf("%d of the 3 metrics, %v", n, err)
	}
}
