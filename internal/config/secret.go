package config

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands where a secret would.
const redacted = "[redacted]"

// Secret is a password, key or token that cannot be printed by accident: fmt
// with any verb, slog, JSON and YAML write "[redacted]", or nothing when it is
// empty. The text is behind a pointer so that even printing a struct that holds
// a Secret in an unexported field shows an address, not the text.
//
// The zero Secret is empty. Do not compare with ==; use [Secret.Reveal].
type Secret struct {
	text *string
}

// NewSecret wraps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text itself. Call it where the secret is handed to a
// client, and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether there is a text.
func (s Secret) IsSet() bool { return s.text != nil }

// String returns "[redacted]", or "" when empty.
func (s Secret) String() string {
	if s.IsSet() {
		return redacted
	}
	return ""
}

// Format answers every verb and flag of fmt alike.
func (s Secret) Format(f fmt.State, _ rune) {
	// A failing writer is for the caller of Fprintf to see: fmt.State has no
	// way to report it from here.
	_, _ = io.WriteString(f, s.String())
}

// LogValue answers slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText answers JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
