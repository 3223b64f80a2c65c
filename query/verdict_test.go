package query_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/query"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// watermark is a Kafka that has as many records as are archived, and more.
type watermark struct {
	a     *archive
	ahead int64
	mute  error // of partition 1 of every topic
	more  bool  // every topic has a partition that is not archived
}

func (w *watermark) Cluster(context.Context) (c kafka.Cluster, err error) {
	for _, s := range w.a.streams {
		if !slices.ContainsFunc(c.Topics, func(t kafka.Topic) bool { return t.Name == s.Topic }) {
			c.Topics = append(c.Topics, kafka.Topic{Name: s.Topic, ID: s.TopicID})
		}
	}
	return c, nil
}

func (w *watermark) Offsets(_ context.Context, topics ...string) (map[string]map[int32]kafka.Offsets, error) {
	all := map[string]map[int32]kafka.Offsets{}
	for _, s := range w.a.streams {
		if !slices.Contains(topics, s.Topic) {
			continue
		}
		if all[s.Topic] == nil {
			all[s.Topic] = map[int32]kafka.Offsets{}
		}
		o := kafka.Offsets{HighWatermark: s.next + w.ahead}
		if s.Partition == 1 {
			o.Err = w.mute
		}
		all[s.Topic][s.Partition] = o
		if w.more {
			all[s.Topic][partitions] = kafka.Offsets{LogStart: 3, HighWatermark: 10}
		}
	}
	return all, nil
}

