package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/fx-risk-ai/annals/internal/config"
)

func TestSizesAndTimesSurviveText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := config.Bytes(rapid.Int64Min(0).Draw(t, "size"))
		var size2 config.Bytes
		if err := size2.UnmarshalText([]byte(size.String())); err != nil || size2 != size {
			t.Fatalf("%d → %s → %d, %v", int64(size), size, int64(size2), err)
		}
		length := config.Duration(rapid.Int64Min(0).Draw(t, "length"))
		var length2 config.Duration
		if err := length2.UnmarshalText([]byte(length.String())); err != nil || length2 != length {
			t.Fatalf("%d → %s → %d, %v", int64(length), length, int64(length2), err)
		}
	})
}

func TestBytesText(t *testing.T) {
	for text, want := range map[string]config.Bytes{
		"64MiB": 64 << 20, " 1 GiB ": 1 << 30, "0": 0, "10kB": 10_000, "10KB": 10_000, "2TB": 2e12, "7B": 7, "9007199254740993": 9007199254740993,
	} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "64mib", "64 M", "0x10", "99999999999TiB", "9223372036854775808", "1e3"} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q accepted as %d", text, got)
		}
	}
}

func TestDurationText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"400d": 9600 * time.Hour, "7d12h": 180 * time.Hour, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond, "0": 0, "0s": 0, "0d": 0,
	} {
		var got config.Duration
		if err := got.UnmarshalText([]byte(text)); err != nil || got.Std() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "90", "-1m", "d", "1.5d", "1d-1h", "200000d", "1y", "106751d23h59m"} {
		var got config.Duration
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q accepted as %v", text, got)
		}
	}
	if got := config.Duration(15 * time.Minute).String(); got != "15m" {
		t.Errorf("15m is written %s", got)
	}
}

// TestSecretsAreNeverShown prints a secret in every way a careless line might.
func TestSecretsAreNeverShown(t *testing.T) {
	const word = "hunter2"
	cfg := config.Default()
	cfg.Kafka.SASL.Password = config.NewSecret(word)
	hidden := struct{ password config.Secret }{config.NewSecret(word)}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T", "%p"} {
		for _, value := range []any{cfg, &cfg, cfg.Kafka.SASL.Password, &cfg.Kafka.SASL.Password, hidden, []config.Secret{hidden.password}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("start", "config", cfg, "password", cfg.Kafka.SASL.Password, "hidden", hidden)
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	out.Write(asYAML)
	hex := fmt.Sprintf("%x", word)
	if s := out.String(); strings.Contains(s, word) || strings.Contains(s, hex) {
		t.Errorf("shown:\n%s", s)
	}
	for name, b := range map[string][]byte{"JSON": asJSON, "YAML": asYAML, "fmt": []byte(fmt.Sprintf("%+v", cfg))} {
		if !bytes.Contains(b, []byte("[redacted]")) {
			t.Errorf("%s does not say that something was left out", name)
		}
	}
	if config.NewSecret("").IsSet() || cfg.Kafka.SASL.Password.Reveal() != word {
		t.Error("IsSet or Reveal is wrong")
	}
}
