package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// MaxGroups bounds the consumer groups of one snapshot; how many there are besides is
// in it.
const MaxGroups = 2000

// Unchanged is after how long what has not changed is written again: that nothing
// changed can then be told from nobody having looked.
const Unchanged = time.Hour

// Broker is the cluster. *kafka.Admin is one.
type Broker interface {
	Cluster(ctx context.Context) (kafka.Cluster, error)
	AllCommitted(ctx context.Context, most int) (byGroup map[string]kafka.Committed, hidden, leftOut int, err error)
	TopicACLs(ctx context.Context) ([]schema.TopicACL, error)
}

// Store is where snapshots are kept. *objstore.Store is one.
type Store interface {
	PutIfAbsent(ctx context.Context, key string, body []byte) (objstore.Object, error)
	Get(ctx context.Context, key string, limit int64) ([]byte, objstore.Object, error)
	List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Object, error]
}

// Recorder takes snapshots.
type Recorder struct {
	broker Broker
	store  Store
	every  time.Duration
	log    *slog.Logger
	meters *Metrics
	last   map[string]written // by kind
}

// written is what was written last of a kind.
type written struct {
	content schema.Digest
	at      time.Time
}

// NewRecorder makes one that looks at so long intervals. Nothing runs until Run. Without
// metrics nothing is counted.
func NewRecorder(broker Broker, store Store, every time.Duration, metrics *Metrics, logger *slog.Logger) *Recorder {
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return &Recorder{broker: broker, store: store, every: every, log: logger.With("component", "snapshots"), meters: metrics, last: map[string]written{}}
}

// Run takes snapshots until ctx ends. What fails is said, and tried again at the next
// interval: archiving does not depend on it. It returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	for said := ""; ; {
		switch err := r.Take(ctx); {
		case err == nil:
			said = ""
		case err.Error() != said && ctx.Err() == nil: // a missing right would be said for ever
			said = err.Error()
			r.log.Warn("consumer groups and access rules are not archived now", "err", err, "again_in", r.every.String())
		}
		if retry.Sleep(ctx, retry.Spread(r.every)) != nil {
			return nil
		}
	}
}

// Take looks once, and archives what has changed.
func (r *Recorder) Take(ctx context.Context) error {
	err := r.take(ctx)
	if err == nil {
		r.meters.looked.SetToCurrentTime()
	} else if ctx.Err() == nil {
		r.meters.failed.Inc()
	}
	return err
}

func (r *Recorder) take(ctx context.Context) error {
	live, err := r.broker.Cluster(ctx)
	if err != nil {
		return err
	}
	if live.ID == "" {
		return schema.Errorf(schema.Invalid, "the cluster has no ID")
	}
	return errors.Join(r.offsets(ctx, live), r.acls(ctx, live.ID))
}

func (r *Recorder) offsets(ctx context.Context, live kafka.Cluster) error {
	if others, err := r.isTaken(ctx, live.ID, schema.SnapshotOffsets); others || err != nil {
		return err
	}
	ids := map[string]schema.TopicID{}
	for i := range live.Topics {
		ids[live.Topics[i].Name] = live.Topics[i].ID
	}
	c := &schema.ConsumerOffsets{Format: schema.ConsumerOffsetsFormat, Cluster: live.ID}
	byGroup, hidden, leftOut, err := r.broker.AllCommitted(ctx, MaxGroups)
	if err != nil {
		return err
	}
	// The time is from after the look: what is in a snapshot was committed by then. What
	// was committed meanwhile may be missing, and is then read twice rather than not.
	at := time.Now()
	c.Hidden, c.LeftOut = hidden, leftOut
	r.meters.missing.Set(float64(hidden + leftOut))
	for name, committed := range byGroup {
		group := schema.GroupOffsets{Group: name}
		for topic, partitions := range committed {
			of := schema.TopicCommit{Topic: topic}
			if id, ok := ids[topic]; ok {
				of.TopicID = &id
			}
			for partition, offset := range partitions {
				of.Offsets = append(of.Offsets, [2]int64{int64(partition), offset})
			}
			group.Topics = append(group.Topics, of)
		}
		c.Groups = append(c.Groups, group)
	}
	if leftOut > 0 {
		r.log.Warn("a snapshot does not hold all consumer groups", "groups", len(c.Groups), "left_out", leftOut)
	}
	return r.write(ctx, live.ID, schema.SnapshotOffsets, at, &c.Taken, c.Encode)
}

func (r *Recorder) acls(ctx context.Context, cluster string) error {
	if others, err := r.isTaken(ctx, cluster, schema.SnapshotACLs); others || err != nil {
		return err
	}
	a, at := &schema.TopicACLs{Format: schema.TopicACLsFormat, Cluster: cluster}, time.Now()
	list, err := r.broker.TopicACLs(ctx)
	switch schema.KindOf(err) {
	case schema.Permission, schema.Conflict:
		a.Error, err = err.Error(), nil
	}
	if err != nil {
		return err
	}
	a.ACLs = list
	return r.write(ctx, cluster, schema.SnapshotACLs, at, &a.Taken, a.Encode)
}

// isTaken tells whether another recorder has just taken a snapshot of a kind.
func (r *Recorder) isTaken(ctx context.Context, cluster, kind string) (bool, error) {
	now := time.Now()
	newest := int64(-1)
	folder := schema.SnapshotFolder(cluster, kind, now)
	// Of the day only what may be young enough is listed.
	for object, err := range r.store.List(ctx, folder, schema.SnapshotKey(cluster, kind, now.Add(-r.every).UnixMilli())) {
		if err != nil {
			return false, err
		}
		if taken, ok := schema.ParseSnapshotKey(folder, object.Key); ok {
			newest = taken
		}
	}
	own := r.last[kind].at
	return newest > own.UnixMilli() && now.Sub(time.UnixMilli(newest)) < r.every/2, nil
}

// write keeps a snapshot, unless it says what the last one of this recorder says.
func (r *Recorder) write(ctx context.Context, cluster, kind string, at time.Time, taken *int64, encode func() ([]byte, error)) error {
	raw, err := encode()
	if err != nil {
		return err
	}
	content := schema.Digest(sha256.Sum256(raw))
	if last, ok := r.last[kind]; ok && last.content == content && at.Sub(last.at) < Unchanged {
		return nil
	}
	*taken = at.UnixMilli()
	if raw, err = encode(); err != nil {
		return err
	}
	_, err = r.store.PutIfAbsent(ctx, schema.SnapshotKey(cluster, kind, *taken), raw)
	if err != nil && !errors.Is(err, objstore.ErrExists) {
		return fmt.Errorf("keep a snapshot: %w", err)
	}
	r.last[kind] = written{content, at}
	r.meters.written.WithLabelValues(kind).Inc()
	return nil
}
