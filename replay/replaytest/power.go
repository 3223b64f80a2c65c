package replaytest

import (
	"context"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
)

// Loss is what becomes of the operation at which a machine loses its power.
type Loss uint8

// The losses.
const (
	Before Loss = iota // it is never performed
	After              // it is performed, and nobody gets the answer
	Late               // it is performed some milliseconds after the machine is gone
)

// Power is the machine of one worker. At its n-th operation on the store or on Kafka,
// or the n-th of those that count, it loses its power: from then on
// nothing it does has an effect, its transaction stays open, its lease is not given back. In one process it stands for a SIGKILL that
// may come anywhere, an answer that is lost, and a request that arrives when the
// sender is dead.
type Power struct {
	Off       chan struct{} // closed when it is lost
	Positions string        // the topic of positions: reading it is no comparison
	loss      Loss
	counts    func(Doing, string) bool // which operations count; nil: all

	mu    sync.Mutex
	left  int
	off   bool
	doing Doing
	at    Doing  // what was going on
	step  string // and the operation at which the power was lost
	late  sync.WaitGroup
}

// NewPower loses its power at the n-th operation, from 1.
func NewPower(n int, loss Loss) *Power {
	return &Power{Off: make(chan struct{}), loss: loss, left: n, doing: Starting}
}

// tearing counts only operations with a transaction open, or a file's part under way.
func tearing(doing Doing, _ string) bool { return doing == Sending || doing == Writing }

// rare leaves out what there is one of for each record: the others come seldom.
func rare(_ Doing, step string) bool { return step != produces && step != readsBack }

const (
	produces  = "produce"
	readsBack = "read back"
)

// Lost is what was going on when the power was lost, and the operation; "" while it is
// there.
func (p *Power) Lost() (Doing, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.step
}

func (p *Power) does(doing Doing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = doing
}

var errOff = schema.Errorf(schema.Unavailable, "the machine has no power")

func (p *Power) do(step string, operation func() error) error {
	p.mu.Lock()
	before := p.off
	if !p.off && (p.counts == nil || p.counts(p.doing, step)) {
		p.left--
		p.off = p.left == 0
	}
	off := p.off
	if off && !before {
		p.at, p.step = p.doing, step
		close(p.Off)
		if p.loss == Late {
			p.late.Add(1)
		}
	}
	p.mu.Unlock()
	switch {
	case !off:
		return operation()
	case before || p.loss == Before:
		return errOff
	case p.loss == After:
		_ = operation() // nobody learns of it
		return errOff
	}
	go func() {
		defer p.late.Done()
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		_ = operation()
	}()
	return errOff
}

// Store is the store as the machine reaches it.
func (p *Power) Store(s replay.Store) replay.Store { return poweredStore{s, p} }

type poweredStore struct {
	replay.Store
	p *Power
}

// detached lets an operation that comes late outlive who asked for it.
func detached(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func (s poweredStore) PutIfAbsent(ctx context.Context, key string, body []byte) (o objstore.Object, err error) {
	var made objstore.Object
	step, part := "put if absent", strings.Contains(key, "/files/")
	if part {
		step = "put a file's part"
		s.p.does(Writing)
	}
	err = s.p.do(step, func() (err error) { made, err = s.Store.PutIfAbsent(detached(ctx), key, body); return err })
	if err != nil {
		return o, err
	}
	if part {
		s.p.does(Between)
	}
	return made, nil
}

func (s poweredStore) PutIfMatch(ctx context.Context, key, etag string, body []byte) (o objstore.Object, err error) {
	var made objstore.Object
	err = s.p.do("put if match", func() (err error) { made, err = s.Store.PutIfMatch(detached(ctx), key, etag, body); return err })
	if err != nil {
		return o, err
	}
	return made, nil
}

func (s poweredStore) Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error) {
	select {
	case <-s.p.Off:
		return nil, objstore.Object{}, errOff
	default:
		return s.Store.Get(ctx, key, limit)
	}
}

func (s poweredStore) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	return s.Store.ReaderAt(ctx, key, size)
}

// Brokers are the cluster as the machine reaches it.
func (p *Power) Brokers(b replay.Brokers) replay.Brokers { return poweredBrokers{b, p} }

type poweredBrokers struct {
	replay.Brokers
	p *Power
}

func (b poweredBrokers) CreateReplicated(ctx context.Context, name string, partitions int32, replication int16, configs map[string]string) (id schema.TopicID, err error) {
	var made schema.TopicID
	err = b.p.do("create topic", func() (err error) {
		made, err = b.Brokers.CreateReplicated(detached(ctx), name, partitions, replication, configs)
		return err
	})
	if err != nil {
		return id, err
	}
	return made, nil
}

func (b poweredBrokers) Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error] {
	return func(yield func(*schema.Record, error) bool) {
		if s.Topic != b.p.Positions {
			b.p.does(Comparing)
		}
		if err := b.p.do("read", func() error { return nil }); err != nil {
			yield(nil, err)
			return
		}
		for r, err := range b.Brokers.Range(ctx, s, from, to, isolation) {
			if s.Topic != b.p.Positions && err == nil {
				err = b.p.do(readsBack, func() error { return nil })
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (b poweredBrokers) Producer(options kafka.ProducerOptions) (replay.Producer, error) {
	p, err := b.Brokers.Producer(options)
	return poweredProducer{p, b.p}, err
}

type poweredProducer struct {
	replay.Producer
	p *Power
}

func (p poweredProducer) Init(ctx context.Context) (int64, error) {
	var id int64
	err := p.p.do("fence", func() (err error) { id, err = p.Producer.Init(detached(ctx)); return err })
	if err != nil {
		return 0, err
	}
	return id, nil
}

func (p poweredProducer) Begin(ctx context.Context) error {
	err := p.p.do("begin", func() error { return p.Producer.Begin(detached(ctx)) })
	if err == nil {
		p.p.does(Sending)
	}
	return err
}

func (p poweredProducer) Produce(ctx context.Context, topic string, partition int32, r *schema.Record, acked func()) {
	_ = p.p.do(produces, func() error { p.Producer.Produce(detached(ctx), topic, partition, r, acked); return nil })
}

func (p poweredProducer) Commit(ctx context.Context) error {
	err := p.p.do("commit", func() error { return p.Producer.Commit(detached(ctx)) })
	if err == nil {
		p.p.does(Between)
	}
	return err
}

func (p poweredProducer) Abort(ctx context.Context) error {
	err := p.p.do("abort", func() error { return p.Producer.Abort(detached(ctx)) })
	if err == nil {
		p.p.does(Between)
	}
	return err
}

func (p poweredProducer) Mark(ctx context.Context, topic string, partition int32, r *schema.Record) (int64, error) {
	var at int64
	err := p.p.do("mark", func() (err error) { at, err = p.Producer.Mark(detached(ctx), topic, partition, r); return err })
	if err != nil {
		return 0, err
	}
	return at, nil
}

// Close waits for what comes late: the client is the dead machine's network too.
func (p poweredProducer) Close() {
	p.p.late.Wait()
	p.Producer.Close()
}
