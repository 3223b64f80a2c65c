package archiver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
	"github.com/fx-risk-ai/annals/schema"
)

// The index is lost, and one of three segments damaged: the others are indexed
// again, Health names the one, and when it is whole again it is indexed too,
// without reading the others.
func TestCatchUpGoesPastDamage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.stream("orders", r.topic(t, "orders", 1), 0)
	a, stop := r.archive(t, nil)
	for n := range int64(3) {
		r.produce(t, "orders", 0, 10)
		r.sealed(t, a, s, 10*(n+1))
	}
	must(t, a.Indexed(t.Context()))
	stop()
	var key string
	for entry, err := range r.book.Commits(t.Context(), s, 0) {
		must(t, err)
		if entry.Commit.Segment != nil && entry.Commit.Base == 10 {
			key = entry.Commit.Segment.Key
		}
	}
	for _, table := range []string{"records", "records_by_trace", "segments"} {
		r.sql(t, "TRUNCATE TABLE DB."+table)
	}
	body, _, err := r.store.Get(t.Context(), key, 1<<20)
	must(t, err)
	put := func(key string, body []byte) {
		_, err := r.store.Put(t.Context(), key, body)
		must(t, err)
	}
	indexed := func(want string) {
		t.Helper()
		embeddedtest.Eventually(t, 20*time.Second, func() error {
			if n := r.sql(t, "SELECT arrayStringConcat(arraySort(groupUniqArray(toString(base))), ' ') FROM DB.segments WHERE kind = 'segment'"); n != want {
				return fmt.Errorf("the index has segments %s, not %s", n, want)
			}
			return nil
		})
	}

	damaged := append([]byte{}, body...)
	damaged[len(damaged)-1] ^= 1
	put(key, damaged)
	a, stop = r.archive(t, nil)
	indexed("0 20")
	if said := a.Health()["store"]; !strings.Contains(said, key) {
		t.Errorf("Health says %q of the damage to %s", said, key)
	}
	must(t, a.Indexed(t.Context()))
	if missing, err := r.index.FirstMissing(t.Context(), s, schema.ExtractVersion); err != nil || missing != 2 {
		t.Errorf("the first commit that the index misses is %d, %v", missing, err)
	}
	stop()

	put(key, body)
	r.sql(t, "TRUNCATE TABLE DB.records") // nothing that the index names is read once more
	a, _ = r.archive(t, nil)
	indexed("0 10 20")
	if n := r.sql(t, "SELECT arrayStringConcat(arraySort(groupUniqArray(toString(intDiv(offset, 10)))), ' ') FROM DB.records"); n != "1" {
		t.Errorf("read again: tens %s", n)
	}
	if said := a.Health()["store"]; said != "" {
		t.Errorf("sound, and yet: %s", said)
	}
}

// What a partition holds whose leader does not answer is not known: CatchUp
// waits for it, and says for which.
func TestCatchUpWaitsForPartitionsWithoutAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 2)
	a, _ := r.archive(t, nil)
	r.produce(t, "orders", 0, 5)
	must(t, a.CatchUp(t.Context()))

	c := r.broker.Cluster()
	over := make(chan struct{})
	c.ControlKey(kmsg.ListOffsets.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-over:
			return nil, nil, false
		default:
		}
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range request.(*kmsg.ListOffsetsRequest).Topics {
			answer := kmsg.ListOffsetsResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				one := kmsg.NewListOffsetsResponseTopicPartition()
				if one.Partition = p.Partition; p.Partition == 1 {
					one.ErrorCode = kerr.LeaderNotAvailable.Code
				} else {
					one.Offset = 5
				}
				answer.Partitions = append(answer.Partitions, one)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := a.CatchUp(ctx); schema.KindOf(err) != schema.Unavailable || !strings.Contains(err.Error(), "orders") {
		t.Errorf("with a partition that nobody answers for: %v", err)
	}
	close(over)
	must(t, a.CatchUp(t.Context()))
}
