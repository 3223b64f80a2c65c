package broker

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/sync/errgroup"
)

// Options of a cluster.
type Options struct {
	Nodes int // 1 if zero
	// Users may log in with SCRAM-SHA-256, by name; what they may do is for
	// ACLs to say. With none there is neither login nor authorization.
	Users map[string]string
	// Properties are added to every node's server.properties.
	Properties map[string]string
}

// Cluster is a running Kafka.
type Cluster struct {
	options Options
	dir     string
	jars    string
	nodes   []*Node // ids from 1
}

// Start runs a cluster until the test ends. The test is skipped where Kafka
// cannot be run.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Launch(t.TempDir(), o)
	Need(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Watch(t)
	return c
}

// Need skips the test when err is ErrMissing and fails it for any other error.
func Need(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Watch shows what the servers said at last if the test fails. Start does it;
// it is for tests that share a cluster.
func (c *Cluster) Watch(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.nodes {
				t.Logf("Kafka node %d (%s):\n%s", n.id, n.addr, n.Said(20))
			}
		}
	})
}

// Launch is Start without a test: the folder is the caller's, and so is Close.
func Launch(dir string, o Options) (*Cluster, error) {
	found, err := jars()
	if err != nil {
		return nil, err
	}
	o.Nodes = max(o.Nodes, 1)
	c := &Cluster{options: o, dir: dir, jars: found}
	taken := map[string]bool{}
	for id := 1; id <= o.Nodes; id++ {
		n := &Node{cluster: c, id: int32(id), dir: filepath.Join(dir, fmt.Sprint("node", id))}
		for _, address := range []*string{&n.addr, &n.controller} {
			if *address, err = freeAddress(taken); err != nil {
				return nil, err
			}
		}
		c.nodes = append(c.nodes, n)
	}
	if err := os.WriteFile(c.logging(), logging, 0o600); err != nil {
		return nil, fmt.Errorf("write the servers' log settings: %w", err)
	}
	if err := c.found(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// found formats every node's folder for a cluster with an ID of its own, and
// starts them.
func (c *Cluster) found() error {
	id := clusterID()
	var starting errgroup.Group
	for _, n := range c.nodes {
		starting.Go(func() error {
			if err := n.format(id); err != nil {
				return err
			}
			return n.start()
		})
	}
	return starting.Wait()
}

// Replace ends the cluster and starts another one, with nothing in it, at its
// addresses.
func (c *Cluster) Replace(t testing.TB) {
	t.Helper()
	err := c.Close()
	for _, n := range c.nodes {
		err = errors.Join(err, os.RemoveAll(n.data()))
	}
	if err == nil {
		err = c.found()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) logging() string { return filepath.Join(c.dir, "log4j2.yaml") }

// Close kills every node: nothing that a test has seen of it is wanted after.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.kill())
	}
	return errors.Join(errs...)
}

// Node returns a node by its ID; the first is 1.
func (c *Cluster) Node(id int32) *Node { return c.nodes[id-1] }

// Nodes returns all of them, by ID.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.nodes) }

// Addrs are the bootstrap addresses.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.addr)
	}
	return addrs
}

// Client returns a client that may do everything and writes to the partition
// that a record names; the test's end closes it.
func (c *Cluster) Client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	if len(c.options.Users) > 0 {
		options = append([]kgo.Opt{kgo.SASL(scram.Auth{User: admin, Pass: adminPassword}.AsSha256Mechanism())}, options...)
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(metadataAge),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// users are the arguments that make the logins when a node is formatted.
func (c *Cluster) users() []string {
	if len(c.options.Users) == 0 {
		return nil
	}
	all := maps.Clone(c.options.Users)
	all[admin] = adminPassword
	var args []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-256=[name=%s,password=%s]", name, all[name]))
	}
	return args
}

func clusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, it panics instead
	id[0] &= 0x7f           // an ID that begins with - is taken for an option
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// freeAddress gives a loopback address that nobody listens on, and that no
// outgoing connection is given while a node is down: it lies below the range
// that the kernel takes ports from by itself.
func freeAddress(taken map[string]bool) (string, error) {
	const lowest, ifUnknown = 10_000, 32_768
	end := ifUnknown
	if raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(strings.TrimSpace(string(raw)), &end); err != nil || end < 2*lowest {
			end = ifUnknown
		}
	}
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+mathrand.IntN(end-lowest))
		if taken[address] {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		taken[address] = true
		return address, listener.Close()
	}
	return "", errors.New("find a free port: none of a thousand was")
}
