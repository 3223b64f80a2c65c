package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopPatience is how long a child may take to stop after it was asked to.
const stopPatience = 15 * time.Second

// Supervisor runs the services as child processes, starts one again that has
// ended, and says how the pipeline is doing.
type Supervisor struct {
	// Command makes the process of a service. It must run the service until
	// its standard input ends or SIGTERM arrives; write a JSON line per
	// [Progress] to standard output (see [ProgressWriter]) and its log to
	// standard error. For ecb-gateway, a line "again" on standard input asks
	// to run the live days again.
	Command func(service string) *exec.Cmd
	// Status receives the state of the pipeline about once a second, and at
	// every change of phase. It must not block for long.
	Status func(Status)
	// Again, when it delivers, is passed on to ecb-gateway. Nil: never.
	Again <-chan struct{}
	// Started, if set, is told the process id of every process started.
	Started func(service string, pid int)
	// Once ends Run when everything that ecb-gateway publishes is processed.
	Once bool
	// Logger receives what happens to the processes.
	Logger *slog.Logger
}

// Status is the state of the whole pipeline.
type Status struct {
	// Services holds each service's last progress; a service that has not
	// spoken yet is absent.
	Services map[string]Progress
	// Loaded says that all of the history has passed through all services.
	// HistoryRecords is how many records the pipeline had produced then.
	// HistoryFound says that it had been published before this start.
	Loaded         bool
	HistoryRecords int64
	HistoryFound   bool
	// Done says that ecb-gateway has published all days and that all
	// services have processed them.
	Done bool
	// Records is what all services have produced so far.
	Records int64
}

// Run starts the services and returns when the context ends, all processes
// having ended, or when the work is done and Once is set.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan Progress, 64)
	again := make(chan struct{}, 1)
	var children sync.WaitGroup
	for _, name := range Services() {
		children.Go(func() {
			requests := again
			if name != ECBGateway {
				requests = nil
			}
			s.keep(ctx, name, updates, requests)
		})
	}
	track := tracker{status: Status{Services: map[string]Progress{}}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	wanted := s.Again
loop:
	for {
		select {
		case <-ctx.Done():
			break loop
		case p := <-updates:
			if !track.update(p) {
				continue
			}
		case <-tick.C:
		case _, ok := <-wanted:
			if !ok {
				wanted = nil
				continue
			}
			select {
			case again <- struct{}{}:
			default: // one request waits already
			}
			continue
		}
		if s.Status != nil {
			s.Status(track.snapshot())
		}
		if s.Once && track.status.Done {
			break
		}
	}
	cancel()
	drained := make(chan struct{})
	go func() { // children may still be saying something
		defer close(drained)
		for range updates {
		}
	}()
	children.Wait()
	close(updates)
	<-drained
	return nil
}

