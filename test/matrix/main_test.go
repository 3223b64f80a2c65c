package matrix

import (
	"flag"
	"log"
	"os"
	"testing"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

// role tells a re-executed test binary that it is an archiver.
const role = "ANNALS_TEST_MATRIX_ARCHIVER"

func TestMain(m *testing.M) {
	if input := os.Getenv(role); input != "" {
		os.Exit(archiverProcess(input))
	}
	flag.Parse()
	// The cases wait for time-outs and pauses more than they compute.
	if err := flag.Set("test.parallel", "16"); err != nil {
		log.Fatal(err)
	}
	embeddedtest.VerifyNoLeaks(m, embeddedtest.IgnoreClickHouse()...)
}
