package matrix

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const fetchKey = kmsg.Fetch

// wire breaks the archiver's connections to Kafka: requests, or their answers.
type wire struct {
	mu     sync.Mutex
	armed  *trigger
	key    kmsg.Key
	column string
}

func (w *wire) arm(g *trigger, key kmsg.Key, column string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.key, w.column = g, key, column
}

// choose tells what becomes of a request, and "" for nothing.
func (w *wire) choose(key kmsg.Key) (string, *trigger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed == nil || key != w.key || !w.armed.pull() {
		return "", nil
	}
	return w.column, w.armed
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &brittle{Conn: conn, wire: w, marked: map[uint32]mark{}}, nil
}

// brittle is one connection. The client writes one request at a time, whole.
type brittle struct {
	net.Conn
	wire *wire

	mu     sync.Mutex
	marked map[uint32]mark // correlation ID → what becomes of the answer

	frame []byte // read, and not handed out yet
	ended error  // behind it
}

type mark struct {
	column  string
	trigger *trigger
}

// Where the API key and the correlation ID are in a request, and the latter in
// an answer, behind the length.
const (
	keyAt         = 4
	correlationAt = 8
	answerAt      = 4
)

func (b *brittle) Write(p []byte) (int, error) {
	if len(p) >= correlationAt+4 {
		column, trigger := b.wire.choose(kmsg.Key(binary.BigEndian.Uint16(p[keyAt:])))
		switch column {
		case "":
		case lost:
			_ = b.Close()
			return 0, syscall.ECONNRESET
		default:
			b.mu.Lock()
			b.marked[binary.BigEndian.Uint32(p[correlationAt:])] = mark{column, trigger}
			b.mu.Unlock()
		}
	}
	return b.Conn.Write(p)
}

func (b *brittle) Read(p []byte) (int, error) {
	if len(b.frame) == 0 {
		if b.ended != nil {
			_ = b.Close()
			return 0, b.ended
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.frame)
	b.frame = b.frame[n:]
	return n, nil
}

// next reads an answer, and does to it what was marked.
func (b *brittle) next() error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(b.Conn, head); err != nil {
		return err
	}
	frame := append(head, make([]byte, binary.BigEndian.Uint32(head))...)
	if _, err := io.ReadFull(b.Conn, frame[4:]); err != nil {
		return err
	}
	id := binary.BigEndian.Uint32(frame[answerAt:])
	b.mu.Lock()
	m := b.marked[id]
	delete(b.marked, id)
	b.mu.Unlock()
	switch m.column {
	case replyLost:
		_ = b.Close()
		return syscall.ECONNRESET
	case slow:
		time.Sleep(slowness)
	case cutBody:
		frame, b.ended = frame[:len(frame)/2], io.ErrUnexpectedEOF
	case flippedBody:
		at := bytes.LastIndex(frame, padding)
		if at < 0 {
			m.trigger.giveBack()
			break
		}
		frame[at] ^= 1
	}
	b.frame = frame
	return nil
}

// padding is in many of the records' values. A bit is flipped there: a batch's
// checksum covers its records, but neither its first offset nor its leader
// epoch, nor anything around it.
var padding = []byte("xxxxxxxxxxxxxxxx")
