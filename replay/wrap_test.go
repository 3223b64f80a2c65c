package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/replay"
	"github.com/fx-risk-ai/annals/schema"
)

// watched is a real cluster whose transactions and reads are looked at, or
// held up, or changed.
type watched struct {
	replay.Brokers
	commit func(ctx context.Context)                           // before each commit
	read   func(s schema.Stream, r *schema.Record) (keep bool) // of each record read back
}

func (w watched) Producer(options kafka.ProducerOptions) (replay.Producer, error) {
	p, err := w.Brokers.Producer(options)
	return watchedProducer{p, w}, err
}

func (w watched) Range(ctx context.Context, s schema.Stream, from, to int64, isolation kafka.Isolation) iter.Seq2[*schema.Record, error] {
	return func(yield func(*schema.Record, error) bool) {
		for r, err := range w.Brokers.Range(ctx, s, from, to, isolation) {
			if err == nil && w.read != nil && s.Topic != positions && r.Status != schema.Control && !w.read(s, r) {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

type watchedProducer struct {
	replay.Producer
	w watched
}

func (p watchedProducer) Commit(ctx context.Context) error {
	if p.w.commit != nil {
		p.w.commit(ctx)
	}
	return p.Producer.Commit(ctx)
}

// blind does not see leases for a while: whoever uses it takes every job at
// once.
type blind struct {
	*objstore.Store
	until time.Time
}

func (b blind) Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error) {
	raw, object, err := b.Store.Get(ctx, key, limit)
	if err != nil || !strings.HasSuffix(key, "/state.json") || time.Now().After(b.until) {
		return raw, object, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&fields); err != nil {
		return nil, object, err
	}
	fields["lease"] = json.RawMessage("null")
	raw, err = json.Marshal(fields)
	return raw, object, err
}

// severed is a worker's store, from whose machine nothing is written any more
// once cut is closed, and whose clock is ahead.
type severed struct {
	*objstore.Store
	cut   <-chan struct{}
	ahead time.Duration
}

func (s severed) PutIfMatch(ctx context.Context, key, etag string, body []byte) (objstore.Object, error) {
	select {
	case <-s.cut:
		return objstore.Object{}, schema.Errorf(schema.Unavailable, "the network is away")
	default:
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &fields); err != nil {
		return objstore.Object{}, err
	}
	var lease struct {
		Holder  string    `json:"holder"`
		Expires time.Time `json:"expires"`
	}
	if raw := fields["lease"]; len(raw) > 0 && string(raw) != "null" {
		if err := json.Unmarshal(raw, &lease); err != nil {
			return objstore.Object{}, err
		}
		lease.Expires = lease.Expires.Add(s.ahead)
		fields["lease"], _ = json.Marshal(lease)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return objstore.Object{}, err
	}
	return s.Store.PutIfMatch(ctx, key, etag, body)
}
