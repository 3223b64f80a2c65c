package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/test/instance"
)

// TestCleanRestartFindsItsData stops an instance and starts it on the same
// folder: the archive is the same, object for object, and nothing is loaded or
// archived twice.
func TestCleanRestartFindsItsData(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	i := programs.Start(t, instance.Options{Args: instance.DemoYear()})
	i.Loaded(t)
	before, objects := i.Coverage(t), segmentKeys(t, i)
	i.Stop(t)
	says(t, i, "stopping: ", "stopped; run the same command to go on")
	i.Again(t)
	i.Loaded(t)
	says(t, i, "history found: ")
	if strings.Contains(i.Log(), "not stopped cleanly") {
		t.Errorf("a clean stop is told for another:\n%s", i.Tail(40))
	}
	after := i.Coverage(t)
	for place, was := range before {
		if got := after[place]; got.Counts.Committed != was.Counts.Committed || got.ArchivedFrom != was.ArchivedFrom {
			t.Errorf("%v: %d committed records from %d after the restart, %d from %d before", place, got.Counts.Committed, got.ArchivedFrom, was.Counts.Committed, was.ArchivedFrom)
		}
	}
	if now := segmentKeys(t, i); !containsAll(now, objects) {
		t.Errorf("segments were %v, are %v", names(objects), names(now))
	}
	compareArchive(t, i, demoTopics(t, i)...)
}

// says holds what an instance must have told a person.
func says(t testing.TB, i *instance.Instance, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(i.Log(), text) {
			t.Errorf("annals up has not said %q:\n%s", text, i.Tail(40))
		}
	}
}

func containsAll(all, some map[string]bool) bool {
	for key := range some {
		if !all[key] {
			return false
		}
	}
	return true
}

// segmentKeys are the segments of all topics.
func segmentKeys(t testing.TB, i *instance.Instance) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	for object, err := range store(t, i).List(t.Context(), "data/", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys[object.Key] = true
	}
	return keys
}

// TestKillOfEverythingInMidLoad kills annals, the embedded ClickHouse and all
// services at once, in the middle of the load, with ANNALS_TEST_LONG=1 twenty
// times, and once more when all is loaded. Afterwards the year is complete,
// every day in its place, and the archive holds what Kafka serves: nothing is
// lost, nothing is there twice.
func TestKillOfEverythingInMidLoad(t *testing.T) {
	instance.NeedsClickHouse(t)
	t.Parallel()
	kills := 1
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		kills = 20
	}
	i := programs.Start(t, instance.Options{
		DataDir: filepath.Join(t.TempDir(), "data"), Args: instance.DemoYear(), Env: []string{"ANNALS_ARCHIVE_CUT_BYTES=256KiB", "ANNALS_ARCHIVE_CUT_MIN_BYTES=1KiB", "ANNALS_ARCHIVE_CUT_AGE=1s"},
	})
	var moments []string
	for range kills {
		pause := time.Duration(200+rand.IntN(1200)) * time.Millisecond
		time.Sleep(pause)
		var held int64
		for _, end := range i.Ends(t) {
			held += end
		}
		moments = append(moments, fmt.Sprintf("%s after ready, %d offsets in Kafka", pause, held))
		i.Kill(t)
		i.Again(t)
	}
	t.Logf("killed %v", moments)
	i.Loaded(t)
	i.Kill(t)
	i.Again(t)
	i.Loaded(t)
	says(t, i, "was not stopped cleanly", "history found: ")
	compared := compareArchive(t, i, demoTopics(t, i)...)
	t.Logf("compared byte for byte: %v", compared)
	if want := yearOf(t); !maps.Equal(committed(t, i), want) {
		t.Errorf("committed records by topic %v, a year that nobody killed has %v", committed(t, i), want)
	}
	killedReplay(t, i, kills)
}

// committed counts the archive's committed records by topic of the demo.
func committed(t testing.TB, i *instance.Instance) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for place, p := range i.Coverage(t) {
		if strings.HasPrefix(place.Topic, "fx.") {
			counts[place.Topic] += p.Counts.Committed
		}
	}
	return counts
}

// yearOf is what the shared instance, which nobody killed, has.
func yearOf(t *testing.T) map[string]int64 {
	t.Helper()
	return committed(t, year(t))
}
