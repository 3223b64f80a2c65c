package runtimes

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// fetchTime bounds a download on a busy machine.
const fetchTime = 4 * time.Minute

const (
	javaLeast = 17
	nodeLeast = 20
	unpack    = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack"
	copyJars  = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
)

// ErrMissing tells that something which a test needs is not on this machine; the
// error says what.
var ErrMissing = errors.New("is not on this machine")

var firstNumber = regexp.MustCompile(`\d+`)

// major asks a program for its version.
func major(least int, name string, args ...string) (string, error) {
	said, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s, version %d or later, %w: %w", name, least, ErrMissing, err)
	}
	first, _, _ := strings.Cut(string(said), "\n")
	if n, err := strconv.Atoi(firstNumber.FindString(first)); err != nil || n < least {
		return "", fmt.Errorf("%s, version %d or later, %w: it says %q", name, least, ErrMissing, first)
	}
	return first, nil
}

// Fetched gives a folder of the cache that fetch fills, once for each content
// of the files that say what belongs in it. It appears whole or not at all.
func Fetched(name string, pins [][]byte, fetch func(ctx context.Context, into string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("a cache folder %w: %w", ErrMissing, err)
	}
	sum := sha256.Sum256(bytes.Join(pins, []byte{0}))
	dir := filepath.Join(cache, "annals", fmt.Sprintf("%s-%x", name, sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work) //nolint:errcheck // what is left of it is hidden and harmless
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	made := filepath.Join(work, "made")
	if err := fetch(ctx, made); err != nil {
		return "", fmt.Errorf("what is fetched for %s %w: %w", name, ErrMissing, err)
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// Run runs a program to its end and gives an error with what it said at last.
func Run(ctx context.Context, dir, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.WaitDelay = dir, 5*time.Second
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	said, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, said[max(0, len(said)-2000):])
	}
	return nil
}

// Java checks that a Java of a version or later is here.
func Java(least int) error {
	_, err := major(least, "java", "-version")
	return err
}

// JavaJars gives a folder with the jars of a pom.xml, and checks that Java can
// compile the one file that it runs.
func JavaJars(name, folder string) (string, error) {
	if err := Java(javaLeast); err != nil {
		return "", err
	}
	if _, err := exec.LookPath("javac"); err != nil {
		return "", fmt.Errorf("java's compiler %w: %w", ErrMissing, err)
	}
	pom, err := filepath.Abs(filepath.Join(folder, "pom.xml"))
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(pom)
	if err != nil {
		return "", err
	}
	return Fetched(name, [][]byte{raw, []byte(copyJars)}, func(ctx context.Context, into string) error {
		// -C: a jar that does not match the repository's checksum is an error.
		return Run(ctx, "", "mvn", "-B", "-q", "-C", "-Dstyle.color=never", "-f", pom, copyJars, "-DincludeScope=runtime", "-DoutputDirectory="+into)
	})
}

// Python gives an interpreter with the packages of a requirements.txt.
func Python(name, folder string) (string, error) {
	version, err := major(3, "python3", "--version")
	if err != nil {
		return "", err
	}
	pins, err := os.ReadFile(filepath.Join(folder, "requirements.txt"))
	if err != nil {
		return "", err
	}
	env, err := Fetched(name, [][]byte{pins, []byte(version)}, func(ctx context.Context, into string) error {
		if err := Run(ctx, "", "python3", "-m", "venv", into); err != nil {
			return fmt.Errorf("python3's venv module is needed (on Debian: apt install python3-venv): %w", err)
		}
		if err := Run(ctx, folder, filepath.Join(into, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"--only-binary", ":all:", "--retries", "1", "--timeout", "30", "-r", "requirements.txt"); err != nil {
			return fmt.Errorf("pip (pip config set global.index-url URL names a mirror): %w", err)
		}
		return nil
	})
	return filepath.Join(env, "bin", "python"), err
}

// Node checks that a Node that can run the scripts is here.
func Node() error {
	_, err := major(nodeLeast, "node", "--version")
	return err
}

// NodeScripts gives a folder with some scripts and the packages of the
// package-lock.json beside them. Node looks for packages beside a script, so the
// scripts are copied to them.
func NodeScripts(name, folder string, scripts ...string) (string, error) {
	if err := Node(); err != nil {
		return "", err
	}
	var pins [][]byte
	files := append([]string{"package.json", "package-lock.json"}, scripts...)
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return "", err
		}
		pins = append(pins, raw)
	}
	return Fetched(name, pins, func(ctx context.Context, into string) error {
		if err := os.Mkdir(into, 0o755); err != nil {
			return err
		}
		for i, file := range files {
			if err := os.WriteFile(filepath.Join(into, file), pins[i], 0o644); err != nil {
				return err
			}
		}
		return Run(ctx, into, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=30000")
	})
}

// NodeScript gives the command that runs a script which needs no other.
func NodeScript(name, folder, script string) ([]string, error) {
	dir, err := NodeScripts(name, folder, script)
	return []string{"node", filepath.Join(dir, script)}, err
}

// MavenArchive gives a folder with what is in an archive of Maven's central
// repository, such as group:name:version:tar.gz:classifier.
func MavenArchive(name, artifact string) (string, error) {
	return Fetched(name, [][]byte{[]byte(artifact)}, func(ctx context.Context, into string) error {
		// The plugin leaves its markers where it runs.
		return Run(ctx, filepath.Dir(into), "mvn", "-B", "-q", "-C", "-Dstyle.color=never", unpack, "-Dartifact="+artifact, "-DoutputDirectory="+into)
	})
}
