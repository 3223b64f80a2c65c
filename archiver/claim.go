package archiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/schema"
)

// claimFormat names this version of a compaction's job object.
const claimFormat = "annals.compaction-job/1"

const maxClaimBytes = 64 << 10

// The states of a claim. Only the collector ends one.
const (
	claimOpen  = "open"
	claimEnded = "ended"
)

// claim is the job object of a compaction. It stands before the output does
// and keeps it from being collected. Seq is the only seq that the compaction's
// commit may take: once the chain is beyond it, and does not name the output,
// the commit can only come after the claim was changed, which whoever ended
// it before prevents.
type claim struct {
	Format    string         `json:"format"`
	ID        string         `json:"id"`
	State     string         `json:"state"`
	Writer    string         `json:"writer"`
	Cluster   string         `json:"cluster"`
	Topic     string         `json:"topic"`
	TopicID   schema.TopicID `json:"topic_id"`
	Partition int32          `json:"partition"`
	Output    string         `json:"output"` // key of the joined segment
	Inputs    []string       `json:"inputs"` // keys of those it is joined of
	Seq       int64          `json:"seq,string"`
	Clock     string         `json:"clock"` // the writer's, when it was made
}

func (c *claim) key() string {
	s := schema.Stream{Cluster: c.Cluster, Topic: c.Topic, TopicID: c.TopicID, Partition: c.Partition}
	return schema.CompactionJobPrefix(s) + c.ID + ".json"
}

func (c *claim) encode() ([]byte, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode compaction job: %w", err)
	}
	return raw, nil
}

// placeClaim writes a new claim. Its id is new, so one that is there is ours,
// sent twice.
func placeClaim(ctx context.Context, store Store, c *claim) (etag string, err error) {
	raw, err := c.encode()
	if err != nil {
		return "", err
	}
	object, err := store.PutIfAbsent(ctx, c.key(), raw)
	if err == nil {
		return object.ETag, nil
	}
	if !errors.Is(err, objstore.ErrExists) && !errors.Is(err, objstore.ErrUncertain) {
		return "", err
	}
	there, object, getErr := store.Get(ctx, c.key(), maxClaimBytes)
	if getErr != nil || !bytes.Equal(there, raw) {
		return "", errors.Join(err, getErr)
	}
	return object.ETag, nil
}

// changeClaim replaces a claim if it is as it was. Conflict, or any other
// error: it is not ours any more, or that is not known.
func changeClaim(ctx context.Context, store Collectable, c *claim, etag string) (string, error) {
	raw, err := c.encode()
	if err != nil {
		return "", err
	}
	object, err := store.PutIfMatch(ctx, c.key(), etag, raw)
	if err != nil {
		return "", fmt.Errorf("change compaction job %s: %w", c.ID, err)
	}
	return object.ETag, nil
}

// readClaim reads a claim and its ETag.
func readClaim(ctx context.Context, store Collectable, key string) (*claim, string, error) {
	raw, object, err := store.Get(ctx, key, maxClaimBytes)
	if err != nil {
		return nil, "", err
	}
	var c claim
	if err := schema.DecodeStrictly(raw, &c); err != nil || c.Format != claimFormat || c.key() != key || c.State != claimOpen && c.State != claimEnded {
		return nil, "", schema.Newer(raw, schema.Errorf(schema.Corrupt, "compaction job %s is not one that this version reads", key), claimFormat)
	}
	return &c, object.ETag, nil
}
