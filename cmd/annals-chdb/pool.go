package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A session of the engine runs one statement at a time, so sessions are kept
// in lanes: what waits in one lane never waits for another. Inserts have their
// own, because a slow search must not delay them; changes of tables have
// theirs, because a mutation may take minutes.
const (
	readSessions   = 6
	insertSessions = 2
	changeSessions = 2
	// waiting is how many requests may queue for one lane before the next one
	// is told to come back (503).
	waiting = 256
)

// session is one connection with the state it was opened in: settings and
// database never change during its life, except by a statement (SET, USE),
// after which it is thrown away. Requests are stateless, as over HTTP.
type session struct {
	conn *connection
	// tag is the session's log_comment: how its statement is found to be killed.
	tag   string
	state sessionState
	dirty bool
}

// sessionState is what two requests must agree on to use the same session.
type sessionState struct {
	database string
	settings string // canonical: name=value, sorted, NUL between
}

func stateOf(database string, settings []setting) sessionState {
	list := make([]string, 0, len(settings))
	for _, s := range settings {
		list = append(list, s.name+"="+s.value)
	}
	slices.Sort(list)
	return sessionState{database: database, settings: strings.Join(list, "\x00")}
}

// lane is a bounded number of sessions, opened when needed and kept for the
// next request that wants the same state. Safe for concurrent use.
type lane struct {
	name   string
	engine *engine
	base   []setting
	tags   *atomic.Uint64
	queued atomic.Int64
	// tokens holds one entry per session in use.
	tokens chan struct{}

	mu     sync.Mutex
	idle   []*session // the longest unused first
	opened int        // idle or in use
}

func newLane(e *engine, name string, size int, base []setting, tags *atomic.Uint64) *lane {
	return &lane{name: name, engine: e, base: base, tags: tags, tokens: make(chan struct{}, size)}
}

// acquire waits for a session in the state asked for. release must follow.
func (l *lane) acquire(ctx context.Context, database string, settings []setting) (*session, error) {
	if l.queued.Add(1) > waiting {
		l.queued.Add(-1)
		return nil, exceptionf(codeTooManyQueries, "Too many simultaneous queries: %d wait for the %d %s sessions. Try again later", waiting, cap(l.tokens), l.name)
	}
	select {
	case l.tokens <- struct{}{}:
		l.queued.Add(-1)
	case <-ctx.Done():
		l.queued.Add(-1)
		return nil, fmt.Errorf("wait for a %s session: %w", l.name, context.Cause(ctx))
	}
	state := stateOf(database, settings)
	ready, spare := l.take(state)
	if ready != nil {
		return ready, nil
	}
	if spare != nil {
		spare.conn.close()
	}
	s, err := l.open(database, settings, state)
	if err != nil {
		l.mu.Lock()
		l.opened--
		l.mu.Unlock()
		<-l.tokens
		return nil, err
	}
	return s, nil
}

// take finds an idle session in that state. When there is none the caller
// opens one, after closing spare, if there is one: the lane is full then.
func (l *lane) take(state sessionState) (ready, spare *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.idle) - 1; i >= 0; i-- {
		if s := l.idle[i]; s.state == state {
			l.idle = slices.Delete(l.idle, i, i+1)
			return s, nil
		}
	}
	if l.opened < cap(l.tokens) {
		l.opened++
		return nil, nil
	}
	spare = l.idle[0]
	l.idle = slices.Delete(l.idle, 0, 1)
	return nil, spare
}

func (l *lane) open(database string, settings []setting, state sessionState) (*session, error) {
	tag := fmt.Sprintf("annals-%s-%d", l.name, l.tags.Add(1))
	conn, err := l.engine.open(append(slices.Clone(l.base), setting{"log_comment", tag}), settings)
	if err != nil {
		return nil, engineErrorf("cannot open a %s session: %v", l.name, err)
	}
	if database != "" {
		if _, err := conn.run("USE "+quoteIdentifier(database), "Null", nil); err != nil {
			conn.close()
			return nil, err
		}
	}
	return &session{conn: conn, tag: tag, state: state}, nil
}

// release gives the session back. One that its statement changed is closed.
func (l *lane) release(s *session) {
	if s.dirty {
		s.conn.close()
	}
	l.mu.Lock()
	if s.dirty {
		l.opened--
	} else {
		l.idle = append(l.idle, s)
	}
	l.mu.Unlock()
	<-l.tokens
}

// close waits until no session is in use and closes them all. The lane is of
// no use afterwards.
func (l *lane) close(ctx context.Context) error {
	for range cap(l.tokens) {
		select {
		case l.tokens <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("close %s sessions: %w", l.name, ctx.Err())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.idle {
		s.conn.close()
	}
	l.idle = nil
	return nil
}

// killEvery is how often a statement that should stop is asked again: the
// engine looks at the mark between blocks only, and before it is registered
// there is nothing to mark.
const killEvery = 250 * time.Millisecond

// killer stops statements of other sessions, on a session of its own.
type killer struct {
	gate chan struct{}
	conn *connection
	log  *slog.Logger
}

func newKiller(e *engine, log *slog.Logger) (*killer, error) {
	conn, err := e.open(nil, nil)
	if err != nil {
		return nil, err
	}
	return &killer{gate: make(chan struct{}, 1), conn: conn, log: log}, nil
}

// kill asks until done is closed that the statement of s stops.
func (k *killer) kill(s *session, done <-chan struct{}) {
	for {
		k.gate <- struct{}{}
		_, err := k.conn.run("KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC", "Null", []parameter{{"tag", s.tag}})
		<-k.gate
		if err != nil {
			k.log.Warn("cannot stop a statement", "session", s.tag, "err", err)
		}
		select {
		case <-done:
			return
		case <-time.After(killEvery):
		}
	}
}

func (k *killer) close() {
	k.gate <- struct{}{}
	k.conn.close()
}

// during runs f on the thread of s, and stops its statement when ctx ends first. It
// returns only after f has: the session is then free of it.
func (k *killer) during(ctx context.Context, s *session, f func() error) error {
	var err error
	done := s.conn.do(func() { err = f() })
	select {
	case <-done:
	case <-ctx.Done():
		k.kill(s, done)
		<-done
	}
	return err
}

// quoteIdentifier writes a name as ClickHouse reads it between backticks.
func quoteIdentifier(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}
