package query_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// More topics have dead letters than are counted one by one: the page says how
// many are left out, and counts the rest in order.
func TestDeadLetterCountsAreBounded(t *testing.T) {
	a := newArchive(t, nil)
	put := func(topic string, offset int64) error {
		l := schema.DeadLetter{
			Format: schema.DeadLetterFormat, Component: schema.LetterExtraction, Cluster: "c1", Topic: topic, TopicID: topicID(topic),
			From: offset, To: offset + 1, Attempts: 1,
		}
		_, err := a.store.PutIfAbsent(t.Context(), l.Key(), []byte("{}")) // bodies of a topic that is not asked for are not read
		return err
	}
	var putting errgroup.Group
	putting.SetLimit(16)
	putting.Go(func() error { return put("often", 1) })
	for i := range answer.MaxDeadLetterCounts + 2 {
		putting.Go(func() error { return put(fmt.Sprintf("t%04d", i), 0) })
	}
	putting.Go(func() error { return put("often", 2) })
	if err := putting.Wait(); err != nil {
		t.Fatal(err)
	}
	page, err := a.DeadLetters(t.Context(), policy.Everything(), answer.DeadLetterRequest{Topic: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Counts) != answer.MaxDeadLetterCounts || page.LeftOut != 3 || page.Total != 0 || page.Counts[0].Topic != "often" || page.Counts[0].Letters != 2 {
		t.Errorf("%d counts, %d left out, of %d that match; the first is %+v", len(page.Counts), page.LeftOut, page.Total, page.Counts[0])
	}
}
