package replaytest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// Cuts are power cuts at random moments of replays of one topic.
type Cuts struct {
	Brokers replay.Brokers
	Store   replay.Store
	Ledger  replay.Ledger
	Topic   string
	Prefix  string // of targets, and a number
	// Request is what is asked for besides these.
	Request answer.ReplayRequest
	// Ask makes the request of the n-th job, another one each time, in place of Topic,
	// Prefix and Request.
	Ask     func(n int) answer.ReplayRequest
	Options replay.Options
	// Check holds a target against what was planned, when its job is done.
	Check func(t *testing.T, plan *answer.ReplayPlan)
	// Moments are counted there, for runs at the same time, whose caller reports them; nil:
	// Run does.
	Moments *Moments
}

// Run makes so many cuts. A job whose worker lost its power is taken over by the
// next one, until it is done; then comes another job. A third of the cuts, and the
// first, come where something could be torn, another third at what is not done for
// each record.
func (c *Cuts) Run(t *testing.T, n int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	moments := c.Moments
	if moments == nil {
		moments = &Moments{}
		defer func() { moments.Report(t, n) }()
	}
	var plan *answer.ReplayPlan
	for jobs, cuts := 0, 0; cuts < n || plan != nil; {
		if plan == nil {
			if jobs++; jobs > 20*(n+1) {
				t.Fatalf("%d replays came to their end, and power was lost at %d moments of them", jobs-1, cuts)
			}
			moments.begun()
			plan = c.begin(t, jobs, dice.IntN(3) == 0)
		}
		power := c.power(dice, cuts == 0)
		if cuts >= n {
			power = NewPower(1<<30, Before)
		}
		power.Positions = c.Options.PositionTopic
		if c.work(t, power, plan.ID) {
			moments.note(power.Lost())
			cuts++
			continue
		}
		c.Check(t, plan)
		plan = nil
	}
}

func (c *Cuts) power(dice *rand.Rand, first bool) *Power {
	loss, moment := Loss(dice.IntN(3)), 1+dice.IntN(30)
	if dice.IntN(2) == 0 {
		moment += dice.IntN(300)
	}
	p := NewPower(moment, loss)
	switch kind := dice.IntN(3); {
	case first || kind == 0:
		p.left, p.counts = 1+dice.IntN(12), tearing
	case kind == 1:
		p.left, p.counts = 1+dice.IntN(60), rare
	}
	return p
}

// begin plans and runs the n-th job, everything in the topic unless Ask says else.
func (c *Cuts) begin(t *testing.T, n int, paced bool) *answer.ReplayPlan {
	t.Helper()
	s, err := replay.New(c.Options, c.Brokers, c.Store, c.Ledger, nil)
	if err != nil {
		t.Fatal(err)
	}
	request := c.Request
	switch request.Topics = []string{c.Topic}; {
	case c.Ask != nil:
		request = c.Ask(n)
	case request.TargetFile == "":
		request.TargetPrefix = fmt.Sprintf("%s%d.", c.Prefix, n)
	default: // a file has no name of its own: another bound makes another plan
		request.To, paced = time.Now().AddDate(100, 0, 0), false
	}
	plan, err := s.Plan(t.Context(), policy.Everything(), request)
	if err != nil {
		t.Fatal(err)
	}
	var pace *answer.ReplayPace
	if paced {
		pace = &answer.ReplayPace{Mode: answer.PaceOriginal, Speed: 1e9}
	}
	if _, err := s.Run(t.Context(), policy.Everything(), plan.ID, pace); err != nil {
		t.Fatal(err)
	}
	return plan
}

// work lets one worker have the job until its power is lost, or the job is done.
func (c *Cuts) work(t *testing.T, power *Power, id string) (lost bool) {
	t.Helper()
	options := c.Options
	options.Logger = slog.New(slog.DiscardHandler)
	options.Clusters = map[string]replay.Brokers{}
	for name, brokers := range c.Options.Clusters {
		options.Clusters[name] = power.Brokers(brokers)
	}
	s, err := replay.New(options, power.Brokers(c.Brokers), power.Store(c.Store), c.Ledger, nil)
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := replay.New(c.Options, c.Brokers, c.Store, c.Ledger, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Work(ctx) }()
	defer func() { stop(); <-ended; power.late.Wait() }()
	for looks := 0; ; looks++ { // counted, not timed: a process that is held up is no job that nobody takes over
		select {
		case <-power.Off:
			return true
		case <-time.After(10 * time.Millisecond):
		}
		job, err := watcher.Get(t.Context(), policy.Everything(), id)
		if err != nil {
			t.Fatal(err)
		}
		switch job.State {
		case answer.JobDone:
			return false
		case answer.JobFailed, answer.JobCancelled:
			t.Fatalf("the replay is %s after %d of %d: %s", job.State, job.Produced, job.Planned, job.Error)
		}
		if looks == 6000 {
			t.Fatalf("the replay does not end: it is %s, %d of %d: %s", job.State, job.Produced, job.Planned, job.Error)
		}
	}
}
