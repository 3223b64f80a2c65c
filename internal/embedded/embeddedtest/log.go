package embeddedtest

import (
	"log/slog"
	"os"
	"testing"
)

// Log is what the pieces of a test log to: standard error with -v, otherwise
// nowhere.
func Log() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}
