//go:build synctests

package simulation

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fx-risk-ai/annals/archiver"
	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/ledger"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

// process is one archiver with a network of its own.
type process struct {
	name   string
	a      *archiver.Archiver
	gate   *gate
	conns  *conns
	wire   *wire
	faults *objstoretest.Faults
	store  *objstore.Store
	disk   *disk // of its spool; nil: it has none
	seen   *prometheus.Registry
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run
}

// launch starts an archiver.
func (w *world) launch() (*process, error) { return w.launchIn("archivers") }

// launchIn starts one in a group: in one of its own it owns what others do too.
func (w *world) launchIn(group string) (*process, error) {
	w.launched++
	p := &process{name: string(rune('A' + (w.launched-1)%26)), gate: newGate(), done: make(chan struct{})}
	log := w.logger.With("process", p.name)
	p.conns = &conns{gate: p.gate, dial: w.kafka.dial, open: map[*relay]bool{}}
	if w.kafka.groups != nil {
		p.conns.group = w.kafka.coordinator
	}
	p.faults = &objstoretest.Faults{Base: w.bucket, Choose: w.fault}
	p.wire = &wire{gate: p.gate, next: p.faults, end: w.bucket, draw: w.net, slow: w.delay}
	var err error
	p.store, err = objstore.Open(unsigned(p.wire, w.settings.page))
	if err != nil {
		return nil, err
	}
	o := w.settings.options
	o.Kafka = kafka.Options{Brokers: w.kafka.addrs(), ClientID: p.name, Dial: p.conns.Dial, MetadataMaxAge: 10 * time.Second, Logger: log}
	o.Tail.Group = group
	if p.disk, err = w.newDisk(); err != nil {
		return nil, err
	}
	p.disk.use(&o)
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	p.seen = o.Registerer.(*prometheus.Registry)
	o.Writer, o.Build, o.Logger = p.name, "simulation", log
	p.a, err = archiver.New(o, p.store, ledger.New(p.store, log), w.index, w.rules)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		p.err = p.a.Run(ctx)
		close(p.done)
	}()
	w.running = append(w.running, p)
	w.all = append(w.all, p)
	return p, nil
}

// measured is a metric of the process's.
func (p *process) measured(name string) float64 { return sumOf(p.seen, name) }

// crash ends a process as SIGKILL does: of what it had sent something may
// still arrive, and nothing more leaves it.
func (p *process) crash() {
	p.disk.leave()
	p.gate.unlock(true)
	p.conns.cut()
	p.cancel()
}

// stop ends it gracefully.
func (p *process) stop() {
	p.cancel()
	<-p.done
}
