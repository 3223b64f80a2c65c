package embedded

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// startPatience bounds one start: loading the library takes a second or
	// less, opening many parts on a cold disk more, and a predecessor may hold
	// the folder for a while.
	startPatience = 2 * time.Minute
	// stopPatience is how long a child may take to close its tables.
	stopPatience = 15 * time.Second
)

// child is one run of annals-chdb.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer // closing it asks the child to stop
	version string
	ended   chan struct{} // closed when the process is gone and waited for
	err     error         // what Wait said; after ended
	words   *words
}

// startChild starts annals-chdb on the inherited socket and waits until it has
// said that it is ready.
func startChild(ctx context.Context, o ClickHouseOptions, socket *os.File) (*child, error) {
	args := []string{"--lib", o.Library, "--data-dir", o.DataDir, "--listen-fd", "3", "--user", o.User}
	if o.MaxMemory > 0 {
		args = append(args, "--max-memory", strconv.FormatUint(o.MaxMemory, 10))
	}
	cmd := exec.Command(o.Binary, args...)
	cmd.Env = append(os.Environ(), "ANNALS_CHDB_PASSWORD="+o.Password)
	cmd.ExtraFiles = []*os.File{socket}
	// The child must not outlive us: the kernel kills it when we die, and it
	// sees its standard input end. It has a process group of its own, so that
	// Ctrl-C in a terminal reaches us first and we stop it in our order.
	cmd.SysProcAttr = dieWithParent()
	said := &words{}
	cmd.Stderr = &logLines{log: o.Logger, words: said}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe to annals-chdb: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("open pipe from annals-chdb: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", o.Binary, err)
	}
	c := &child{cmd: cmd, stdin: stdin, ended: make(chan struct{}), words: said}
	ready := make(chan announcement, 1)
	go func() {
		defer close(c.ended)
		// Wait may only be called when the pipe has been read to its end.
		ready <- readAnnouncement(stdout)
		_, copied := io.Copy(io.Discard, stdout)
		c.err = errors.Join(cmd.Wait(), copied)
	}()
	if err := c.awaitReady(ctx, ready); err != nil {
		return nil, err
	}
	return c, nil
}

// announcement is the child's line on standard output.
type announcement struct {
	Listen  string `json:"listen"`
	Version string `json:"version"`
	Error   string `json:"error"`
}

func readAnnouncement(stdout io.Reader) announcement {
	line, err := bufio.NewReaderSize(stdout, 64<<10).ReadSlice('\n')
	var a announcement
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	switch {
	case errors.Is(err, io.EOF):
		a.Error = "it ended without a word"
	case err != nil:
		a.Error = fmt.Sprintf("it said %q, which is not an announcement: %v", line, err)
	case a.Error == "" && a.Listen == "":
		a.Error = fmt.Sprintf("it said %q, which names no address", line)
	}
	return a
}

func (c *child) awaitReady(ctx context.Context, ready <-chan announcement) error {
	timer := time.NewTimer(startPatience)
	defer timer.Stop()
	var err error
	select {
	case a := <-ready:
		if a.Error == "" {
			c.version = a.Version
			return nil
		}
		err = fmt.Errorf("annals-chdb: %s%s", a.Error, c.words.suffix())
	case <-ctx.Done():
		err = fmt.Errorf("wait for annals-chdb: %w", context.Cause(ctx))
	case <-timer.C:
		err = fmt.Errorf("annals-chdb was not ready after %v%s", startPatience, c.words.suffix())
	}
	return errors.Join(err, c.kill())
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// cause tells why a child that has ended did so.
func (c *child) cause() error {
	if c.err == nil {
		return fmt.Errorf("annals-chdb ended by itself%s", c.words.suffix())
	}
	return fmt.Errorf("annals-chdb: %w%s", c.err, c.words.suffix())
}

// stop asks the child to close its tables and waits; it kills one that does
// not come to an end.
func (c *child) stop() error {
	if err := c.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return errors.Join(fmt.Errorf("close pipe to annals-chdb: %w", err), c.kill())
	}
	select {
	case <-c.ended:
		return c.err
	case <-time.After(stopPatience):
		return errors.Join(fmt.Errorf("annals-chdb did not stop within %v and was killed", stopPatience), c.kill())
	}
}

func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	<-c.ended
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill annals-chdb: %w", err)
	}
	return nil
}

// logLines passes the child's lines on: its own are JSON of slog, the
// engine's (a crash, for example) are plain text.
type logLines struct {
	log   *slog.Logger
	words *words
	rest  []byte
	plain int // lines of plain text seen
}

// maxLine bounds what is kept of a line without an end.
const maxLine = 64 << 10

func (l *logLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found && len(l.rest) < maxLine {
			return len(p), nil
		}
		l.pass(line)
		l.rest = append(l.rest[:0], rest...)
	}
}

func (l *logLines) pass(line []byte) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		l.passPlain(strings.TrimSpace(string(line)))
		return
	}
	var level slog.Level
	text, _ := fields["level"].(string)
	if level.UnmarshalText([]byte(text)) != nil {
		level = slog.LevelWarn
	}
	message, _ := fields["msg"].(string)
	attrs := []slog.Attr{slog.String("process", "annals-chdb")}
	for key, value := range fields {
		if key != "time" && key != "level" && key != "msg" {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	l.log.LogAttrs(context.Background(), level, message, attrs...)
}

// maxPlain is how many lines of plain text are passed on before a crash and
// how many of the crash's own: a stack dump has thousands.
const maxPlain = 50

// crashBegins finds the line with which a dying Go program begins to speak.
var crashBegins = regexp.MustCompile(`^(SIG[A-Z]+: |panic: |fatal error: |unexpected fault|terminate called)`)

func (l *logLines) passPlain(text string) {
	if text == "" {
		return
	}
	if crashBegins.MatchString(text) {
		l.plain = 0
		l.words.reset()
	}
	l.plain++
	l.words.add(text)
	switch {
	case l.plain <= maxPlain:
		l.log.Warn("annals-chdb says", "line", text)
	case l.plain == maxPlain+1:
		l.log.Warn("annals-chdb says more, which is left out", "lines_shown", maxPlain)
	}
}

// words keeps the first plain text since the beginning, or since a crash
// began: it tells why the child died.
type words struct {
	mu    sync.Mutex
	lines []string
}

func (w *words) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = nil
}

func (w *words) add(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) < 4 {
		w.lines = append(w.lines, line)
	}
}

// suffix is what an error about the child ends with.
func (w *words) suffix() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) == 0 {
		return ""
	}
	return " (it said: " + strings.Join(w.lines, " | ") + ")"
}
