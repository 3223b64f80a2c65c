package ledger

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fx-risk-ai/annals/schema"
)

// TwoClusters is the error, of kind Conflict, of a topic ID that two clusters
// have chains of, or would have: clusters that were restored from one copy. The
// identity of a record is its topic ID, partition, branch and offset, so records
// of the two could not be told apart in the index, in exports and in replays.
func TwoClusters(topic string, id schema.TopicID, first, second string) error {
	return schema.WithHint(
		schema.Errorf(schema.Conflict, "topic %s of cluster %s has the topic ID %s, which this archive holds of cluster %s", topic, second, id, first),
		OwnPrefix)
}

// OwnPrefix is what to do about TwoClusters.
const OwnPrefix = "one cluster was restored from a copy of the other: archive it below an s3.prefix and with a clickhouse.database of its own"

// Others tells which of a cluster's topic IDs belong to another cluster in this
// archive: those whose chains there began first, by the clock of their writers,
// or, in the same moment, whose cluster ID is the lower. Two archivers that ask
// after both have begun get one answer. It costs a request for each thousand
// topics of the other clusters, and some for each topic ID found there. A chain
// there or here whose beginning is damaged counts as the other cluster's: nothing
// is archived on a guess.
func (l *Ledger) Others(ctx context.Context, cluster string, ids map[schema.TopicID]bool) (map[schema.TopicID]string, error) {
	owners := map[schema.TopicID]string{}
	for folder, err := range l.store.Folders(ctx, schema.LedgerPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("look at other clusters: %w", err)
		}
		other := strings.TrimSuffix(strings.TrimPrefix(folder, schema.LedgerPrefix), "/")
		if other == cluster {
			continue
		}
		for id, err := range l.Topics(ctx, other) {
			if err != nil {
				return nil, fmt.Errorf("look at cluster %s: %w", other, err)
			}
			if !ids[id] {
				continue
			}
			first, err := l.first(ctx, id, cluster, other)
			if err != nil && schema.KindOf(err) != schema.Corrupt {
				return nil, fmt.Errorf("look at cluster %s: %w", other, err)
			}
			if first != cluster || err != nil {
				owners[id] = other
			}
		}
	}
	return owners, nil
}

// first is the cluster, of two, whose chains of a topic ID began first.
func (l *Ledger) first(ctx context.Context, id schema.TopicID, cluster, other string) (string, error) {
	theirs, there, err := l.began(ctx, other, id)
	if err != nil || !there {
		return cluster, err // folders without a chain
	}
	ours, here, err := l.began(ctx, cluster, id)
	if err != nil || !here {
		return other, err
	}
	return First(cluster, ours, other, theirs), nil
}

// First is which of two clusters a topic ID belongs to, whose chains of it began
// at these times.
func First(a string, began time.Time, b string, otherBegan time.Time) string {
	if cmp.Or(began.Compare(otherBegan), strings.Compare(a, b)) <= 0 {
		return a
	}
	return b
}

// began is the clock of the first commit of a topic's chains, if it has any.
func (l *Ledger) began(ctx context.Context, cluster string, id schema.TopicID) (began time.Time, there bool, err error) {
	for s, err := range l.StreamsOf(ctx, cluster, id) {
		if err != nil {
			return began, there, err
		}
		genesis, err := l.Genesis(ctx, s)
		if err != nil {
			return began, there, err
		}
		if at := genesis.Written(); !there || at.Before(began) {
			began, there = at, true
		}
	}
	return began, there, nil
}
