package replay_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/replay/replaytest"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// sent is a cluster that notes when each record was handed to the producer.
type sent struct {
	replay.Brokers
	mu    *sync.Mutex
	times *[]handed
}

type handed struct {
	topic     string
	partition int32
	timestamp int64
	at        time.Time
}

func notingSent(r *rig) sent { return sent{r.cluster, &sync.Mutex{}, &[]handed{}} }

func (s sent) Producer(o kafka.ProducerOptions) (replay.Producer, error) {
	p, err := s.Brokers.Producer(o)
	return sentProducer{p, s}, err
}

type sentProducer struct {
	replay.Producer
	s sent
}

func (p sentProducer) Produce(ctx context.Context, topic string, partition int32, r *schema.Record, acked func()) {
	if topic != positions {
		p.s.mu.Lock()
		*p.s.times = append(*p.s.times, handed{topic, partition, r.Timestamp, time.Now()})
		p.s.mu.Unlock()
	}
	p.Producer.Produce(ctx, topic, partition, r, acked)
}

func (s sent) list() []handed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]handed{}, *s.times...)
}

// At the original pace all topics and partitions go by one clock: records come
// in the order of their times as far as their partition's order lets them, when
// they are due, and the report says how late.
func TestOriginalPace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	orders, rates := r.topic(t, "orders", 3, 200, 60), r.topic(t, "rates", 1, 100, 30)
	cluster := notingSent(r)
	s := r.service(t, nil, cluster, nil)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders", "rates"}})
	must(t, err)
	began := time.Now()
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 200})
	must(t, err)
	job := until(t, s, plan.ID, answer.JobDone)
	for topic, archived := range map[string]map[int32][]schema.Record{"orders": orders, "rates": rates} {
		for partition, records := range archived {
			same(t, topic, r.target(t, "replay."+plan.ID[:8]+"."+topic, partition), committed(records, -1<<62, 1<<62))
		}
	}
	list, clock := cluster.list(), int64(0)
	first := list[0]
	late := 0
	for _, h := range list {
		if h.timestamp < clock-7000 { // the source's own disorder is of five seconds, and so are its gaps
			t.Fatalf("%s/%d: time %d came after %d", h.topic, h.partition, h.timestamp, clock)
		}
		clock = max(clock, h.timestamp)
		due := first.at.Add(time.Duration(clock-first.timestamp) * time.Millisecond / 200)
		if early := due.Sub(h.at); early > 100*time.Millisecond { // the first may have been noted late
			t.Fatalf("%s/%d: time %d came %s before it was due", h.topic, h.partition, h.timestamp, early)
		}
		if h.at.Sub(due) > 2*time.Second {
			late++
		}
	}
	if late > len(list)/4 { // the machine may be busy
		t.Errorf("%d of %d records were late by more than 2 s", late, len(list))
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("200 s at 200 times the pace took %s", took)
	}
	if l := job.Lateness; l == nil || l.Sent.Records != int64(len(list)) || l.Acked.Records != l.Sent.Records || l.Acked.P99 < l.Sent.P50 || l.Sent.Max < l.Sent.P99 || l.Interval == 0 {
		t.Errorf("lateness %+v", job.Lateness)
	}
	if !job.Receipt.Matches || job.Pace.Speed != 200 {
		t.Errorf("%+v, %+v", job.Pace, job.Receipt)
	}
}

// A rate is kept, is changed while the job runs, and the job is paused, taken
// up by another worker, and delivers each record once.
func TestRatePauseAndChange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 4, 300, 100)
	cluster := notingSent(r)
	s := r.service(t, func(o *replay.Options) { o.Interval = 40 * time.Millisecond }, cluster, nil)
	stop := work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 200})
	must(t, err)
	for waited := time.Now(); len(cluster.list()) < 100 && time.Since(waited) < 20*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	job, err := s.Pause(t.Context(), everybody, plan.ID)
	must(t, err)
	list := cluster.list()
	if job.State != answer.JobPaused || job.Produced != int64(len(list)) {
		t.Fatalf("paused: %s with %d produced, %d sent", job.State, job.Produced, len(list))
	}
	if took := list[len(list)-1].at.Sub(list[0].at).Seconds(); float64(len(list)) > 200*(took+0.2)+1 {
		t.Errorf("%d records within %.2f s, want 200 a second", len(list), took)
	}
	time.Sleep(150 * time.Millisecond)
	if n := len(cluster.list()); n != len(list) {
		t.Errorf("%d records were sent while it was paused", n-len(list))
	}
	stop()
	another := r.service(t, nil, cluster, nil)
	work(t, another)
	time.Sleep(100 * time.Millisecond)
	if job, err := another.Run(t.Context(), everybody, plan.ID, nil); err != nil || job.State != answer.JobPaused {
		t.Errorf("a paused job that is run: %+v, %v", job, err)
	}
	_, err = another.Resume(t.Context(), everybody, plan.ID)
	must(t, err)
	for waited := time.Now(); len(cluster.list()) < len(list)+20 && time.Since(waited) < 20*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	for _, pace := range []answer.ReplayPace{{Mode: answer.PaceRate, BytesPerSecond: 40_000}, {Mode: answer.PaceFast}} {
		job, err := another.SetPace(t.Context(), everybody, plan.ID, pace)
		must(t, err)
		if job.Pace != pace {
			t.Errorf("the pace is %+v, want %+v", job.Pace, pace)
		}
		time.Sleep(100 * time.Millisecond)
	}
	done := until(t, another, plan.ID, answer.JobDone)
	r.isExact(t, plan, archived)
	if !done.Receipt.Matches || !done.Receipt.Exclusive {
		t.Errorf("%+v", done.Receipt)
	}
	for name, ask := range map[string]func() (*answer.ReplayJob, error){
		"pause":  func() (*answer.ReplayJob, error) { return another.Pause(t.Context(), everybody, plan.ID) },
		"resume": func() (*answer.ReplayJob, error) { return another.Resume(t.Context(), everybody, plan.ID) },
		"pace": func() (*answer.ReplayJob, error) {
			return another.SetPace(t.Context(), everybody, plan.ID, answer.ReplayPace{Mode: answer.PaceFast})
		},
	} {
		if _, err := ask(); schema.KindOf(err) != schema.Conflict {
			t.Errorf("%s of a job that has ended: %v", name, err)
		}
	}
}

