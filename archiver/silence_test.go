package archiver

import (
	"strings"
	"testing"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
)

// TestSilenceIsSaidUnlessItIsOurs: a log that goes on while nothing comes is
// trouble at the third look, and never while the loop held its polls back.
func TestSilenceIsSaidUnlessItIsOurs(t *testing.T) {
	for name, held := range map[string]bool{"nothing comes": false, "the loop is held back": true} {
		a, _ := looping(0)
		a.arrive(schema.Committed, 0, 1)
		bounds := map[string]map[int32]kafka.Offsets{"t": {0: {HighWatermark: 9, LastStable: 9}}}
		for range 5 {
			a.heldBack = held
			a.hear(a.silent(), bounds)
		}
		if said := strings.Contains(a.Health()["kafka"], "nothing comes from offset 1 on"); said == held {
			t.Errorf("%s: Health says %q", name, a.Health()["kafka"])
		}
	}
}
