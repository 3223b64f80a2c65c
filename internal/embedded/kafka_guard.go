package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxKafkaFrame is the largest request admitted, in bytes; Kafka's own
	// socket.request.max.bytes has the same default.
	maxKafkaFrame = 100 << 20
	// minKafkaFrame is a request header without a client id.
	minKafkaFrame = 8
	// kafkaIdle closes a connection that asked nothing for as long, as Kafka's
	// connections.max.idle.ms does.
	kafkaIdle = 10 * time.Minute
)

// errKafkaFrame ends a connection that does not speak Kafka.
var errKafkaFrame = errors.New("not a kafka request")

// GuardKafka puts a check before kfake, which allocates whatever a frame
// claims as its size and panics at an unknown request key. Any web page can
// send such bytes to a loopback port, so the check is not optional. It also
// mends what only a connection can; see unanswered.
func GuardKafka(ln net.Listener) net.Listener { return guardedListener{ln} }

type guardedListener struct{ net.Listener }

func (l guardedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &frameConn{Conn: conn}, nil
}

// frameConn follows the request frames read from a connection and fails at
// the first whose header is not one of a request kfake can parse. Read is
// called by one goroutine at a time, and so is Write.
type frameConn struct {
	net.Conn
	head    [4 + minKafkaFrame]byte // size, then the request header's fixed part
	pending []byte                  // of head, not handed on yet
	left    int64                   // bytes of the frame not read yet

	handshake atomic.Pointer[[4]byte] // correlation ID of a SASL handshake not answered yet
	join      unanswered
}

func (c *frameConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.pending) == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	return n, err
}

func (c *frameConn) next() error {
	if err := c.SetReadDeadline(time.Now().Add(kafkaIdle)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
		c.join.wait()
		return err
	}
	size := binary.BigEndian.Uint32(c.head[:4])
	key := int16(binary.BigEndian.Uint16(c.head[4:6]))
	version := int16(binary.BigEndian.Uint16(c.head[6:8]))
	if size < minKafkaFrame || size > maxKafkaFrame {
		return fmt.Errorf("%w: a frame of %d bytes", errKafkaFrame, size)
	}
	if kmsg.RequestForKey(key) == nil || version < 0 {
		return fmt.Errorf("%w: key %d version %d", errKafkaFrame, key, version)
	}
	switch kmsg.Key(key) {
	case kmsg.SASLHandshake:
		c.handshake.Store((*[4]byte)(bytes.Clone(c.head[8:12])))
	case kmsg.JoinGroup:
		c.join.begin()
	}
	c.pending = c.head[:]
	c.left = int64(size) - minKafkaFrame
	return nil
}

// saslMechanism is the one mechanism users exist for.
const saslMechanism = "SCRAM-SHA-256"

// Write completes kfake's answer to a SASL handshake: it names the mechanisms
// only when it refuses one, Kafka always does, and kafkajs insists.
func (c *frameConn) Write(p []byte) (int, error) {
	c.join.end()
	correlation := c.handshake.Load()
	if correlation == nil || !isBareHandshake(p, correlation[:]) {
		return c.Conn.Write(p)
	}
	c.handshake.Store(nil)
	answer := append(bytes.Clone(p[:10]), 0, 0, 0, 1) // one mechanism
	answer = binary.BigEndian.AppendUint16(answer, uint16(len(saslMechanism)))
	answer = append(answer, saslMechanism...)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	if _, err := c.Conn.Write(answer); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements net.Conn.
func (c *frameConn) Close() error {
	c.join.end()
	return c.Conn.Close()
}

// isBareHandshake recognizes the answer to a handshake, version 1: size,
// correlation ID, no error, no mechanisms.
func isBareHandshake(p, correlation []byte) bool {
	return len(p) == 14 && bytes.Equal(p[4:8], correlation) && bytes.Equal(p[8:], make([]byte, 6))
}
