package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/internal/kafka"
	"github.com/fx-risk-ai/annals/internal/retry"
	"github.com/fx-risk-ai/annals/schema"
)

// positionPartitions of a position topic that is made here; jobs spread over
// them by ID, so that one job's open transaction holds up few others.
const positionPartitions = 8

// positionPlace says where a job's positions stand. It is kept with the job:
// partitions that are added to the topic later move nothing. From is where the
// partition ended before the job's first record.
type positionPlace struct {
	Topic     string         `json:"topic"`
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	From      int64          `json:"from,string"`
}

// cursor is how far a job is: every planned record of the lanes before Lane,
// and of that lane those below Next, stand in the target. It is the value of
// the position record, in the transaction that delivered the last of them.
// Ahead are lanes behind Lane of which some stands there already, as of jobs
// that take all lanes by one clock: the records of each below its offset.
type cursor struct {
	Job      string `json:"job"`
	Lane     int    `json:"lane"`
	Next     int64  `json:"next,string"`
	Produced int64  `json:"produced,string"`

	Ahead map[int]offset `json:"ahead,omitempty"` // encoding/json sorts the keys
}

const sentinelSuffix = "/worker"

// positionReady makes the position topic exist and chooses the job's
// partition.
func (s *destination) positionReady(ctx context.Context, id string) (*positionPlace, error) {
	name := s.options.PositionTopic
	_, err := s.cluster.CreateReplicated(ctx, name, positionPartitions, s.options.PositionReplication, map[string]string{cleanupPolicy: "compact"})
	switch schema.KindOf(err) {
	case schema.Conflict:
	case schema.Permission: // somebody else may have made it
	default:
		if err != nil {
			return nil, err
		}
	}
	t := target{Source: name, Name: name, Existed: true, Partitions: 1}
	if err := s.awaitTarget(ctx, &t); err != nil {
		return nil, fmt.Errorf("position topic: %w", err)
	}
	config, err := s.config(ctx, name)
	if schema.KindOf(err) == schema.Permission {
		return nil, schema.WithHint(fmt.Errorf("position topic: %w", err), "grant DescribeConfigs on "+name+": positions must not be deleted, so its "+cleanupPolicy+" is looked at")
	}
	if err != nil {
		return nil, err
	}
	if policy := config[cleanupPolicy]; policy != "compact" {
		return nil, schema.WithHint(schema.Errorf(schema.Invalid, "the position topic %s has %s=%s: positions of a job could be deleted", name, cleanupPolicy, policy),
			"set it to compact, or name another replay.position_topic")
	}
	var first byte
	if _, err := fmt.Sscanf(id[:2], "%02x", &first); err != nil {
		return nil, schema.Errorf(schema.Internal, "replay %s: %w", id, err)
	}
	partition := int32(first) % int32(len(t.Starts))
	return &positionPlace{Topic: name, TopicID: *t.ID, Partition: partition, From: int64(t.Starts[partition])}, nil
}

// stream is the position partition as package kafka names it.
func (p *positionPlace) stream() schema.Stream {
	return schema.Stream{Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition}
}

// record makes the position record.
func (c *cursor) record() (*schema.Record, error) {
	value, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode position: %w", err)
	}
	return &schema.Record{Key: []byte(c.Job), Value: value, Timestamp: time.Now().UnixMilli()}, nil
}

// resume finds how far a job is. The producer has been initialised: no earlier
// worker can commit any more. It writes a record of its own behind all that
// they committed and reads up to it, so that the end is certain even where the
// topic was compacted.
func (s *destination) resume(ctx context.Context, id string, p *positionPlace, producer Producer) (cursor, error) {
	at := cursor{Job: id}
	own := &schema.Record{Key: []byte(id + sentinelSuffix), Value: []byte(s.options.Worker), Timestamp: time.Now().UnixMilli()}
	end, err := producer.Mark(ctx, p.Topic, p.Partition, own)
	if err != nil {
		return at, err
	}
	if err := s.stable(ctx, p.stream(), end+1); err != nil {
		return at, err
	}
	for record, err := range s.cluster.Range(ctx, p.stream(), p.From, end+1, kafka.ReadCommitted) {
		if schema.KindOf(err) == schema.NotFound {
			return at, schema.Errorf(schema.NotFound, "the positions of replay %s are gone, it cannot go on exactly once: %w", id, err)
		}
		if err != nil {
			return at, err
		}
		if record.Status == schema.Control || string(record.Key) != id {
			continue
		}
		var found cursor
		if err := json.Unmarshal(record.Value, &found); err != nil || found.Job != id || found.Produced < at.Produced {
			return at, schema.Errorf(schema.Corrupt, "position of replay %s at %s/%d offset %d is damaged: %w", id, p.Topic, p.Partition, record.Offset, errors.Join(err, errPosition))
		}
		at = found
	}
	return at, nil
}

var errPosition = errors.New("it is not this job's, or leads back")

// stableWait bounds how long other producers' open transactions are waited
// for; brokers abort a transaction after its timeout, by default a minute.
const stableWait = 2 * time.Minute

// stable waits until readers of committed records get everything below end.
func (s *destination) stable(ctx context.Context, at schema.Stream, end int64) error {
	deadline, said := time.Now().Add(stableWait), false
	for pauses := retry.Between(5*time.Millisecond, time.Second); ; {
		bounds, err := s.cluster.Offsets(ctx, at.Topic)
		if err != nil {
			return err
		}
		b := bounds[at.Topic][at.Partition]
		if b.Err != nil {
			return schema.Errorf(schema.Unavailable, "list offsets of %s/%d: %w", at.Topic, at.Partition, b.Err)
		}
		if b.LastStable >= end {
			return nil
		}
		if time.Now().After(deadline) {
			return schema.Errorf(schema.Unavailable, "%s/%d: a transaction that somebody left open at offset %d hides what is behind it, up to %d", at.Topic, at.Partition, b.LastStable, end)
		}
		if !said && time.Until(deadline) < stableWait-5*time.Second {
			said = true
			s.log.Info("waiting for another producer's open transaction", "topic", at.Topic, "partition", at.Partition, "last_stable_offset", b.LastStable, "want", end)
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}
