package producers_test

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

// Bounds of a download, and of one run of an example on a busy machine.
const (
	fetchTime = 4 * time.Minute
	runTime   = 2 * time.Minute
)

const (
	javaLeast   = 17
	nodeLeast   = 20
	copyJars    = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
	javaExample = "../../clients/examples/java"
	pyExample   = "../../clients/examples/python"
	nodeExample = "../../clients/examples/node"
)

// errMissing tells that something which an example needs is not on this
// machine; the error says what.
var errMissing = errors.New("is not on this machine")

var firstNumber = regexp.MustCompile(`\d+`)

// major asks a program for its version.
func major(least int, name string, args ...string) (string, error) {
	said, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s, version %d or later, %w: %w", name, least, errMissing, err)
	}
	first, _, _ := strings.Cut(string(said), "\n")
	if n, err := strconv.Atoi(firstNumber.FindString(first)); err != nil || n < least {
		return "", fmt.Errorf("%s, version %d or later, %w: it says %q", name, least, errMissing, first)
	}
	return first, nil
}

// fetched gives a folder of the cache that fetch fills, once for each content
// of the files that say what belongs in it. It appears whole or not at all.
func fetched(language string, pins [][]byte, fetch func(ctx context.Context, into string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("a cache folder %w: %w", errMissing, err)
	}
	sum := sha256.Sum256(bytes.Join(pins, []byte{0}))
	dir := filepath.Join(cache, "annals", fmt.Sprintf("producer-%s-%x", language, sum[:6]))
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
		return "", fmt.Errorf("the libraries of the example in %s: what it needs %w: %w", language, errMissing, err)
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// run runs a program to its end and gives an error with what it said at last.
func run(ctx context.Context, dir, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.WaitDelay = dir, 5*time.Second
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	said, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, said[max(0, len(said)-2000):])
	}
	return nil
}

// javaRuns gives the command that runs the Java example.
func javaRuns() ([]string, error) {
	if _, err := major(javaLeast, "java", "-version"); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("javac"); err != nil { // java compiles the one file itself
		return nil, fmt.Errorf("java's compiler %w: %w", errMissing, err)
	}
	pom, err := filepath.Abs(filepath.Join(javaExample, "pom.xml"))
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(pom)
	if err != nil {
		return nil, err
	}
	jars, err := fetched("java", [][]byte{raw, []byte(copyJars)}, func(ctx context.Context, into string) error {
		// -C: a jar that does not match the repository's checksum is an error.
		return run(ctx, "", "mvn", "-B", "-q", "-C", "-Dstyle.color=never", "-f", pom, copyJars, "-DincludeScope=runtime", "-DoutputDirectory="+into)
	})
	if err != nil {
		return nil, err
	}
	return []string{"java", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"), filepath.Join(javaExample, "Shipment.java")}, nil
}

// pythonRuns gives the command that runs the Python example.
func pythonRuns() ([]string, error) {
	version, err := major(3, "python3", "--version")
	if err != nil {
		return nil, err
	}
	pins, err := os.ReadFile(filepath.Join(pyExample, "requirements.txt"))
	if err != nil {
		return nil, err
	}
	env, err := fetched("python", [][]byte{pins, []byte(version)}, func(ctx context.Context, into string) error {
		if err := run(ctx, "", "python3", "-m", "venv", into); err != nil {
			return fmt.Errorf("python3's venv module is needed (on Debian: apt install python3-venv): %w", err)
		}
		return run(ctx, pyExample, filepath.Join(into, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"--only-binary", ":all:", "--retries", "1", "--timeout", "30", "-r", "requirements.txt")
	})
	if err != nil {
		return nil, err
	}
	return []string{filepath.Join(env, "bin", "python"), filepath.Join(pyExample, "shipment.py")}, nil
}

// nodeRuns gives the command that runs the Node example. Node looks for
// packages beside the script, so the script is copied to them.
func nodeRuns() ([]string, error) {
	if _, err := major(nodeLeast, "node", "--version"); err != nil {
		return nil, err
	}
	var pins [][]byte
	files := []string{"package.json", "package-lock.json", "shipment.mjs"}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(nodeExample, file))
		if err != nil {
			return nil, err
		}
		pins = append(pins, raw)
	}
	dir, err := fetched("node", pins, func(ctx context.Context, into string) error {
		if err := os.Mkdir(into, 0o755); err != nil {
			return err
		}
		for i, file := range files {
			if err := os.WriteFile(filepath.Join(into, file), pins[i], 0o644); err != nil {
				return err
			}
		}
		return run(ctx, into, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=30000")
	})
	if err != nil {
		return nil, err
	}
	return []string{"node", filepath.Join(dir, "shipment.mjs")}, nil
}
