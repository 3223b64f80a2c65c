package replay_test

import (
	"context"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// metered counts the bytes of segments that are read.
type metered struct {
	*objstore.Store
	read *atomic.Int64
}

func (m metered) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	return meteredReader{m.Store.ReaderAt(ctx, key, size), m.read}
}

type meteredReader struct {
	io.ReaderAt
	read *atomic.Int64
}

func (m meteredReader) ReadAt(p []byte, from int64) (int, error) {
	n, err := m.ReaderAt.ReadAt(p, from)
	m.read.Add(int64(n))
	return n, err
}

// Of a range of times that is a tenth of a large segment, planning and replaying it,
// fast and paced, read a part of the object, and the plan is exact: the times do not
// rise, and what is selected at either end stands among what is not.
func TestPartOfASegmentIsReadInPart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stream := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{9}}
	dice := rand.New(rand.NewPCG(5, 6))
	noise := rand.NewChaCha8([32]byte{1})
	var records []schema.Record
	for i := range 30_000 {
		one := awkward(stream, i)
		if one.Status == schema.Committed && one.Value != nil {
			one.Value = make([]byte, 150) // does not compress
			_, _ = noise.Read(one.Value)  // it never fails
		}
		one.Timestamp = start.UnixMilli() + int64(i) + dice.Int64N(2000)
		records = append(records, one)
	}
	size := replaytest.Archive(t, r.store, stream, records, len(records))[0].Bytes
	read := &atomic.Int64{}
	s, err := replay.New(replay.Options{PositionTopic: positions, Worker: "test", Poll: 50 * time.Millisecond, Logger: r.log}, r.cluster, metered{r.store, read}, r.book, nil)
	must(t, err)
	work(t, s)
	from, to := start.Add(15*time.Second), start.Add(18*time.Second)
	want := committed(records, from.UnixMilli(), to.UnixMilli())
	var bytes int64
	for i := range want {
		bytes += want[i].Bytes()
	}
	for prefix, way := range map[string]struct {
		pace *answer.ReplayPace
		most int64 // of bytes, the receipt's own reading included
	}{
		"fast.":  {nil, size * 9 / 10},
		"paced.": {&answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1e9}, size}, // windows share pages
	} {
		read.Store(0)
		plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}, From: from, To: to, TargetPrefix: prefix})
		must(t, err)
		if planned := read.Load(); planned > size*45/100 {
			t.Errorf("%s planning read %d bytes of %d", prefix, planned, size)
		}
		if plan.Records != int64(len(want)) || plan.Bytes != bytes {
			t.Errorf("%s %d records of %d bytes are planned, want %d of %d", prefix, plan.Records, plan.Bytes, len(want), bytes)
		}
		read.Store(0)
		_, err = s.Run(t.Context(), everybody, plan.ID, way.pace)
		must(t, err)
		if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches {
			t.Errorf("%+v", job.Receipt)
		}
		same(t, prefix, r.target(t, prefix+"orders", 0), want)
		if replayed := read.Load(); replayed > way.most {
			t.Errorf("%s replaying read %d bytes of %d", prefix, replayed, size)
		}
	}
}
