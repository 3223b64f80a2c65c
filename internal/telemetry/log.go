package telemetry

import (
	"io"
	"log/slog"
	"os"

	"github.com/fx-risk-ai/annals/schema"
)

// Formats of a log.
const (
	FormatAuto = "auto" // text on a terminal, JSON elsewhere
	FormatJSON = "json"
	FormatText = "text"
)

// NewLogger returns a logger that writes to w. level is debug, info, warn or
// error; format one of the Format constants. Times are written in UTC, so that
// lines of several machines can be laid side by side. Errors: an unknown level
// or format ([schema.Invalid]).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	switch level {
	case "debug", "info", "warn", "error":
		// The names are known, so this cannot fail; UnmarshalText alone would
		// also take "info+3".
		if err := least.UnmarshalText([]byte(level)); err != nil {
			return nil, err
		}
	default:
		return nil, schema.Errorf(schema.Invalid, "log level %q is not debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: utc}
	switch {
	case format == FormatText, format == FormatAuto && isTerminal(w):
		return slog.New(traced{slog.NewTextHandler(w, options)}), nil
	case format == FormatJSON, format == FormatAuto:
		return slog.New(traced{slog.NewJSONHandler(w, options)}), nil
	}
	return nil, schema.Errorf(schema.Invalid, "log format %q is not auto, json or text", format)
}

// utc rewrites times, the message's own and those among its attributes.
func utc(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// isTerminal reports whether w is a character device, which is near enough: the
// other ones, such as /dev/null, have no reader to disappoint.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
