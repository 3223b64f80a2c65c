package demo

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// NewLogger writes a service's log to w: JSON, every line of it, where a
// program reads, and text on a terminal. There a person is not told of each
// connection that the Kafka client cannot open, but of brokers that stay away:
// a broker that is starting, or that was stopped with everything else, is no
// news.
func NewLogger(w io.Writer, level slog.Level, terminal bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if !terminal {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(calm{slog.NewTextHandler(w, options), &away{now: time.Now}})
}

// What a person is told of brokers that are away: not before they have been
// for awayPatience, then once an awayEvery. Complaints that are further apart
// than that are not of the same trouble.
const (
	awayPatience = 3 * time.Second
	awayEvery    = 30 * time.Second
)

// calm tells the Kafka client's complaints about connections in its own words.
type calm struct {
	slog.Handler
	away *away
}

// Handle implements slog.Handler.
func (h calm) Handle(ctx context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "unable to open connection to broker") && !strings.HasPrefix(r.Message, "read from broker") {
		return h.Handler.Handle(ctx, r)
	}
	if !h.away.speak() {
		return nil
	}
	told := slog.NewRecord(r.Time, r.Level, "Kafka does not answer; trying on", r.PC)
	told.AddAttrs(slog.String("kafka_client", r.Message))
	r.Attrs(func(a slog.Attr) bool { told.AddAttrs(a); return true })
	return h.Handler.Handle(ctx, told)
}

// WithAttrs implements slog.Handler.
func (h calm) WithAttrs(a []slog.Attr) slog.Handler { return calm{h.Handler.WithAttrs(a), h.away} }

// WithGroup implements slog.Handler.
func (h calm) WithGroup(g string) slog.Handler { return calm{h.Handler.WithGroup(g), h.away} }

// away remembers since when there are complaints.
type away struct {
	now func() time.Time

	mu                sync.Mutex
	since, last, said time.Time
}

func (a *away) speak() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if now.Sub(a.last) > awayEvery {
		a.since = now
	}
	a.last = now
	if now.Sub(a.since) < awayPatience || now.Sub(a.said) < awayEvery {
		return false
	}
	a.said = now
	return true
}
