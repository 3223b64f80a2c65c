package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

// environment variable that carries the password, so that it is on no command
// line.
const passwordVariable = "ANNALS_CHDB_PASSWORD"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		watchParent(stdin, cancel)
		err = serve(ctx, o, stdout, log)
	}
	if err == nil {
		return 0
	}
	log.Error("annals-chdb stops", "err", err)
	report(stdout, announcement{Error: err.Error()})
	return 1
}

// options is the command line.
type options struct {
	library, dataDir, listen string
	listenFD                 uint
	user, password           string
	limits                   limits
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{limits: defaultLimits(runtime.NumCPU())}
	var passwordFile string
	f := flag.NewFlagSet("annals-chdb", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, "annals-chdb serves ClickHouse's HTTP protocol from libchdb.so, on a loopback port.\n\n")
		f.PrintDefaults()
		fmt.Fprintf(stderr, "\nThe password comes from --password-file or %s.\n", passwordVariable)
	}
	f.StringVar(&o.library, "lib", "", "`path` of libchdb.so (required)")
	f.StringVar(&o.dataDir, "data-dir", "", "`folder` of the data, created when missing (required)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 picks a free one")
	f.UintVar(&o.listenFD, "listen-fd", 0, "listen on this inherited file descriptor instead of --listen")
	f.StringVar(&o.user, "user", "annals", "`name` that clients log in with")
	f.StringVar(&passwordFile, "password-file", "", "`file` whose first line is the password")
	f.Uint64Var(&o.limits.serverMemory, "max-memory", o.limits.serverMemory, "most `bytes` the engine may allocate")
	f.Uint64Var(&o.limits.readMemory, "max-read-memory", o.limits.readMemory, "most `bytes` one reading statement may allocate")
	f.Uint64Var(&o.limits.readSeconds, "max-read-seconds", o.limits.readSeconds, "most `seconds` one reading statement may take unless it asks for more")
	f.IntVar(&o.limits.threads, "threads", o.limits.threads, "most threads one statement may use")
	if err := f.Parse(args); err != nil {
		return nil, fmt.Errorf("read command line: %w", err)
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("read command line: %q is not an option", f.Arg(0))
	case o.library == "":
		return nil, errors.New("--lib is missing: the path of libchdb.so (make engines fetches it)")
	case o.dataDir == "":
		return nil, errors.New("--data-dir is missing")
	case o.limits.threads < 1 || o.limits.readSeconds < 1:
		return nil, errors.New("--threads and --max-read-seconds must be at least 1")
	case o.limits.serverMemory < 256<<20:
		return nil, errors.New("--max-memory must be at least 268435456 (256 MiB): the engine itself takes 200 MiB")
	}
	var err error
	o.password, err = password(passwordFile)
	return o, err
}

func password(file string) (string, error) {
	text := os.Getenv(passwordVariable)
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		text, _, _ = strings.Cut(string(b), "\n")
		text = strings.TrimSuffix(text, "\r")
	}
	if text == "" {
		return "", fmt.Errorf("no password: give --password-file or %s", passwordVariable)
	}
	if err := os.Unsetenv(passwordVariable); err != nil {
		return "", fmt.Errorf("clear %s: %w", passwordVariable, err)
	}
	return text, nil
}

// watchParent ends the process when its parent closes our standard input,
// which the kernel does for a parent that was killed. Only a pipe tells that:
// a terminal or /dev/null is not a parent's.
func watchParent(stdin *os.File, cancel context.CancelCauseFunc) {
	info, err := stdin.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return
	}
	go func() {
		_, err := io.Copy(io.Discard, stdin)
		if err != nil {
			cancel(fmt.Errorf("standard input failed: %w", err))
			return
		}
		cancel(errors.New("the parent closed standard input"))
	}()
}

// announcement is the one line on standard output: where we listen, or why not.
type announcement struct {
	Listen  string `json:"listen,omitempty"`
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
}

func report(stdout io.Writer, a announcement) {
	// A parent that is gone cannot read it, and needs it no more.
	_ = json.NewEncoder(stdout).Encode(a)
}
