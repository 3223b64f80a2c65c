package snapshot

import (
	"context"
	"fmt"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// lookedBack is how many days before a time a snapshot is looked for: while somebody
// records, there is one within the last hour.
const lookedBack = 31

// AsOf gives the newest snapshot of a cluster's consumer offsets that is not younger
// than a time. NotFound: there is none within the month before it.
func AsOf(ctx context.Context, store Store, cluster string, at time.Time) (*schema.ConsumerOffsets, error) {
	key, err := newest(ctx, store, cluster, schema.SnapshotOffsets, at)
	if err != nil {
		return nil, err
	}
	raw, _, err := store.Get(ctx, key, schema.MaxSnapshotBytes)
	if err != nil {
		return nil, err
	}
	c, err := schema.ParseConsumerOffsets(raw)
	if err == nil && schema.SnapshotKey(cluster, schema.SnapshotOffsets, c.Taken) != key {
		err = schema.Errorf(schema.Corrupt, "it is not the one that its name says")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return c, nil
}

// newest gives the key of a snapshot.
func newest(ctx context.Context, store Store, cluster, kind string, at time.Time) (string, error) {
	for back := range lookedBack {
		folder := schema.SnapshotFolder(cluster, kind, at.AddDate(0, 0, -back))
		found := ""
		for object, err := range store.List(ctx, folder, "") {
			if err != nil {
				return "", err
			}
			if taken, ok := schema.ParseSnapshotKey(folder, object.Key); ok && taken <= at.UnixMilli() {
				found = object.Key
			}
		}
		if found != "" {
			return found, nil
		}
	}
	return "", schema.WithHint(schema.Errorf(schema.NotFound, "no snapshot of the consumer groups of cluster %s is archived from the %d days before %s", cluster, lookedBack, at.UTC().Format(time.RFC3339)),
		"archive.snapshots.interval says how often an archiver takes one; it needs Describe on the groups")
}
