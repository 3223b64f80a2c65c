package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// maxKinds bounds how many kinds of message a limiter tells apart. Messages are
// constant texts, so a process has far fewer; what exceeds the bound shares one
// kind.
const maxKinds = 256

// overflow is the message under which kinds beyond maxKinds are counted.
const overflow = "(other messages)"

// kind is what makes two messages the same: attributes do not count.
type kind struct {
	level   slog.Level
	message string
}

// repeats is the state of one kind.
type repeats struct {
	passed     time.Time // when the last one was let through
	suppressed int       // since then
}

// Limiter is a [slog.Handler] that lets one message of a kind (level and text)
// through per interval. The next one let through carries the number left out in
// between as the attribute "suppressed". Loggers derived with With or WithGroup
// share the limiter's state.
type Limiter struct {
	next  slog.Handler
	state *limiterState
}

type limiterState struct {
	root  slog.Handler // tells what was suppressed, without derived attributes
	every time.Duration
	mu    sync.Mutex
	kinds map[kind]*repeats
}

// Limit returns a logger for messages that may repeat, such as retries: one of
// a kind per interval, the rest counted. Call flush when the work it logs for
// is over, so that the last counts are told too.
func Limit(logger *slog.Logger, every time.Duration) (limited *slog.Logger, flush func(context.Context)) {
	l := NewLimiter(logger.Handler(), every)
	return slog.New(l), l.Flush
}

// NewLimiter wraps a handler; see [Limit].
func NewLimiter(next slog.Handler, every time.Duration) *Limiter {
	return &Limiter{next: next, state: &limiterState{root: next, every: every, kinds: map[kind]*repeats{}}}
}

// Enabled asks the wrapped handler.
func (l *Limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// Handle passes the record on or counts it.
func (l *Limiter) Handle(ctx context.Context, r slog.Record) error {
	pass, suppressed := l.state.admit(kind{r.Level, r.Message}, r.Time)
	if !pass {
		return nil
	}
	if suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return l.next.Handle(ctx, r)
}

// WithAttrs derives a handler that shares the limiter's state.
func (l *Limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Limiter{next: l.next.WithAttrs(attrs), state: l.state}
}

// WithGroup derives a handler that shares the limiter's state.
func (l *Limiter) WithGroup(name string) slog.Handler {
	return &Limiter{next: l.next.WithGroup(name), state: l.state}
}

// admit decides over one message, and returns how many of its kind were left
// out before it.
func (s *limiterState) admit(k kind, now time.Time) (pass bool, suppressed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.kinds[k]
	if seen == nil {
		if len(s.kinds) >= maxKinds {
			k = kind{k.level, overflow}
			seen = s.kinds[k]
		}
		if seen == nil {
			s.kinds[k] = &repeats{passed: now}
			return true, 0
		}
	}
	if now.Sub(seen.passed) < s.every {
		seen.suppressed++
		return false, 0
	}
	suppressed = seen.suppressed
	*seen = repeats{passed: now}
	return true, suppressed
}

// Flush tells what was suppressed and not yet told, one message a kind, and
// forgets it. A handler that fails to write has nowhere to say so: as with
// slog itself, its error is dropped.
func (l *Limiter) Flush(ctx context.Context) {
	l.state.mu.Lock()
	pending := map[kind]int{}
	for k, seen := range l.state.kinds {
		if seen.suppressed > 0 {
			pending[k] = seen.suppressed
			seen.suppressed = 0
		}
	}
	l.state.mu.Unlock()
	logger := slog.New(l.state.root)
	for k, n := range pending {
		logger.Log(ctx, k.level, "message repeated", "message", k.message, "suppressed", n)
	}
}
