package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/demo"
)

// connection says where Kafka is.
type connection struct {
	Brokers      []string   `env:"DEMO_KAFKA_BROKERS" help:"Kafka bootstrap addresses, host:port." placeholder:"HOST:PORT"`
	User         string     `env:"DEMO_KAFKA_USER" help:"SASL user; the password comes from DEMO_KAFKA_PASSWORD or a file."`
	PasswordFile string     `env:"DEMO_KAFKA_PASSWORD_FILE" help:"File with the SASL password." placeholder:"FILE"`
	Mechanism    string     `env:"DEMO_KAFKA_MECHANISM" help:"SASL mechanism: SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN." default:"SCRAM-SHA-256"`
	TLS          bool       `env:"DEMO_KAFKA_TLS" help:"Connect with TLS."`
	UpFile       string     `help:"Take the connection from the up.json that a running stack has written." placeholder:"DIR/up.json"`
	LogLevel     slog.Level `env:"DEMO_LOG_LEVEL" help:"debug, info, warn or error." default:"warn"`
}

// maxFile bounds a small file that a user names.
const maxFile = 1 << 20

func (c *connection) config(log *slog.Logger) (demo.Config, error) {
	cfg := demo.Config{Brokers: c.Brokers, User: c.User, Password: os.Getenv("DEMO_KAFKA_PASSWORD"), Mechanism: c.Mechanism, TLS: c.TLS, Logger: log}
	if c.PasswordFile != "" {
		b, err := readSmall(c.PasswordFile)
		if err != nil {
			return cfg, fmt.Errorf("read password: %w", err)
		}
		cfg.Password = strings.TrimRight(string(b), "\r\n")
	}
	if c.UpFile != "" {
		if err := fromUpFile(c.UpFile, &cfg); err != nil {
			return cfg, err
		}
	}
	if len(cfg.Brokers) == 0 {
		return cfg, errors.New("no Kafka address: give --brokers, DEMO_KAFKA_BROKERS or --up-file")
	}
	if cfg.User != "" && cfg.Password == "" {
		return cfg, errors.New("a SASL user without a password: set DEMO_KAFKA_PASSWORD or --password-file")
	}
	return cfg, nil
}

func fromUpFile(path string, cfg *demo.Config) error {
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: is the stack running?", path)
	}
	if err != nil {
		return fmt.Errorf("read connection: %w", err)
	}
	var up struct {
		Kafka struct {
			Brokers   []string `json:"brokers"`
			Mechanism string   `json:"mechanism"`
			User      string   `json:"user"`
			Password  string   `json:"password"`
		} `json:"kafka"`
	}
	if err := json.Unmarshal(b, &up); err != nil {
		return fmt.Errorf("read connection from %s: %w", path, err)
	}
	if len(up.Kafka.Brokers) == 0 {
		return fmt.Errorf("%s names no kafka.brokers", path)
	}
	cfg.Brokers, cfg.Mechanism, cfg.User = up.Kafka.Brokers, up.Kafka.Mechanism, up.Kafka.User
	if up.Kafka.Password != "" {
		cfg.Password = up.Kafka.Password
	}
	return nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, nil
}

func (c *connection) logger() *slog.Logger {
	return demo.NewLogger(os.Stderr, c.LogLevel, isTerminal(os.Stderr))
}

// days says what is published and how.
type days struct {
	From         date          `help:"First fixing day to publish." placeholder:"YYYY-MM-DD"`
	To           date          `help:"Last fixing day to publish." placeholder:"YYYY-MM-DD"`
	Years        int           `help:"Publish only the last so many years of history before 2024." placeholder:"N"`
	NoLive       bool          `help:"Leave out the days from 2024 on, which arrive at a pace."`
	LiveInterval time.Duration `help:"Time between two days from 2024 on." default:"1s"`
	AbortEvery   int           `help:"risk-engine aborts one in so many transactions and does it again; 0: never." default:"20"`
}

func (d *days) apply(cfg *demo.Config) {
	cfg.From, cfg.To = d.From.Time, d.To.Time
	cfg.Years, cfg.NoLive, cfg.LiveInterval, cfg.AbortEvery = d.Years, d.NoLive, d.LiveInterval, d.AbortEvery
}

// args are the flags that make another process publish the same.
func (d *days) args() []string {
	args := []string{"--years=" + fmt.Sprint(d.Years), "--live-interval=" + d.LiveInterval.String(), "--abort-every=" + fmt.Sprint(d.AbortEvery)}
	if d.NoLive {
		args = append(args, "--no-live")
	}
	for name, day := range map[string]date{"--from=": d.From, "--to=": d.To} {
		if !day.IsZero() {
			args = append(args, name+day.Format(time.DateOnly))
		}
	}
	return args
}

// date is a day on the command line.
type date struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is no day of the form 2006-01-02", text)
	}
	d.Time = t
	return nil
}
