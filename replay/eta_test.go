package replay_test

import (
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// guess is what was said of a running job.
type guess struct {
	at       time.Time
	left     float64 // seconds
	produced int64
}

// guessed runs a plan at a pace, and holds what is said when so much of it is produced
// against when it was delivered. then is another pace, taken up when a tenth is done.
func (r *rig) guessed(t *testing.T, topic string, at float64, pace, then *answer.ReplayPace) (said, truth float64) {
	t.Helper()
	s := r.service(t, func(o *replay.Options) { o.Interval, o.Lease = 30*time.Millisecond, 20*time.Second }, nil, nil)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{topic}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, pace)
	must(t, err)
	reach := func(part float64) guess {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			job, err := s.Get(t.Context(), everybody, plan.ID)
			must(t, err)
			if job.State == answer.JobRunning && job.ETASeconds > 0 && float64(job.Produced) >= part*float64(job.Planned) {
				return guess{time.Now(), job.ETASeconds, job.Produced}
			}
			if job.State == answer.JobDone || job.State == answer.JobFailed || time.Now().After(deadline) {
				t.Fatalf("the replay is %s, %d of %d, and said nothing: %s", job.State, job.Produced, job.Planned, job.Error)
			}
		}
	}
	if then != nil {
		reach(0.1)
		_, err := s.SetPace(t.Context(), everybody, plan.ID, *then)
		must(t, err)
	}
	g := reach(at)
	job := until(t, s, plan.ID, answer.JobDone)
	truth = job.Delivered.Sub(g.at).Seconds()
	t.Logf("at %d of %d: %.2f s are left by what is said, and %.2f s were", g.produced, job.Planned, g.left, truth)
	return g.left, truth
}

// plain archives records of one partition, at the seconds that when gives.
func (r *rig) plain(t *testing.T, topic string, n int, when func(i int) int) {
	t.Helper()
	s := schema.Stream{Cluster: "source", Topic: topic, TopicID: schema.TopicID{7}}
	var records []schema.Record
	for i := range n {
		record := awkward(s, 0)
		record.Offset, record.Timestamp = int64(i), start.UnixMilli()+int64(when(i))*1000
		records = append(records, record)
	}
	r.put(t, s, records)
}

// near wants a guess within a quarter of what it was about, and half a second.
func near(t *testing.T, said, truth float64) {
	t.Helper()
	if d := said - truth; d > truth/4+0.5 || d < -truth/4-0.5 {
		t.Errorf("%.2f s are left by what is said, and %.2f s were", said, truth)
	}
}

// What is said of a running job comes to be true: at a fixed rate, when the rate was
// changed, and at an original pace whose records come ever more seldom.
func TestTimeLeft(t *testing.T) {
	t.Parallel()
	rate := func(n float64) *answer.ReplayPace {
		return &answer.ReplayPace{Mode: answer.PaceRate, RecordsPerSecond: n}
	}
	cases := map[string]struct {
		n          int
		when       func(i int) int
		at         float64
		pace, then *answer.ReplayPace
	}{
		"at half of a rate":        {800, func(i int) int { return i }, 0.5, rate(200), nil},
		"at the beginning of one":  {800, func(i int) int { return i }, 0, rate(200), nil},
		"when a rate was changed":  {2000, func(i int) int { return i }, 0.2, rate(80), rate(500)},
		"when records grow seldom": {420, func(i int) int { return i/10 + 10*max(0, i-380) }, 0.9, &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 100}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.plain(t, "orders", c.n, c.when)
			said, truth := r.guessed(t, "orders", c.at, c.pace, c.then)
			near(t, said, truth)
		})
	}
}

// A plan's own times say how long its original pace takes: the last record is due so long
// after the first one.
func TestOriginalPaceTakesThePlansTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.plain(t, "orders", 50, func(i int) int { return 4 * i })
	cluster := notingSent(r)
	s := r.service(t, nil, cluster, nil)
	work(t, s)
	plan, err := s.Plan(t.Context(), everybody, answer.ReplayRequest{Topics: []string{"orders"}})
	must(t, err)
	_, err = s.Run(t.Context(), everybody, plan.ID, &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 100})
	must(t, err)
	until(t, s, plan.ID, answer.JobDone)
	list := cluster.list()
	near(t, plan.To.Sub(plan.From).Seconds()/100, list[len(list)-1].at.Sub(list[0].at).Seconds())
}
