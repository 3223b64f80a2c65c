package broker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How long a server may take on a busy machine.
const (
	startTime   = 3 * time.Minute
	stopTime    = 60 * time.Second
	metadataAge = 250 * time.Millisecond // of clients: their stall after a leader's death is mostly this
)

// Node is one server of a cluster.
type Node struct {
	cluster          *Cluster
	id               int32
	addr, controller string // host:port
	dir              string

	command *exec.Cmd
	ended   chan struct{} // closed when the server has ended
	offset  int64         // in the log, where this start begins
}

// ID is the node's, as clients know it.
func (n *Node) ID() int32 { return n.id }

// Addr is where clients reach it: host:port, the same after a restart.
func (n *Node) Addr() string { return n.addr }

// Kill ends the server as a crash would (SIGKILL).
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	if err := n.kill(); err != nil {
		t.Fatal(err)
	}
}

// Stop has the server hand over what it leads and end (SIGTERM).
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	if err := n.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop Kafka node %d: %v", n.id, err)
	}
	select {
	case <-n.ended:
	case <-time.After(stopTime):
		t.Fatalf("Kafka node %d did not stop within %s", n.id, stopTime)
	}
}

// Restart starts the server again, after Kill or Stop, with the same data and
// addresses, and returns when it says that it has started.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
}

// Said gives the last lines that the server said: what it warned of, and then
// the rest.
func (n *Node) Said(lines int) string {
	raw, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	var warned []string
	for _, line := range all {
		if strings.Contains(line, "Connection to node") { // while others are down, four a second
			continue
		}
		if strings.Contains(line, " WARN ") || strings.Contains(line, " ERROR ") || strings.Contains(line, " FATAL ") {
			warned = append(warned, line)
		}
	}
	last := func(list []string) string { return strings.Join(list[max(0, len(list)-lines):], "\n") }
	return last(warned) + "\n----\n" + last(all)
}

// log is a file, not a pipe: a server that nobody listens to would stop.
func (n *Node) log() string { return filepath.Join(n.dir, "server.log") }

func (n *Node) java(heap string, args ...string) *exec.Cmd {
	// C1 alone starts in half the time, and serves a test no slower.
	return exec.Command("java", append([]string{
		"-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=" + n.cluster.logging(),
		"-cp", filepath.Join(n.cluster.jars, "*"),
	}, args...)...)
}

func (n *Node) data() string { return filepath.Join(n.dir, "data") }

func (n *Node) config() string { return filepath.Join(n.dir, "server.properties") }

// format makes the node's data folder.
func (n *Node) format(cluster string) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return fmt.Errorf("make Kafka's folder: %w", err)
	}
	if err := os.WriteFile(n.config(), []byte(n.properties()), 0o600); err != nil {
		return fmt.Errorf("configure Kafka: %w", err)
	}
	args := append([]string{"kafka.tools.StorageTool", "format", "-t", cluster, "-c", n.config()}, n.cluster.users()...)
	if said, err := n.java("128m", args...).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(said)), "\n")
		return fmt.Errorf("format Kafka node %d: %w\n%s", n.id, err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
	return nil
}

// start runs the server and waits until it is ready.
func (n *Node) start() error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open Kafka's log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the server writes to its own copy
	info, err := log.Stat()
	if err != nil {
		return fmt.Errorf("look at Kafka's log: %w", err)
	}
	n.offset = info.Size()
	command := n.java("384m", "kafka.Kafka", n.config())
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = dieWithParent()
	if err := command.Start(); err != nil {
		return fmt.Errorf("start Kafka node %d: %w", n.id, err)
	}
	ended := make(chan struct{})
	n.command, n.ended = command, ended
	go func() {
		defer close(ended)
		_ = command.Wait() // how it ended is in its log
	}()
	return n.ready()
}

func (n *Node) ready() error {
	deadline := time.After(startTime)
	for {
		select {
		case <-n.ended:
			return fmt.Errorf("start Kafka node %d: it ended instead of starting:\n%s", n.id, n.Said(40))
		case <-deadline:
			return errors.Join(fmt.Errorf("start Kafka node %d: not ready within %s:\n%s", n.id, startTime, n.Said(40)), n.kill())
		case <-time.After(20 * time.Millisecond):
		}
		raw, err := os.ReadFile(n.log())
		if err != nil {
			return fmt.Errorf("read Kafka's log: %w", err)
		}
		if bytes.Contains(raw[n.offset:], []byte("Kafka Server started")) {
			return nil
		}
	}
}

// kill ends the server if it runs, and waits for that.
func (n *Node) kill() error {
	if n.command == nil {
		return nil
	}
	if err := n.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill Kafka node %d: %w", n.id, err)
	}
	<-n.ended
	return nil
}
