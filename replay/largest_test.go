package replay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// A target that is made takes the largest record, whatever its source takes and whether
// that had it from its topic or from its brokers; that it takes more than its source is
// said when it does, and only then.
func TestTargetTakesItsLargestRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{9}}
	large := awkward(s, 0)
	large.Value = bytes.Repeat([]byte("x"), 2<<20)
	r.put(t, s, []schema.Record{large})
	_, err := r.cluster.CreateTopic(t.Context(), positions, 1, map[string]string{"cleanup.policy": "compact"})
	must(t, err)
	n := int64(0)
	replayed := func(limit string, dynamic bool) (takes, said int) {
		t.Helper()
		raw, err := json.Marshal(map[string]any{"configs": []kafka.ConfigEntry{{Key: "max.message.bytes", Value: limit, Dynamic: dynamic}}})
		must(t, err)
		_, err = r.store.PutIfAbsent(t.Context(), schema.TopicConfigKey(s.TopicID, n), raw)
		must(t, err)
		n++
		log := &lines{}
		service := r.service(t, func(o *replay.Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) }, nil, nil)
		stop := work(t, service)
		defer stop()
		plan, err := service.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, TargetPrefix: fmt.Sprintf("to%d.", n)})
		must(t, err)
		_, err = service.Run(t.Context(), everybody, plan.ID, nil)
		must(t, err)
		until(t, service, plan.ID, answer.JobDone)
		entries, err := r.cluster.Config(t.Context(), plan.Topics[0].Target)
		must(t, err)
		for _, e := range entries {
			if e.Key == "max.message.bytes" {
				takes, err = strconv.Atoi(e.Value)
				must(t, err)
			}
		}
		return takes, log.count("takes larger batches than its source")
	}
	takes, said := replayed("100", true)
	if takes < 2<<20 || said != 1 {
		t.Errorf("its source takes 100 bytes: the target takes %d, which was said %d times", takes, said)
	}
	// As of a target that a replay made, replayed itself.
	if again, said := replayed(strconv.Itoa(takes), true); again != takes || said != 0 {
		t.Errorf("its source takes %d: the target takes %d, which was said to be more %d times", takes, again, said)
	}
	if made, said := replayed("9000000", false); made < 2<<20 || said != 0 {
		t.Errorf("its source's brokers take 9000000: the target takes %d, which was said to be more %d times", made, said)
	}
}
