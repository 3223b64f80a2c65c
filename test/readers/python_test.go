package readers_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/test/runtimes"
)

// python gives an interpreter with the packages of requirements.txt, some 80 MB.
var python = sync.OnceValues(func() (string, error) { return runtimes.Python("readers", ".") })

func tail(s string) string {
	const most = 1500
	if s = strings.TrimSpace(s); len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}

// scripts runs Python in a folder of its own, with files.txt in it.
type scripts struct {
	t      *testing.T
	python string
	dir    string
	env    []string
}

// newScripts skips the test where Python or its packages are not to be had.
func newScripts(t *testing.T, files []string, env ...string) *scripts {
	t.Helper()
	interpreter, err := python()
	if errors.Is(err, runtimes.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	s := &scripts{t: t, python: interpreter, dir: t.TempDir(), env: env}
	if err := os.WriteFile(filepath.Join(s.dir, "files.txt"), []byte(strings.Join(files, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// try runs a script of this folder, or "-c" with code.
func (s *scripts) try(args ...string) (string, error) {
	s.t.Helper()
	if args[0] != "-c" {
		path, err := filepath.Abs(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		args = append([]string{path}, args[1:]...)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, s.python, args...)
	command.Dir, command.WaitDelay = s.dir, 5*time.Second
	command.Env = append(os.Environ(), append([]string{"PYTHONDONTWRITEBYTECODE=1", "TZ=UTC"}, s.env...)...)
	var errs bytes.Buffer
	command.Stderr = &errs
	out, err := command.Output()
	if err != nil {
		err = errors.Join(err, errors.New(tail(errs.String())))
	}
	return string(out), err
}

func (s *scripts) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("%s: %v", args[0], err)
	}
	return out
}
