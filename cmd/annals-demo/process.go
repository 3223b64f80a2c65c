package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/fx-risk-ai/annals/demo"
)

// limitMemory collects garbage twice as often as usual. (A hard limit near
// what is in use costs far more: the collector then does little else.)
func limitMemory() { debug.SetGCPercent(50) }

// child is the process of a service: this program, told its name. What is
// secret goes through the environment, which other users cannot read.
func (c *allCommand) child(name string, cfg demo.Config, logs *logFiles) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	args := append([]string{name, "--supervised", "--log-level=" + strings.ToLower(c.LogLevel.String())}, c.args()...)
	cmd := exec.Command(program, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DEMO_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(
		cmd.Env,
		"DEMO_KAFKA_BROKERS="+strings.Join(cfg.Brokers, ","),
		"DEMO_KAFKA_USER="+cfg.User,
		"DEMO_KAFKA_PASSWORD="+cfg.Password,
		"DEMO_KAFKA_MECHANISM="+cfg.Mechanism,
		fmt.Sprintf("DEMO_KAFKA_TLS=%t", cfg.TLS),
	)
	cmd.Stderr = logs.of(name)
	// Ctrl-C is for this process alone, which then stops its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// requests turns lines on standard input into requests, and its end into a stop.
func requests(in io.Reader, stop context.CancelFunc) <-chan struct{} {
	again := make(chan struct{}, 1)
	go func() {
		defer stop()
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if lines.Text() == "again" {
				select {
				case again <- struct{}{}:
				default: // one waits already
				}
			}
		}
	}()
	return again
}

// enters asks again at every line that a person enters.
func enters(in io.Reader, again chan<- struct{}) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		again <- struct{}{}
	}
}

// isTerminal takes every character device but the null device for one.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// logFiles are where the services' logs go.
type logFiles struct{ files map[string]*os.File }

func openLogs(dir string) (*logFiles, error) {
	l := &logFiles{files: map[string]*os.File{}}
	if dir == "" {
		return l, nil
	}
	for _, name := range demo.Services() {
		f, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open log: %w", err), l.closeAll())
		}
		l.files[name] = f
	}
	return l, nil
}

func (l *logFiles) of(name string) *os.File {
	if f := l.files[name]; f != nil {
		return f
	}
	return os.Stderr
}

func (l *logFiles) closeAll() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (l *logFiles) close(log *slog.Logger) {
	if err := l.closeAll(); err != nil {
		log.Warn("log files could not be closed", "err", err)
	}
}
