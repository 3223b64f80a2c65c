package query_test

import (
	"fmt"
	"strings"
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

// A letter that is damaged, gone, or another than its name says does not keep the
// others of its page from being given.
func TestUnreadableDeadLettersAreNamed(t *testing.T) {
	a := newArchive(t, nil)
	letter := func(topic string, offset int64) (schema.DeadLetter, string) {
		l := schema.DeadLetter{
			Format: schema.DeadLetterFormat, Component: schema.LetterExtraction, Cluster: "c1", Topic: topic, TopicID: topicID(topic),
			From: offset, To: offset + 1, Attempts: 1,
		}
		return l, l.Key()
	}
	put := func(key string, body []byte) {
		t.Helper()
		if _, err := a.store.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	encoded := func(l schema.DeadLetter) []byte {
		t.Helper()
		raw, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	first, key := letter("orders", 1)
	put(key, encoded(first))
	_, damaged := letter("orders", 2)
	put(damaged, []byte("{"))
	hidden, _ := letter("hidden", 3)
	_, another := letter("orders", 3)
	put(another, encoded(hidden))
	_, large := letter("orders", 4)
	put(large, make([]byte, schema.MaxDeadLetterBytes+1))
	last, key := letter("orders", 5)
	put(key, encoded(last))
	page, err := a.DeadLetters(t.Context(), only(t, "orders"), answer.DeadLetterRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Letters) != 2 || page.Letters[0].From != 1 || page.Letters[1].From != 5 || page.Total != 5 {
		t.Errorf("of %d the letters %+v", page.Total, page.Letters)
	}
	if len(page.Unreadable) != 3 || page.Unreadable[0].Key != damaged || page.Unreadable[1].Key != another || page.Unreadable[2].Key != large {
		t.Fatalf("unreadable: %+v", page.Unreadable)
	}
	for _, l := range page.Unreadable {
		if l.Topic != "orders" || l.Component != schema.LetterExtraction || l.Err == "" || strings.Contains(l.Err, "hidden") {
			t.Errorf("%+v", l)
		}
	}
}
