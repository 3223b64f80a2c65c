package ledger

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"

	"github.com/fx-risk-ai/annals/schema"
)

// Streams yields every stream that has a chain, by cluster, topic ID and
// partition, with the topic's name from its genesis. The first error ends it.
func (l *Ledger) Streams(ctx context.Context) iter.Seq2[schema.Stream, error] {
	return l.streams(ctx, schema.LedgerPrefix, 3)
}

// Folders yields what has a folder for a chain that is not empty, without the
// topic's name and without a look at the chain itself, so that one that is
// damaged is not missed. An error of kind Corrupt names a folder that is no
// chain's, and the next one follows; any other ends it.
func (l *Ledger) Folders(ctx context.Context) iter.Seq2[schema.Stream, error] {
	return func(yield func(schema.Stream, error) bool) {
		for folder, err := range l.leaves(ctx, schema.LedgerPrefix, 3) {
			s, empty := schema.Stream{}, false
			if err == nil {
				if empty, err = l.isEmpty(ctx, folder); err == nil && !empty {
					s, err = streamOf(folder)
				}
			}
			if err != nil {
				err = fmt.Errorf("list streams: %w", err)
			}
			if empty {
				continue
			}
			if !yield(s, err) || err != nil && schema.KindOf(err) != schema.Corrupt {
				return
			}
		}
	}
}

// StreamsOf yields the streams of one topic of a cluster that have a chain, by
// partition, as Streams does.
func (l *Ledger) StreamsOf(ctx context.Context, cluster string, id schema.TopicID) iter.Seq2[schema.Stream, error] {
	return l.streams(ctx, schema.LedgerPrefix+cluster+"/"+id.String()+"/", 1)
}

// Topics yields the ID of every topic of a cluster that has a folder for
// chains. The first error ends it.
func (l *Ledger) Topics(ctx context.Context, cluster string) iter.Seq2[schema.TopicID, error] {
	return func(yield func(schema.TopicID, error) bool) {
		prefix := schema.LedgerPrefix + cluster + "/"
		for folder, err := range l.store.Folders(ctx, prefix, "") {
			id := schema.TopicID{}
			if err == nil {
				var idErr error
				if id, idErr = schema.ParseTopicID(strings.TrimSuffix(strings.TrimPrefix(folder, prefix), "/")); idErr != nil {
					err = schema.Errorf(schema.Corrupt, "folder %s: not a topic's", folder)
				}
			}
			if err != nil {
				yield(id, fmt.Errorf("list topics: %w", err))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// genesesAtOnce are read side by side: a chain's first commit is a request of its
// own, and an archive has as many as partitions.
const genesesAtOnce = 32

// streams yields the streams that have a chain depth folders below prefix.
func (l *Ledger) streams(ctx context.Context, prefix string, depth int) iter.Seq2[schema.Stream, error] {
	return func(yield func(schema.Stream, error) bool) {
		var folders []string
		flush := func() bool {
			for _, one := range l.geneses(ctx, folders) {
				if one.err != nil {
					yield(schema.Stream{}, fmt.Errorf("list streams: %w", one.err))
					return false
				}
				if !one.empty && !yield(one.stream, nil) {
					return false
				}
			}
			folders = folders[:0]
			return true
		}
		for folder, err := range l.leaves(ctx, prefix, depth) {
			if err != nil {
				if flush() {
					yield(schema.Stream{}, fmt.Errorf("list streams: %w", err))
				}
				return
			}
			if folders = append(folders, folder); len(folders) == genesesAtOnce && !flush() {
				return
			}
		}
		flush()
	}
}

// named is what a folder's genesis says; empty: the folder has no chain.
type named struct {
	stream schema.Stream
	empty  bool
	err    error
}

// geneses reads those of folders side by side.
func (l *Ledger) geneses(ctx context.Context, folders []string) []named {
	out := make([]named, len(folders))
	var group sync.WaitGroup
	for i, folder := range folders {
		group.Go(func() { out[i] = l.genesis(ctx, folder) })
	}
	group.Wait()
	return out
}

func (l *Ledger) genesis(ctx context.Context, folder string) named {
	s, err := streamOf(folder)
	if err != nil {
		return named{err: err}
	}
	first, err := l.commit(ctx, s, 0)
	if schema.KindOf(err) == schema.NotFound {
		// A folder without its genesis: what a crash of a store over a
		// file system leaves. A chain that lost it is Corrupt to Head.
		empty, emptyErr := l.isEmpty(ctx, folder)
		if emptyErr == nil && empty {
			return named{empty: true}
		}
		first, err = l.commit(ctx, s, 0) // it may have been begun between the two looks
	}
	if err != nil {
		return named{err: missing(err, s, 0)}
	}
	return named{stream: first.Commit.Stream()}
}

// HasStreams tells whether any stream of a cluster has a chain.
func (l *Ledger) HasStreams(ctx context.Context, cluster string) (bool, error) {
	if cluster == "" || cluster != schema.EscapeTopic(cluster) {
		return false, schema.InvalidField("cluster", "look for streams: cluster ID %q cannot be part of a key", cluster)
	}
	empty, err := l.isEmpty(ctx, schema.LedgerPrefix+cluster+"/")
	if err != nil {
		return false, fmt.Errorf("look for streams: %w", err)
	}
	return !empty, nil
}

// leaves yields the folders depth levels below prefix.
func (l *Ledger) leaves(ctx context.Context, prefix string, depth int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for folder, err := range l.store.Folders(ctx, prefix, "") {
			if err != nil || depth == 1 {
				if !yield(folder, err) || err != nil {
					return
				}
				continue
			}
			for leaf, err := range l.leaves(ctx, folder, depth-1) {
				if !yield(leaf, err) || err != nil {
					return
				}
			}
		}
	}
}

func (l *Ledger) isEmpty(ctx context.Context, folder string) (bool, error) {
	for _, err := range l.store.List(ctx, folder, "") {
		return false, err
	}
	return true, nil
}

// streamOf reads the stream, without its topic's name, that
// [schema.LedgerStreamPrefix] wrote.
func streamOf(folder string) (schema.Stream, error) {
	parts := strings.Split(strings.TrimPrefix(folder, schema.LedgerPrefix), "/")
	if len(parts) == 4 {
		id, idErr := schema.ParseTopicID(parts[1])
		partition, numErr := strconv.ParseInt(parts[2], 10, 32)
		s := schema.Stream{Cluster: parts[0], TopicID: id, Partition: int32(partition)}
		if idErr == nil && numErr == nil && schema.LedgerStreamPrefix(s) == folder {
			return s, nil
		}
	}
	return schema.Stream{}, schema.Errorf(schema.Corrupt, "folder %s: not a chain's", folder)
}
