package corpus_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/test/corpus"
	"github.com/fx-risk-ai/annals/test/verify"
)

// served is one case: a partition whose log a broker makes of it.
type served struct {
	corpus.Served
	c      *corpus.Case
	stream schema.Stream

	mu    sync.Mutex
	asked int // fetches of it
}

// serve has the broker answer every Fetch with the cases' bytes, as they are:
// kfake itself would not take such batches from a producer.
func serve(broker *embedded.Kafka, cases []*served) {
	broker.Cluster().ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster().KeepControl()
		req := request.(*kmsg.ListOffsetsRequest)
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range req.Topics {
			topic := kmsg.NewListOffsetsResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewListOffsetsResponseTopicPartition()
				part.Partition, part.Offset = p.Partition, 0
				if p.Timestamp == -1 { // the log's end; all else asks for its start
					part.Offset = cases[p.Partition].End
				}
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	broker.Cluster().ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster().KeepControl()
		req := request.(*kmsg.FetchRequest)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		some := false
		for _, t := range req.Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				s := cases[p.Partition]
				part := kmsg.NewFetchResponseTopicPartition()
				part.Partition, part.HighWatermark, part.LastStableOffset, part.LogStartOffset = p.Partition, s.End, s.End, 0
				if p.FetchOffset < s.End {
					part.RecordBatches, some = s.answer(p.FetchOffset), true
				}
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		wait := 20 * time.Millisecond
		if !some {
			wait = 200 * time.Millisecond
		}
		broker.Cluster().SleepControl(func() { time.Sleep(wait) })
		return resp, nil, true
	})
}

// answer is what a fetch brings.
func (s *served) answer(offset int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	raw := s.From(offset)
	heals, _ := s.word("heals")
	if n, _ := strconv.Atoi(heals); s.asked <= n {
		raw = bytes.Clone(raw)
		raw[len(raw)-1] ^= byte(s.asked) // another one each time, however often the client asks in between
		raw[len(raw)-2] ^= byte(s.asked >> 8)
	}
	return raw
}

