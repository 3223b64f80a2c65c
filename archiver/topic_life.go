package archiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// life is what listings show of topics' lives. It is watch's own.
type life struct {
	partitions map[schema.TopicID]int // how many were seen
	notes      map[string]any         // still to be put into the archive, by key
}

// topicPartitions is the note that a topic was seen with so many partitions. The
// one with the fewest is also when it was found.
type topicPartitions struct {
	Cluster    string         `json:"cluster"`
	Topic      string         `json:"topic"`
	TopicID    schema.TopicID `json:"topic_id"`
	Seen       string         `json:"seen"`
	Partitions int            `json:"partitions"`
}

// topicGone is the note that a topic was deleted.
type topicGone struct {
	Cluster    string          `json:"cluster"`
	Topic      string          `json:"topic"`
	TopicID    schema.TopicID  `json:"topic_id"`
	Seen       string          `json:"seen"`
	ReplacedBy *schema.TopicID `json:"replaced_by"` // under its name; nil: nothing was
}

// noteLife puts into the archive what a listing shows for the first time. What
// fails is tried again at the next listing; archiving does not wait for it.
func (t *topics) noteLife(ctx context.Context, cluster kafka.Cluster) {
	for _, listed := range cluster.Topics {
		n := len(listed.Partitions)
		if !t.isKnown(listed) || t.life.partitions[listed.ID] >= n {
			continue
		}
		t.life.partitions[listed.ID] = n
		t.life.notes[schema.TopicPartitionsKey(listed.ID, n)] = topicPartitions{
			Cluster: t.cluster, Topic: listed.Name, TopicID: listed.ID, Seen: time.Now().UTC().Format(time.RFC3339Nano), Partitions: n,
		}
	}
	var (
		putting errgroup.Group
		mu      sync.Mutex
		put     []string
	)
	putting.SetLimit(openers)
	for key, what := range t.life.notes {
		putting.Go(func() error {
			if err := t.note(ctx, key, what); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			put = append(put, key)
			return nil
		})
	}
	if err := putting.Wait(); err != nil && ctx.Err() == nil {
		t.a.log.Warn("what became of topics is noted later", "err", err)
	}
	for _, key := range put {
		delete(t.life.notes, key)
	}
}

func (t *topics) isKnown(listed kafka.Topic) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[listed.Name]
	return ok && known.id == listed.ID
}

// note puts an object about a topic into the archive, unless it is there.
func (t *topics) note(ctx context.Context, key string, what any) error {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(what); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	if _, err := t.a.store.PutIfAbsent(ctx, key, body.Bytes()); !errors.Is(err, objstore.ErrExists) {
		return err
	}
	return nil // another archiver's look
}

// went notes that a topic is gone, and which has its name now.
func (t *topics) went(name string, id schema.TopicID, now *schema.TopicID) {
	at := time.Now().UTC()
	delete(t.life.partitions, id)
	t.life.notes[schema.TopicGoneKey(id, at.UnixMilli())] = topicGone{t.cluster, name, id, at.Format(time.RFC3339Nano), now}
}
