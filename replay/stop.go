package replay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/policy"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
	"github.com/fx-risk-ai/annals/schema/answer"
)

// stopFormat names this version of the object that says whether all replays are
// stopped, and stopKey where it stands. It outlives every process.
const (
	stopFormat   = "annals.replay-stop/1"
	stopKey      = schema.ReplayPrefix + "stop.json"
	maxStopBytes = 1 << 20
	mostSwitches = 100 // that are kept
)

// stopState is that object. It changes only by conditional writes.
type stopState struct {
	Format  string                `json:"format"`
	Write   string                `json:"write"`
	History []answer.ReplaySwitch `json:"history"` // newest last

	etag string
}

// last is nil if replays were never stopped.
func (st *stopState) last() *answer.ReplaySwitch {
	if len(st.History) == 0 {
		return nil
	}
	return &st.History[len(st.History)-1]
}

func (st *stopState) isStopped() bool { return st.last() != nil && st.last().Stopped }

// why says who stopped all replays.
func (st *stopState) why() string {
	l := st.last()
	return fmt.Sprintf("%s stopped all replays at %s: %s", l.By, text(l.At), l.Reason)
}

func (st *stopState) answer() *answer.ReplayStop {
	return &answer.ReplayStop{Stopped: st.isStopped(), History: st.History}
}

func (s *Service) loadStop(ctx context.Context) (*stopState, error) {
	raw, object, err := s.store.Get(ctx, stopKey, maxStopBytes)
	if schema.KindOf(err) == schema.NotFound {
		return &stopState{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read whether replays are stopped: %w", err)
	}
	st := &stopState{etag: object.ETag}
	if err := schema.DecodeStrictly(raw, st); err != nil {
		return nil, schema.Newer(raw, schema.Errorf(schema.Corrupt, "read whether replays are stopped: %w", err), stopFormat)
	}
	return st, schema.CheckFormat(st.Format, stopFormat)
}

// mayBegin refuses to let a job begin while all are stopped.
func (s *Service) mayBegin(ctx context.Context) error {
	stop, err := s.loadStop(ctx)
	if err != nil || !stop.isStopped() {
		return err
	}
	return schema.WithHint(schema.Errorf(schema.Conflict, "%s", stop.why()), "annals replay start-all lets replays go on")
}

// Stopped tells whether all replays are stopped.
func (s *Service) Stopped(ctx context.Context, _ policy.Principal) (*answer.ReplayStop, error) {
	stop, err := s.loadStop(ctx)
	if err != nil {
		return nil, err
	}
	return stop.answer(), nil
}

// StopAll has every worker of every process let go of its job, within seconds, as
// for a pause, and nobody begin another one until [Service.StartAll]. The jobs go on
// then where they are. Everybody who sees every topic may, also without a name;
// a reason is required. Conflict if they are stopped.
func (s *Service) StopAll(ctx context.Context, who policy.Principal, reason string) (*answer.ReplayStop, error) {
	return s.turn(ctx, who, true, reason)
}

// StartAll ends what [Service.StopAll] began. It needs a name. Conflict if replays
// are not stopped.
func (s *Service) StartAll(ctx context.Context, who policy.Principal, reason string) (*answer.ReplayStop, error) {
	if err := needName(who, "letting replays go on"); err != nil {
		return nil, err
	}
	return s.turn(ctx, who, false, reason)
}

func (s *Service) turn(ctx context.Context, who policy.Principal, stopped bool, reason string) (*answer.ReplayStop, error) {
	switch {
	case !who.Topics.IsAll():
		return nil, schema.Errorf(schema.Permission, "%s may not see every topic, and so not stop all replays or let them go on", who.Name)
	case strings.TrimSpace(reason) == "":
		return nil, schema.InvalidField("reason", "say why: the reason is kept")
	case len(reason) > MaxComment:
		return nil, schema.InvalidField("reason", "%d bytes, at most %d", len(reason), MaxComment)
	}
	for attempt := 1; ; attempt++ {
		st, err := s.loadStop(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case stopped && st.isStopped():
			return nil, schema.Errorf(schema.Conflict, "stopped already: %s", st.why())
		case !stopped && !st.isStopped():
			return nil, schema.Errorf(schema.Conflict, "replays are not stopped")
		}
		st.History = append(st.History, answer.ReplaySwitch{Stopped: stopped, By: who.Name, At: time.Now().UTC(), Reason: reason})
		st.History = st.History[max(0, len(st.History)-mostSwitches):]
		err = s.saveStop(ctx, st)
		if err != nil && (schema.KindOf(err) != schema.Conflict || attempt == 20) {
			return nil, err
		}
		if err == nil {
			s.log.Warn("all replays are "+map[bool]string{true: "stopped", false: "let go on"}[stopped], "by", who.Name, "reason", reason)
			s.kickAll()
			return st.answer(), nil
		}
	}
}

// saveStop writes st over what it was read from. Conflict tells that somebody else
// was quicker.
func (s *Service) saveStop(ctx context.Context, st *stopState) error {
	st.Format, st.Write = stopFormat, rand.Text()
	body, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("encode whether replays are stopped: %w", err)
	}
	pauses := retry.Between(100*time.Millisecond, time.Second)
	for attempt := 1; ; attempt++ {
		if st.etag == "" {
			_, err = s.store.PutIfAbsent(ctx, stopKey, body)
		} else {
			_, err = s.store.PutIfMatch(ctx, stopKey, st.etag, body)
		}
		unclear := errors.Is(err, objstore.ErrUncertain) || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrChanged)
		if unclear {
			there, readErr := s.loadStop(ctx)
			if readErr != nil || there.Write == st.Write {
				return readErr
			}
		}
		if err == nil || schema.KindOf(err) == schema.Conflict || attempt == 5 || !unclear && !errors.Is(err, objstore.ErrBusy) {
			return err
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}

// kickAll has this process's workers look at what is asked of them.
func (s *Service) kickAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.held {
		c.kicked()
	}
	s.wake()
}