// A paced job is stopped again and again, between and within transactions, and
// its pace changes the order in which records are read.
func TestPacedJobGoesOnAfterStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	archived := r.topic(t, "orders", 3, 300, 100)
	plan, err := r.service(t, nil, nil, nil).Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	paces := []answer.ReplayPace{{Mode: answer.PaceOriginal, Speed: 1000}, {Mode: answer.PaceFast}, {Mode: answer.PaceRate, RecordsPerSecond: 900}}
	last := int64(0)
	for n := 0; ; n++ {
		s := r.service(t, func(o *replay.Options) { o.Interval = 10 * time.Millisecond }, watched{Brokers: r.cluster, commit: func(context.Context) { time.Sleep(2 * time.Millisecond) }}, nil)
		stop := work(t, s)
		job, err := s.Run(t.Context(), everybody, plan.ID, &paces[n%len(paces)])
		must(t, err)
		for waited := time.Now(); job.Produced < last+60 && job.State != answer.JobDone && time.Since(waited) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
			job, err = s.Get(t.Context(), everybody, plan.ID)
			must(t, err)
		}
		stop()
		job, err = s.Get(t.Context(), everybody, plan.ID)
		must(t, err)
		if job.Produced < last {
			t.Fatalf("went back from %d to %d", last, job.Produced)
		}
		last = job.Produced
		if job.State == answer.JobDone {
			t.Logf("done after %d stops", n)
			break
		}
		if job.State == answer.JobFailed || n > 30 {
			t.Fatalf("%s: %s", job.State, job.Error)
		}
	}
	r.isExact(t, plan, archived)
}

// What no pace is, is refused.
func TestPacesThatCannotBeKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.topic(t, "orders", 1, 20, 100)
	s := r.service(t, nil, nil, nil)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	for says, pace := range map[string]answer.ReplayPace{
		"none of fast, rate, original":        {Mode: "slow"},
		"rate needs records_per_second":       {Mode: answer.PaceRate},
		"fast has neither":                    {Mode: answer.PaceFast, Speed: 2},
		"original has a speed, not a rate":    {Mode: answer.PaceOriginal, RecordsPerSecond: 2},
		"-1 is not a positive number":         {Mode: answer.PaceRate, RecordsPerSecond: -1},
		"and has no speed":                    {Mode: answer.PaceRate, RecordsPerSecond: 1, Speed: 1},
		"fast has neither a rate nor a speed": {Mode: answer.PaceFast, MaxWaitSeconds: 1},
	} {
		if _, err := s.Run(t.Context(), everybody, plan.ID, &pace); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", pace, err)
		}
	}
	r.topic(t, "wide", 3, 5, 100)
	narrow := r.service(t, func(o *replay.Options) { o.Ahead = 80 << 10 }, nil, nil)
	plan, err = narrow.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"wide"}})
	must(t, err)
	original := answer.ReplayPace{Mode: answer.PaceOriginal}
	for name, ask := range map[string]func() (*answer.ReplayJob, error){
		"run": func() (*answer.ReplayJob, error) { return narrow.Run(t.Context(), everybody, plan.ID, &original) },
		"pace": func() (*answer.ReplayJob, error) {
			if _, err := narrow.Run(t.Context(), everybody, plan.ID, nil); err != nil {
				return nil, err
			}
			return narrow.SetPace(t.Context(), everybody, plan.ID, original)
		},
	} {
		if _, err := ask(); schema.KindOf(err) != schema.Invalid || !strings.Contains(err.Error(), "one clock goes over 2 partitions at most, the plan has 3") {
			t.Errorf("%s over too many partitions: %v", name, err)
		}
	}
}

// A paced job reads a window of a segment at a time. When the segment is joined
// into another one and deleted between two windows, it goes on there.
func TestPacedJobWhoseSegmentIsJoinedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stream := schema.Stream{Cluster: "source", Topic: "orders", TopicID: schema.TopicID{9}}
	var records []schema.Record
	for i := range 30_000 {
		records = append(records, awkward(stream, i))
	}
	replaytest.Archive(t, r.store, stream, records, 25_000)
	joined := sync.Once{}
	cluster := watched{Brokers: r.cluster, commit: func(context.Context) {
		joined.Do(func() { replaytest.Join(t, r.store, stream) })
	}}
	// What is read ahead is less than half of the first segment.
	s := r.service(t, func(o *replay.Options) { o.Batch = 256 << 10 }, cluster, nil)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: 1e9})
	must(t, err)
	if job := until(t, s, plan.ID, answer.JobDone); !job.Receipt.Matches {
		t.Errorf("%+v", job.Receipt)
	}
	r.isExact(t, plan, map[int32][]schema.Record{0: records})
}
