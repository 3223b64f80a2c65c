package archiver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// refusingNotes is a store that refuses the first notes about topics' lives.
type refusingNotes struct {
	*objstore.Store
	refuses atomic.Int64
}

func (s *refusingNotes) PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error) {
	if (strings.Contains(key, "/partitions-") || strings.Contains(key, "/gone-")) && s.refuses.Add(-1) >= 0 {
		return objstore.Object{}, schema.Errorf(schema.Unavailable, "put %s: refused", key)
	}
	return s.Store.PutIfAbsent(ctx, key, body)
}

// What becomes of a topic is in the archive: found, more partitions, deleted and
// made again; whatever the store does at first, and once, however often an
// archiver starts.
func TestLivesOfTopicsAreInTheArchive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store := &refusingNotes{Store: r.store}
	store.refuses.Store(2)
	r.objects = store
	first := r.topic(t, "lives", 1)
	admin := kadm.NewClient(r.client)
	_, stop := r.archive(t, nil)
	var seen map[string]any // of the note that was read last
	noted := func(id schema.TopicID, want ...string) {
		t.Helper()
		embeddedtest.Eventually(t, 20*time.Second, func() error {
			var found []string
			for o, err := range r.store.List(t.Context(), schema.TopicsPrefix+id.String()+"/", "") {
				must(t, err)
				name := strings.TrimPrefix(o.Key, schema.TopicsPrefix+id.String()+"/")
				if strings.HasPrefix(name, "config-") || strings.HasPrefix(name, "ended-") {
					continue
				}
				raw, _, err := r.store.Get(t.Context(), o.Key, 1<<20)
				must(t, err)
				must(t, json.Unmarshal(raw, &seen))
				if seen["topic"] != "lives" || seen["topic_id"] != id.String() {
					return fmt.Errorf("%s: %v", o.Key, seen)
				}
				found = append(found, strings.Split(strings.TrimSuffix(name, ".json"), "-17")[0])
			}
			if slices.Sort(found); !slices.Equal(found, want) {
				return fmt.Errorf("there are %v, not %v", found, want)
			}
			return nil
		})
	}
	noted(first, "partitions-00001")
	_, err := admin.CreatePartitions(t.Context(), 2, "lives")
	must(t, err)
	noted(first, "partitions-00001", "partitions-00003")
	stop()
	a, _ := r.archive(t, nil)
	r.produce(t, "lives", 0, 1)
	r.sealed(t, a, r.stream("lives", first, 0), 1)
	store.refuses.Store(1)
	_, err = admin.DeleteTopic(t.Context(), "lives")
	must(t, err)
	r.client.PurgeTopicsFromClient("lives")
	second := r.topic(t, "lives", 2)
	noted(second, "partitions-00002")
	noted(first, "gone", "partitions-00001", "partitions-00003")
}
