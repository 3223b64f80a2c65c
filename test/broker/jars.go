package broker

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Version is the Kafka that pom.xml names.
const Version = "4.3.1"

// ErrMissing tells that something which Kafka needs is not on this machine; the
// error says what.
var ErrMissing = errors.New("needs Apache Kafka, which cannot be run here")

// jarsVariable names a folder that holds the jars already (air gap).
const jarsVariable = "ANNALS_TEST_KAFKA_JARS"

//go:embed pom.xml
var pom []byte

//go:embed log4j2.yaml
var logging []byte

// copyJars is what Maven runs; like the pom it decides what lies in the cache.
const copyJars = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

const (
	javaLeast = 17
	fetchTime = 5 * time.Minute
	jarsTook  = "46 jars, 44 MB"
)

// jars gives the folder of the servers' jars. What it finds out holds for the
// whole test binary.
var jars = sync.OnceValues(func() (string, error) {
	if err := java(); err != nil {
		return "", err
	}
	if dir := os.Getenv(jarsVariable); dir != "" {
		return dir, complete(dir) // asked for, so not a reason to skip
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: no cache folder for its jars (%w); set HOME, or point %s at a folder with them", ErrMissing, err, jarsVariable)
	}
	sum := sha256.Sum256(append(append([]byte{}, pom...), copyJars...))
	dir := filepath.Join(cache, "annals", fmt.Sprintf("kafka-%s-%x", Version, sum[:6]))
	if complete(dir) == nil {
		return dir, nil
	}
	return dir, fetch(dir)
})

// complete looks for the one jar that everything else hangs on: a folder of the
// cache appears whole or not at all.
func complete(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "kafka_2.13-"+Version+".jar")); err != nil {
		return fmt.Errorf("look for Kafka's jars: %w", err)
	}
	return nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func java() error {
	said, err := exec.Command("java", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: it needs Java %d or later, and java does not run: %w", ErrMissing, javaLeast, err)
	}
	found := javaVersion.FindSubmatch(said)
	if found == nil {
		return fmt.Errorf("%w: java -version answers %q, which names no version", ErrMissing, said)
	}
	if major, err := strconv.Atoi(string(found[1])); err != nil || major < javaLeast {
		return fmt.Errorf("%w: it needs Java %d or later, and %s is here", ErrMissing, javaLeast, found[1])
	}
	return nil
}

// fetch has Maven copy the jars and moves them into place in one step, so that
// a reader never sees half of them, and two runs at once end with one folder.
func fetch(dir string) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("%w: Maven (mvn) fetches its jars once, and is not installed: %w", ErrMissing, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".")
	if err != nil {
		return fmt.Errorf("make a folder to fetch into: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // what is left of it is hidden and harmless
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("write pom.xml: %w", err)
	}
	fmt.Fprintf(os.Stderr, "fetching Apache Kafka %s with Maven (%s, once) into %s\n", Version, jarsTook, dir)
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	libs := filepath.Join(work, "libs")
	// -C: a jar that does not match the repository's checksum is an error.
	mvn := exec.CommandContext(ctx, "mvn", "-B", "-q", "-C", "-Dstyle.color=never", copyJars, "-DincludeScope=runtime", "-DoutputDirectory="+libs)
	mvn.Dir = work
	if said, err := mvn.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: Maven could not fetch its jars: %w: %s", ErrMissing, err, firstLines(string(said), 3))
	}
	if err := complete(libs); err != nil {
		return err
	}
	if err := os.Rename(libs, dir); err != nil && complete(dir) != nil {
		return fmt.Errorf("move the jars into place: %w", err)
	}
	return nil
}

func firstLines(text string, n int) string {
	lines := strings.SplitN(strings.TrimSpace(text), "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], " ")
}
