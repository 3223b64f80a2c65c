//go:build synctests

package simulation

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

var errDown = errors.New("connection refused: the process is dead")

// gate stands between a process and everything else. Closed, nothing passes in
// either direction: the process is a zombie that nobody hears.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
	dead bool
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
}

// unlock opens the gate; with dead, nothing passes any more all the same.
func (g *gate) unlock(dead bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dead = g.dead || dead
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		return false
	default:
		return true
	}
}

// pass waits until the gate is open.
func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	open, dead := g.open, g.dead
	g.mu.Unlock()
	if dead {
		return errDown
	}
	select {
	case <-open:
	default:
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return errDown
	}
	return nil
}

// conns are a process's connections to Kafka.
type conns struct {
	gate *gate
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// group, if set, is where requests about the group go.
	group func() (net.Conn, error)

	mu   sync.Mutex
	open map[*relay]bool
}

func (c *conns) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := c.gate.pass(ctx); err != nil {
		return nil, err
	}
	server, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	client, inner := net.Pipe()
	r := &relay{conns: c, client: inner, server: server}
	r.more = sync.NewCond(&r.mu)
	c.mu.Lock()
	c.open[r] = true
	c.mu.Unlock()
	go r.carry()
	go r.deliver()
	return client, nil
}

// cut closes all connections.
func (c *conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.open {
		r.close()
	}
}

// flight is how long a broker's answer is on its way. Without it whatever a
// client repeats at once, as it does a fetch of which one partition failed, it
// would repeat for ever in one moment.
const flight = 5 * time.Millisecond

// relay carries one connection through the gate. What the broker sends is
// taken from it at once, as a socket's buffer would: a zombie must not hold up
// the broker's other connections. A broker answers a connection's requests one
// after another, and so does a relay.
type relay struct {
	conns          *conns
	client, server net.Conn

	mu     sync.Mutex
	group  net.Conn
	more   *sync.Cond
	queue  [][]byte
	closed bool
}

func (r *relay) close() {
	_ = r.client.Close()
	_ = r.server.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.group != nil {
		_ = r.group.Close()
	}
	r.closed = true
	r.more.Broadcast()
}

func (r *relay) end() {
	r.close()
	r.conns.mu.Lock()
	defer r.conns.mu.Unlock()
	delete(r.conns.open, r)
}

// aboutGroup are the requests of a member: what a coordinator answers that the
// brokers' restarts do not touch.
var aboutGroup = map[uint16]bool{8: true, 9: true, 11: true, 12: true, 13: true, 14: true}

// carry takes one request after the other to where it belongs, and its answer
// back.
func (r *relay) carry() {
	defer r.end()
	var group net.Conn
	defer func() {
		if group != nil {
			_ = group.Close()
		}
	}()
	for {
		request, err := frame(r.client)
		if err != nil || r.conns.gate.pass(context.Background()) != nil {
			return
		}
		to := r.server
		if r.conns.group != nil && aboutGroup[binary.BigEndian.Uint16(request[4:])] {
			if group == nil {
				if group, err = r.conns.group(); err != nil {
					return
				}
				r.also(group)
			}
			to = group
		}
		if _, err := to.Write(request); err != nil {
			return
		}
		answer, err := frame(to)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.queue = append(r.queue, answer)
		r.more.Broadcast()
		r.mu.Unlock()
	}
}

// frame reads one message with the length before it.
func frame(from net.Conn) ([]byte, error) {
	size := make([]byte, 4)
	if _, err := io.ReadFull(from, size); err != nil {
		return nil, err
	}
	message := append(size, make([]byte, binary.BigEndian.Uint32(size))...)
	_, err := io.ReadFull(from, message[4:])
	return message, err
}

// also closes another connection with the relay.
func (r *relay) also(group net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.group = group
	if r.closed {
		_ = group.Close()
	}
}

func (r *relay) deliver() {
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.closed {
			r.more.Wait()
		}
		queue := r.queue
		r.queue = nil
		closed := r.closed
		r.mu.Unlock()
		if closed {
			return
		}
		time.Sleep(flight)
		for _, piece := range queue {
			if r.conns.gate.pass(context.Background()) != nil {
				r.close()
				return
			}
			if _, err := r.client.Write(piece); err != nil {
				r.close()
				return
			}
		}
	}
}

// wire carries a process's requests to the store: with a delay, through the
// gate, and with what w draws for faults.
type wire struct {
	gate *gate
	next http.RoundTripper // with faults
	end  http.RoundTripper // without
	draw *dice
	slow func() time.Duration
	late sync.WaitGroup

	mu       sync.Mutex
	held     int
	atCommit func(context.Context) // told of commits that are about to be sent
	claimed  bool                  // of them
	last     bool                  // the next one arrives, whatever befalls the process
}

// mostHeld bounds the requests that a shut gate keeps for later.
const mostHeld = 8

func (w *wire) hold() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == mostHeld || !w.draw.chance(0.5) {
		return false
	}
	w.held++
	return true
}

// drowse has somebody told of commits that are about to be sent: of those behind
// which a compaction's job was sent, or of all. What it does holds them up.
func (w *wire) drowse(compactions bool, tell func(context.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.atCommit, w.claimed = tell, !compactions
}

func (w *wire) look(r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/"+bucket+"/")
	w.mu.Lock()
	if r.Method == http.MethodPut && strings.HasPrefix(key, schema.CompactionPrefix) {
		w.claimed = true
	}
	tell := w.atCommit
	if !w.claimed || r.Method != http.MethodPut || !strings.HasPrefix(key, schema.LedgerPrefix) {
		tell = nil
	}
	w.mu.Unlock()
	if tell != nil {
		tell(r.Context())
	}
}

// letPass has the next request of a process that is dead arrive all the same.
func (w *wire) letPass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = true
}

func (w *wire) passes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.last
	w.last = false
	return last
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := rest(r.Context(), w.slow()); err != nil {
		return nil, err
	}
	w.look(r)
	if err := w.gate.pass(r.Context()); err != nil {
		if errors.Is(err, errDown) {
			if !w.passes() && w.draw.chance(0.5) {
				return nil, err
			}
			_, _ = w.end.RoundTrip(r) // it was on its way
			return nil, err
		}
		if w.hold() { // nobody waits for it any more, and it arrives
			sent := r.Clone(context.Background())
			if r.GetBody != nil {
				if body, bodyErr := r.GetBody(); bodyErr == nil {
					sent.Body = body
				}
			}
			w.late.Go(func() {
				if w.gate.pass(context.Background()) == nil {
					_, _ = w.end.RoundTrip(sent)
				}
			})
		}
		return nil, err
	}
	response, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := rest(r.Context(), w.slow()); err != nil {
		return nil, err
	}
	if err := w.gate.pass(r.Context()); err != nil {
		return nil, err
	}
	return response, nil
}

func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
