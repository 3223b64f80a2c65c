package faults

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fx-risk-ai/annals/internal/deadletter"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/segment"
	"github.com/fx-risk-ai/annals/schema"
)

// TestUnreadSurvivesKills kills the archiver on either side of the steps that
// keep what cannot be archived: its bytes, its dead letter, and the commit that
// names both. Whatever was done before, in the end every such offset is one
// gap, its bytes and its letter are there, and every other offset is a row.
func TestUnreadSurvivesKills(t *testing.T) {
	e, client := startEngines(t)
	store, x, err := e.open()
	must(t, err)
	t.Cleanup(store.Close)
	t.Cleanup(func() { must(t, x.Close()) })
	must(t, x.Migrate(t.Context()))
	created, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "large")
	must(t, err)
	wide, err := kgo.NewClient(
		kgo.SeedBrokers(e.Kafka), kgo.SASL(scram.Auth{User: e.KafkaUser, Pass: e.KafkaPassword}.AsSha256Mechanism()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(90<<20))
	must(t, err)
	t.Cleanup(wide.Close)
	value := bytes.Repeat([]byte("0"), segment.MaxField+1)

	rounds := int64(0)
	some := func() {
		for _, v := range [][]byte{[]byte("before"), value, []byte("behind")} {
			must(t, wide.ProduceSync(t.Context(), &kgo.Record{Topic: "large", Value: v}).FirstErr())
		}
		rounds++
	}
	points := []Point{{Step: putBatch, N: 1, After: true}, {Step: putLetter, N: 1, After: true}}
	if os.Getenv("ANNALS_TEST_LONG") != "" {
		points = append(points, Point{Step: putBatch, N: 1}, Point{Step: putLetter, N: 1},
			Point{Step: putCommit, N: 1}, Point{Step: putCommit, N: 1, After: true})
	}
	for _, point := range points {
		some()
		e.Point = point.String()
		if !child(t, "archiver", e) {
			t.Errorf("not killed at %s", point)
		}
	}
	some()
	e.Point = ""
	if child(t, "archiver", e) {
		t.Fatal("the last run was killed")
	}

	s := schema.Stream{Cluster: clusterID(t, client), Topic: "large", TopicID: schema.TopicID(created.ID)}
	book := ledger.New(store, slog.New(slog.DiscardHandler))
	report, err := book.Verify(t.Context(), s, ledger.VerifyOptions{Deep: true})
	must(t, err)
	if report.Findings > 0 || report.Batches != rounds || report.Rows.Rows() != 2*rounds || report.Head.Next != 3*rounds {
		t.Errorf("%d rounds: %+v", rounds, report)
	}
	var found []string
	for entry, err := range book.Commits(t.Context(), s, 0) {
		must(t, err)
		for _, g := range entry.Commit.Gaps {
			found = append(found, fmt.Sprint(g.Class, g.From, g.To))
			l := schema.DeadLetter{
				Component: schema.LetterReading, Cluster: s.Cluster, Topic: s.Topic, TopicID: s.TopicID, From: g.From, To: g.To,
			}
			letter, err := deadletter.Get(t.Context(), store, l.Key())
			must(t, err)
			if letter.Raw == nil || *letter.Raw != *g.Object || letter.Error != *g.Evidence {
				t.Errorf("letter %+v, gap %+v", letter, g)
			}
		}
	}
	var want []string
	for i := range rounds {
		want = append(want, fmt.Sprint(schema.GapUnreadable, 3*i+1, 3*i+2))
	}
	if !slices.Equal(found, want) {
		t.Errorf("gaps %v, want %v", found, want)
	}
}
