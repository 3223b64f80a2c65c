package telemetrytest

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	"github.com/fx-risk-ai/annals/internal/telemetry"
)

// Log keeps what is logged.
type Log struct {
	mu  sync.Mutex
	raw bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.Write(p)
}

// Logger is the process's own logger over a Log, at debug level.
func (l *Log) Logger(t testing.TB) *slog.Logger {
	t.Helper()
	logger, err := telemetry.NewLogger(l, "debug", telemetry.FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	return logger
}

// Lines are the lines so far.
func (l *Log) Lines(t testing.TB) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for raw := range bytes.Lines(l.raw.Bytes()) {
		var line map[string]any
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatalf("a line is not JSON: %v in %s", err, raw)
		}
		lines = append(lines, line)
	}
	return lines
}
