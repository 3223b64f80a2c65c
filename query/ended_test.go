package query_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// without is a Kafka that has some topics no more.
type without struct {
	*watermark
	gone []string
}

func (w *without) Cluster(ctx context.Context) (kafka.Cluster, error) {
	c, err := w.watermark.Cluster(ctx)
	c.Topics = slices.DeleteFunc(c.Topics, func(t kafka.Topic) bool { return slices.Contains(w.gone, t.Name) })
	return c, err
}

// TestChainsThatEndedAreShownSo: of a topic that was deleted, what Kafka had behind
// the archive is told, and is a reason against a verdict; nothing is lagging or
// waited for, whatever Kafka has and the index was given.
func TestChainsThatEndedAreShownSo(t *testing.T) {
	broker := &without{watermark: &watermark{ahead: 4}}
	a := newArchive(t, func(o *query.Options) { o.Broker = broker })
	broker.a = a
	at := time.Now()
	var partitions []int32
	for _, topic := range []string{"whole", "cut-off", "unknown", "there-again", "goes-on"} {
		partitions = append(partitions, a.produce(topic, "k", "v", at).Partition)
	}
	a.sealAll()
	a.produce("cut-off", "k", "read, and not sealed", at)
	a.indexAll()
	end := func(topic string, seen *int64) {
		s := a.stream(topic, partitions[0])
		c := a.commit(s, schema.KindEnd)
		c.HighWatermark = seen
		a.append(s, c, nil)
	}
	one, three := int64(1), int64(3)
	end("whole", &one)
	end("cut-off", &three)
	end("unknown", nil)
	end("there-again", &one)
	broker.gone = []string{"whole", "cut-off", "unknown"}

	covered, err := a.Coverage(t.Context(), everybody(), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range covered.Partitions {
		p := &covered.Partitions[i]
		want := map[string][3]int64{ // high watermark, what went, lag
			"whole": {1, 0, 0}, "cut-off": {3, 2, 0}, "unknown": {-1, -1, 0}, "there-again": {1, 0, 0}, "goes-on": {5, 0, 4},
		}[p.Topic]
		if got := [3]int64{p.HighWatermark, p.Went, p.Lag}; got != want || p.FreshTo != 1 || p.Unaccounted != 0 {
			t.Errorf("%s: high watermark, went, lag are %v, want %v; fresh to %d", p.Topic, got, want, p.FreshTo)
		}
		if ended := p.Topic != "goes-on"; p.Ended != ended || p.EndedAt.IsZero() == ended {
			t.Errorf("%s: ended %t at %s", p.Topic, p.Ended, p.EndedAt)
		}
	}

	listed, err := a.Topics(t.Context(), everybody())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range listed.Topics {
		said := map[string]string{
			"whole": "has ended", "cut-off": "has ended; 2 offsets went", "unknown": "is not known", "there-again": "has ended", "goes-on": "",
		}[topic.Topic]
		if !strings.Contains(topic.Detail, said) || topic.FreshRecords != 0 || said == "" && topic.Detail != "" {
			t.Errorf("%s: %q, %d fresh", topic.Topic, topic.Detail, topic.FreshRecords)
		}
		if lags := topic.Topic == "goes-on"; (topic.Lag != 0) != lags {
			t.Errorf("%s: lag %d", topic.Topic, topic.Lag)
		}
	}

	for topic, reasons := range map[string][]string{
		"whole": {}, "there-again": {}, "cut-off": {answer.ReasonGaps}, "unknown": {answer.ReasonUnknown}, "goes-on": {answer.ReasonBehind},
	} {
		v, err := a.Verdict(t.Context(), everybody(), answer.VerdictRequest{Topics: []string{topic}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(v.Reasons, reasons) {
			t.Errorf("%s: reasons %q, want %q; %q", topic, v.Reasons, reasons, v.Notes)
		}
		if topic == "cut-off" && (len(v.Gaps) != 1 || v.Gaps[0].Class != "gone" || v.Gaps[0].Offsets != 2) {
			t.Errorf("gaps %+v", v.Gaps)
		}
	}
}
