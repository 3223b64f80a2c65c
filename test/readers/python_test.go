package readers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// python gives the interpreter of a virtual environment with the packages of
// requirements.txt, or says why there is none.
var python = sync.OnceValues(installPython)

// installTime bounds the download, some 80 MB.
const installTime = 4 * time.Minute

func installPython() (string, error) {
	base, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("python3, 3.9 or later, is needed: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	version, err := output(ctx, base, "-c", "import sys; print('%d.%d' % sys.version_info[:2]); sys.exit(sys.version_info < (3, 9))")
	if err != nil {
		return "", fmt.Errorf("python3 is needed from version 3.9 on: %w", err)
	}
	wanted, err := os.ReadFile("requirements.txt")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder for the Python packages: %w", err)
	}
	// The name holds what is inside, so that what is there is right.
	sum := sha256.Sum256(append(wanted, version...))
	dir := filepath.Join(cache, "annals", fmt.Sprintf("readers-%x", sum[:6]))
	ready := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(ready); err == nil {
		return ready, nil
	}
	return ready, place(ctx, base, dir)
}

// place makes the environment beside dir and renames it, so that nobody sees
// half of one, and of two runs at once one wins.
func place(ctx context.Context, base, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // it was renamed, or is rubbish
	env := filepath.Join(work, "env")
	if _, err := output(ctx, base, "-m", "venv", env); err != nil {
		return fmt.Errorf("python3's venv module is needed (on Debian: apt install python3-venv): %w", err)
	}
	if _, err := output(ctx, filepath.Join(env, "bin", "python"), "-m", "pip", "install", "--quiet",
		"--disable-pip-version-check", "--only-binary", ":all:", "--retries", "1", "--timeout", "30", "-r", "requirements.txt"); err != nil {
		return fmt.Errorf("pip cannot install the packages of test/readers/requirements.txt (pip config set global.index-url URL names a mirror): %w", err)
	}
	if err := os.Rename(env, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, "bin", "python")); there != nil {
			return err
		}
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	command.Stderr = &errs
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(append([]string{filepath.Base(name)}, args[:min(3, len(args))]...), " "), err, tail(errs.String()))
	}
	return string(out), err
}

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
	if err != nil {
		t.Skip(err)
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