// TestVerdict takes away one thing after the other of what makes an answer
// whole.
func TestVerdict(t *testing.T) {
	broker := &watermark{}
	a := newArchive(t, func(o *query.Options) { o.Broker = broker })
	broker.a = a
	p := newPipeline(a, 3)
	first, _ := p.day()
	a.sealAll()
	second, _ := p.day()
	a.sealAll()
	verdict := func(r answer.VerdictRequest) *answer.Verdict {
		t.Helper()
		v, err := a.Verdict(t.Context(), everybody(), r)
		if err != nil {
			t.Fatal(err)
		}
		if v.Complete != (len(v.Reasons) == 0) {
			t.Errorf("%+v", v)
		}
		return v
	}
	for _, trace := range []string{first, second} {
		if v := verdict(answer.VerdictRequest{TraceID: trace}); !v.Complete || v.Hops != 11 || v.SealedTo.IsZero() || len(v.Partitions) < 5 {
			t.Errorf("all is there, and the verdict is %+v", v)
		}
	}
	if v := verdict(answer.VerdictRequest{}); !v.Complete || len(v.Gaps) != 0 {
		t.Errorf("everything is there, and the verdict is %+v", v)
	}
	at := p.at(0, 0)
	lost := a.stream("fx.rates.received", partitionOf("C00"))
	lost.next += 5 // offsets that Kafka does not serve
	_, _ = p.day()
	a.sealAll()
	today := answer.VerdictRequest{Topics: []string{"fx.rates.received"}, From: at.AddDate(0, 0, -1), To: at}
	if v := verdict(today); len(v.Partitions) == 0 || len(v.Notes) != 0 || len(v.Gaps) > 1 {
		t.Errorf("a day beside the gap: %+v", v)
	}
	after := answer.VerdictRequest{Topics: []string{"fx.rates.received"}, From: at}
	if v := verdict(after); !slices.Equal(v.Reasons, []string{answer.ReasonGaps}) || !slices.Equal(v.Gaps, []answer.VerdictGap{{Class: string(schema.GapCleaned), Ranges: 1, Offsets: 5}}) {
		t.Errorf("five offsets are missing: %+v", v)
	}
	if v := verdict(answer.VerdictRequest{Topics: []string{"fx.rates.received"}, To: at.AddDate(0, 0, -1)}); !v.Complete || len(v.Gaps) != 0 {
		t.Errorf("before the gap: %+v", v)
	}
	if v := verdict(answer.VerdictRequest{Topics: []string{"fx.risk.alerts"}}); !v.Complete {
		t.Errorf("another topic: %+v", v)
	}
	broker.ahead = 2
	if v := verdict(answer.VerdictRequest{Topics: []string{"fx.risk.exposure"}}); !slices.Equal(v.Reasons, []string{answer.ReasonBehind}) || v.Behind < 2 {
		t.Errorf("two records were not read: %+v", v)
	}
	broker.ahead = 0
	id := hexID(16)
	a.produce("fx.risk.alerts", "k", "{}", time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC), "traceId", id, "causationId", "nobody")
	a.indexAll()
	if v := verdict(answer.VerdictRequest{TraceID: id}); v.Complete || !slices.Contains(v.Reasons, answer.ReasonGhosts) || !slices.Contains(v.Reasons, answer.ReasonUnsealed) || v.Ghosts != 1 || v.UnsealedHop != 1 || v.Unsealed != 1 {
		t.Errorf("a ghost, and a record that is not sealed: %+v", v)
	}
	if v := verdict(answer.VerdictRequest{Topics: []string{"nothing"}}); !slices.Equal(v.Reasons, []string{answer.ReasonUnknown}) || len(v.Notes) != 1 {
		t.Errorf("no such topic: %+v", v)
	}
	if v, err := a.Verdict(t.Context(), only(t, "fx.risk.alerts"), answer.VerdictRequest{}); err != nil || len(v.Partitions) == 0 || slices.ContainsFunc(v.Partitions, func(s answer.VerdictStream) bool { return s.Topic != "fx.risk.alerts" }) {
		t.Errorf("a viewer of alerts: %+v, %v", v, err)
	}
	for _, r := range []answer.VerdictRequest{{TraceID: id, Topics: []string{"a"}}, {From: at, To: at}, {Topics: make([]string, 51)}} {
		if _, err := a.Verdict(t.Context(), everybody(), r); schema.KindOf(err) != schema.Invalid {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := a.Verdict(t.Context(), everybody(), answer.VerdictRequest{TraceID: hexID(16)}); schema.KindOf(err) != schema.NotFound {
		t.Errorf("no such trace: %v", err)
	}
}

// TestVerdictOfPartitionsThatAreNotHeardOf: one that Kafka does not answer for
// while it does for others, and one of which nothing was ever read.
func TestVerdictOfPartitionsThatAreNotHeardOf(t *testing.T) {
	broker := &watermark{}
	a := newArchive(t, func(o *query.Options) { o.Broker = broker })
	broker.a = a
	_, _ = newPipeline(a, 3).day()
	a.sealAll()
	for name, one := range map[string]struct {
		mute   error
		more   bool
		reason string
		behind int64
	}{
		"no leader": {mute: errors.New("no leader"), reason: answer.ReasonUnknown},
		"not read":  {more: true, reason: answer.ReasonBehind, behind: 7},
	} {
		broker.mute, broker.more = one.mute, one.more
		v, err := a.Verdict(t.Context(), everybody(), answer.VerdictRequest{Topics: []string{"fx.rates.enriched"}})
		if err != nil || v.Complete || !slices.Equal(v.Reasons, []string{one.reason}) || v.Behind != one.behind {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestVerdictIsOfItsOwnRange: what flows now in the partitions of an old trace does
// not make it unsealed; what is not sealed beside its own records does.
func TestVerdictIsOfItsOwnRange(t *testing.T) {
	a := newArchive(t, nil)
	at := day("2024-05-01")
	old := hexID(16)
	for _, topic := range []string{"orders", "parcels"} {
		a.produce(topic, "k", "{}", at, "traceId", old)
	}
	a.sealAll()
	for n := range 5 {
		a.produce("orders", "k", "{}", at.AddDate(0, 0, 10+n), "traceId", hexID(16))
	}
	a.produce("new", "k", "{}", at.AddDate(0, 0, 10), "traceId", hexID(16)) // nothing of it was ever sealed
	a.indexAll()
	judge := func(r answer.VerdictRequest) *answer.Verdict {
		t.Helper()
		v, err := a.Verdict(t.Context(), everybody(), r)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := judge(answer.VerdictRequest{TraceID: old}); v.Unsealed != 0 || slices.Contains(v.Reasons, answer.ReasonUnsealed) {
		t.Errorf("newer records flow: %+v", v)
	}
	if v := judge(answer.VerdictRequest{To: at.Add(time.Hour)}); v.Unsealed != 0 || slices.Contains(v.Reasons, answer.ReasonUnsealed) {
		t.Errorf("up to the old trace: %+v", v)
	}
	if v := judge(answer.VerdictRequest{From: at.AddDate(0, 0, 10), To: at.AddDate(0, 0, 12)}); v.Unsealed != 3 || !slices.Contains(v.Reasons, answer.ReasonUnsealed) {
		t.Errorf("two days of the new ones: %d unsealed, %v", v.Unsealed, v.Reasons)
	}
	if v := judge(answer.VerdictRequest{}); v.Unsealed != 6 || !slices.Contains(v.Reasons, answer.ReasonUnsealed) {
		t.Errorf("all of it: %d unsealed, %v", v.Unsealed, v.Reasons)
	}
	a.produce("orders", "k", "{}", at, "traceId", hexID(16)) // late, and of the same moment
	a.indexAll()
	if v := judge(answer.VerdictRequest{TraceID: old}); v.Unsealed != 1 || !slices.Contains(v.Reasons, answer.ReasonUnsealed) {
		t.Errorf("a late record of the same moment: %d unsealed, %v", v.Unsealed, v.Reasons)
	}
}
