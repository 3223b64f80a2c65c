package broker

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fx-risk-ai/annals/test/runtimes"
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
	jarsTook  = "46 jars, 44 MB"
)

// jars gives the folder of the servers' jars. What it finds out holds for the
// whole test binary.
var jars = sync.OnceValues(func() (string, error) {
	if err := runtimes.Java(javaLeast); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if dir := os.Getenv(jarsVariable); dir != "" {
		return dir, complete(dir) // asked for, so not a reason to skip
	}
	dir, err := runtimes.Fetched("kafka-"+Version, [][]byte{slices.Concat(pom, []byte(copyJars))}, fetch)
	if errors.Is(err, runtimes.ErrMissing) {
		err = fmt.Errorf("%w (%s may name a folder with its jars): %w", ErrMissing, jarsVariable, err)
	}
	return dir, err
})

// fetch has Maven copy the jars.
func fetch(ctx context.Context, into string) error {
	work := filepath.Dir(into)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("write pom.xml: %w", err)
	}
	fmt.Fprintf(os.Stderr, "fetching Apache Kafka %s with Maven (%s, once) into the cache folder\n", Version, jarsTook)
	// -C: a jar that does not match the repository's checksum is an error.
	if err := runtimes.Run(ctx, work, "mvn", "-B", "-q", "-C", "-Dstyle.color=never", copyJars, "-DincludeScope=runtime", "-DoutputDirectory="+into); err != nil {
		return err
	}
	return complete(into)
}

// complete looks for the one jar that everything else hangs on.
func complete(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "kafka_2.13-"+Version+".jar")); err != nil {
		return fmt.Errorf("look for Kafka's jars: %w", err)
	}
	return nil
}