// keep runs one service's process, again and again.
func (s *Supervisor) keep(ctx context.Context, name string, updates chan<- Progress, again <-chan struct{}) {
	const first, longest, healthy = 200 * time.Millisecond, 5 * time.Second, 10 * time.Second
	wait := first
	for ctx.Err() == nil {
		began := time.Now()
		err := s.process(ctx, name, updates, again)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > healthy {
			wait = first
		}
		s.Logger.Warn("service ended, starting it again", "service", name, "err", err, "after", wait.String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
	}
}

// process runs one process of a service to its end.
func (s *Supervisor) process(ctx context.Context, name string, updates chan<- Progress, again <-chan struct{}) error {
	cmd := s.Command(name)
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("open standard input of %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("open standard output of %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if s.Started != nil {
		s.Started(name, cmd.Process.Pid)
	}
	ended := make(chan struct{})
	var attendants sync.WaitGroup
	attendants.Go(func() { s.attend(ctx, name, cmd, in, again, ended) })
	readErr := s.readProgress(name, out, updates)
	err = cmd.Wait()
	close(ended)
	attendants.Wait()
	return errors.Join(err, readErr)
}

// attend passes requests on to a process and asks it to stop when the context
// ends; a process that does not stop is killed.
func (s *Supervisor) attend(ctx context.Context, name string, cmd *exec.Cmd, in io.WriteCloser, again <-chan struct{}, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-again:
			if _, err := io.WriteString(in, "again\n"); err != nil {
				s.Logger.Warn("request did not reach the service", "service", name, "err", err)
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	// Either of the two is enough; a process that is gone refuses both.
	errs := errors.Join(cmd.Process.Signal(syscall.SIGTERM), in.Close())
	select {
	case <-ended:
	case <-time.After(stopPatience):
		s.Logger.Warn("service does not stop, killing it", "service", name, "err", errs)
		if err := cmd.Process.Kill(); err != nil {
			s.Logger.Warn("service could not be killed", "service", name, "err", err)
		}
	}
}

// readProgress reads until the process closes its standard output.
func (s *Supervisor) readProgress(name string, out io.Reader, updates chan<- Progress) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var p Progress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil || p.Service != name {
			s.Logger.Warn("service wrote something else than its progress", "service", name, "line", shorten(lines.Text()))
			continue
		}
		updates <- p
	}
	if err := lines.Err(); err != nil {
		// The process must not block on a pipe that nobody reads.
		_, drainErr := io.Copy(io.Discard, out)
		return fmt.Errorf("read progress: %w", errors.Join(err, drainErr))
	}
	return nil
}

// ProgressWriter returns a function for [Config].Progress that writes JSON
// lines, as [Supervisor] reads them.
func ProgressWriter(w io.Writer, log *slog.Logger) func(Progress) {
	encoder := json.NewEncoder(w)
	return func(p Progress) {
		if err := encoder.Encode(p); err != nil {
			log.Warn("progress could not be written", "err", err)
		}
	}
}

// tracker puts the services' progress together. What one service has produced
// at some moment is the mark that the next one must reach.
type tracker struct {
	status        Status
	history, done chain
	published     bool // some of the history, since the start
}

// chain follows one state of the gateway through the services.
type chain struct {
	marks    [4]int64 // what each service must have consumed; 0: not known yet
	reached  int      // services that have
	complete bool
	begun    bool
}

// update takes in a report, and says whether it changes what to tell.
func (t *tracker) update(p Progress) bool {
	t.status.Services[p.Service] = p
	t.status.Records = 0
	for _, q := range t.status.Services {
		t.status.Records += q.Out + q.Dead
	}
	g := t.status.Services[ECBGateway]
	was := t.status
	t.published = t.published || g.Phase == PhaseHistory
	published := g.Phase == PhaseLive || g.Phase == PhaseDone || g.Phase == PhaseHistory && g.Days == g.TotalDays
	t.history.follow(published, t.status.Services)
	if t.history.complete && !t.status.Loaded {
		t.status.Loaded, t.status.HistoryRecords = true, t.status.Records
		t.status.HistoryFound = !t.published
	}
	if g.Phase != PhaseDone {
		t.done = chain{}
	}
	t.done.follow(g.Phase == PhaseDone, t.status.Services)
	t.status.Done = t.done.complete
	return was.Loaded != t.status.Loaded || was.Done != t.status.Done
}

func (c *chain) follow(begin bool, services map[string]Progress) {
	if !begin {
		return
	}
	if !c.begun {
		c.begun, c.reached = true, 1
		c.marks[1] = services[ECBGateway].Out
	}
	names := Services()
	for c.reached < len(names) {
		p, spoke := services[names[c.reached]]
		if !spoke || p.In < c.marks[c.reached] {
			return
		}
		c.reached++
		if c.reached < len(names) {
			c.marks[c.reached] = p.Out
		}
	}
	c.complete = true
}

func (t *tracker) snapshot() Status {
	s := t.status
	s.Services = make(map[string]Progress, len(t.status.Services))
	for k, v := range t.status.Services {
		s.Services[k] = v
	}
	return s
}