// TestBatchesAreArchivedOrRefused has the real archiver read partitions that no
// broker should serve, all at once: what can be read is archived as it stands,
// what cannot be is said, and holds up nobody else.
func TestBatchesAreArchivedOrRefused(t *testing.T) {
	r := newRig(t)
	f := family(t, "batches")
	stream := r.topic(t, "wire", int32(len(f.Cases)))
	var cases []*served
	for i, c := range f.Cases {
		s := &served{c: c, stream: stream}
		s.stream.Partition = int32(i)
		var err error
		s.Served, err = c.Batches()
		must(t, err)
		cases = append(cases, s)
	}
	serve(r.broker, cases)
	r.archive(t)
	deadline := time.Now().Add(20 * time.Second)
	for _, s := range cases {
		for time.Now().Before(deadline) {
			_, err := r.archiver.Seal(t.Context(), false)
			must(t, err)
			head, err := r.book.Head(t.Context(), s.stream)
			if err == nil && head.Next >= s.sealedTo() {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	for _, s := range cases {
		t.Run(s.c.Name, func(t *testing.T) { s.check(t, r) })
	}
}

// word finds what must hold under a word.
func (s *served) word(word string) (rest string, ok bool) {
	i := slices.IndexFunc(s.c.Holds, func(l corpus.Line) bool { return l.Word == word })
	if i < 0 {
		return "", false
	}
	return s.c.Holds[i].Rest, true
}

// archivable are the records that must be archived: all, none, or the first n.
func (s *served) archivable() []schema.Record {
	if _, ok := s.word("archived"); ok {
		return s.Records
	}
	if offsets, ok := s.word("at"); ok {
		return slices.DeleteFunc(slices.Clone(s.Records), func(r schema.Record) bool {
			return !slices.Contains(strings.Fields(offsets), strconv.FormatInt(r.Offset, 10))
		})
	}
	n := 0
	if first, ok := s.word("first"); ok {
		n, _ = strconv.Atoi(first)
	}
	return s.Records[:n]
}

func (s *served) sealedTo() int64 {
	var to int64
	for _, l := range s.c.Holds {
		if _, end, _ := unreadableOf(l.Rest); l.Word == "unreadable" {
			to = max(to, end)
		}
	}
	if records := s.archivable(); len(records) > 0 {
		to = max(to, records[len(records)-1].Offset+1)
	}
	return to
}

func (s *served) check(t *testing.T, r *rig) {
	rows := r.rows(t, s.stream)
	want := s.archivable()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d; Health: %v", len(rows), len(want), r.archiver.Health())
	}
	times, _ := s.word("time")
	for i, ms := range strings.Fields(times) {
		want[i].Timestamp, _ = strconv.ParseInt(ms, 10, 64)
	}
	for i := range want {
		want[i].Topic, want[i].TopicID, want[i].Partition = s.stream.Topic, s.stream.TopicID, s.stream.Partition
		if how := verify.Differ(&rows[i].Record, &want[i]); how != "" {
			t.Errorf("row %d: %s", i, how)
		}
		if rows[i].ProducerID != want[i].ProducerID || rows[i].ProducerEpoch != want[i].ProducerEpoch || rows[i].LeaderEpoch != want[i].LeaderEpoch {
			t.Errorf("row %d: producer %d/%d, leader epoch %d", i, rows[i].ProducerID, rows[i].ProducerEpoch, rows[i].LeaderEpoch)
		}
	}
	var gaps []string
	for entry, err := range r.book.Commits(t.Context(), s.stream, 0) {
		must(t, err)
		for _, g := range entry.Commit.Gaps {
			if g.Class == schema.GapUnreadable {
				s.kept(t, r, g)
			}
			gaps = append(gaps, fmt.Sprint(g.From, g.To, g.Class))
		}
	}
	var wanted []string
	for _, l := range s.c.Holds {
		if l.Word == "gap" {
			wanted = append(wanted, fmt.Sprint(gapOf(t, l.Rest)...))
		}
		if l.Word == "unreadable" {
			from, to, _ := unreadableOf(l.Rest)
			wanted = append(wanted, fmt.Sprint(from, to, schema.GapUnreadable))
		}
	}
	if !slices.Equal(gaps, wanted) {
		t.Errorf("gaps %v, want %v", gaps, wanted)
	}
	r.verify(t, s.stream)
	text, refused := s.word("refused")
	said, entry, named := s.health(r)
	for deadline := time.Now().Add(15 * time.Second); refused && text != "nothing" && !named && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		said, entry, named = s.health(r)
	}
	if refused && text != "nothing" && (!named || !strings.Contains(entry, text)) {
		t.Errorf("Health says %q of it (%d fetches), want %q", entry, s.asked, text)
	} else if _, stuck := s.word("stuck"); stuck && named {
		t.Error("Health names the partition now: change stuck to refused")
	} else if !refused && named {
		t.Errorf("all of it is archived, and Health says %.300s", said)
	}
}

// kept holds what an unreadable gap names against what was served.
func (s *served) kept(t *testing.T, r *rig, g schema.Gap) {
	t.Helper()
	why := "no such gap"
	for _, l := range s.c.Holds {
		if from, _, text := unreadableOf(l.Rest); l.Word == "unreadable" && from == g.From {
			why = text
		}
	}
	if !strings.Contains(*g.Evidence, why) {
		t.Errorf("evidence %q, want %q in it", *g.Evidence, why)
	}
	t.Logf("evidence: %s", *g.Evidence)
	body, _, err := r.store.Get(t.Context(), g.Object.Key, 1<<30)
	must(t, err)
	_, damaged := s.word("heals")
	if !damaged && !bytes.Contains(s.Raw, body) || int64(len(body)) != g.Object.Bytes || len(s.Records) < 2 && len(body) != len(s.Raw) {
		t.Errorf("%s has %d bytes, %d were served", g.Object.Key, len(body), len(s.Raw))
	}
}

// unreadableOf reads FROM TO TEXT.
func unreadableOf(rest string) (from, to int64, text string) {
	first, rest, _ := strings.Cut(rest, " ")
	second, text, _ := strings.Cut(rest, " ")
	from, _ = strconv.ParseInt(first, 10, 64)
	to, _ = strconv.ParseInt(second, 10, 64)
	return from, to, text
}

// health is all that is said of Kafka, and what of it is said of this partition.
func (s *served) health(r *rig) (said, entry string, named bool) {
	said = r.archiver.Health()["kafka"]
	_, entry, named = strings.Cut(said, "reading "+kafka.TopicPartition{Topic: "wire", Partition: s.stream.Partition}.String()+":")
	entry, _, _ = strings.Cut(entry, "; reading ")
	return said, entry, named
}

// gapOf reads FROM TO CLASS.
func gapOf(t *testing.T, text string) []any {
	t.Helper()
	var from, to int64
	var class string
	if _, err := fmt.Sscan(text, &from, &to, &class); err != nil || to > math.MaxInt64-1 {
		t.Fatalf("gap %q: %v", text, err)
	}
	return []any{from, to, schema.GapClass(class)}
}
