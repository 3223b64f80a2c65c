package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// runningFile stands in an engine's data directory while it is open. Found at
// start, the last stop was not clean. A broker's may list partitions whose
// summary is not to be trusted, a line a directory.
const runningFile = "running"

// recoverTransactions ends what an unclean stop left open. kfake itself treats
// such transactions as aborted, but only in memory and without markers in the
// log: the producer's next commit marker would commit them for whoever reads
// the log by its markers; and a commit that was under way would stay half, in
// some partitions and without its consumer offsets, so that a consumer would
// read again what its committed output has already. So a commit that was
// prepared is carried out, and all others get abort markers, before anybody
// can connect.
func (b *brokerStart) recoverTransactions(ctx context.Context) error {
	dir := b.opts.DataDir
	note, err := os.ReadFile(filepath.Join(dir, runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := forgetSummaries(dir, strings.Fields(string(note))); err != nil {
		return err
	}
	prepared, err := readPrepared(dir)
	if err != nil {
		return err
	}
	open, err := scanTransactions(dir, prepared)
	if err != nil {
		return fmt.Errorf("scan for open transactions: %w", err)
	}
	if len(open) == 0 && prepared == nil {
		return nil
	}
	b.log.logger.Warn("the last stop was unclean: ending the transactions it left open", "partitions_with_open_transactions", len(open), "commit_under_way", prepared != nil)
	decided := decidedPartitions(open)
	// Written down first: what follows may be cut short too.
	if err := replaceFile(filepath.Join(dir, runningFile), []byte(strings.Join(decided, "\n"))); err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0") // nobody is told of
	if err != nil {
		return err
	}
	cluster, err := b.start(ln)
	if err != nil {
		return errors.Join(err, ignoreClosed(ln.Close()))
	}
	// Until the cluster stops, its log of producers does not grow, and the
	// commit counts as not carried out.
	endErr := b.endTransactions(ctx, ln.Addr().String(), open, prepared)
	if err := errors.Join(endErr, b.stop(cluster)); err != nil {
		return fmt.Errorf("end open transactions: %w", err)
	}
	return forgetSummaries(dir, decided)
}

func (b *brokerStart) endTransactions(ctx context.Context, addr string, open []openTransaction, prepared *preparedCommit) error {
	client, err := b.client(addr, kgo.MaxVersions(kversion.V4_0_0())) // offsets by the names of topics
	if err != nil {
		return err
	}
	defer client.Close()
	if err := writeMarkers(ctx, client, open); err != nil {
		return err
	}
	if prepared == nil {
		return nil
	}
	return commitOffsets(ctx, client, prepared.Offsets)
}

func writeMarkers(ctx context.Context, client *kgo.Client, open []openTransaction) error {
	if len(open) == 0 {
		return nil
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	for _, tx := range open {
		topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		topic.Topic = tx.topic
		topic.Partitions = []int32{tx.partition}
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID = tx.producer
		marker.ProducerEpoch = tx.epoch
		marker.Committed = tx.committed
		marker.Topics = append(marker.Topics, topic)
		req.Markers = append(req.Markers, marker)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, m := range resp.Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("%s/%d producer %d: %w", t.Topic, p.Partition, m.ProducerID, err)
				}
			}
		}
	}
	return nil
}

// commitOffsets commits offsets for groups that have no members yet, each by
// itself and in order: a later one of the same partition counts.
func commitOffsets(ctx context.Context, client *kgo.Client, offsets []preparedOffset) error {
	for _, o := range offsets {
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset, partition.LeaderEpoch, partition.Metadata = o.Partition, o.Offset, o.LeaderEpoch, o.Metadata
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = o.Topic
		topic.Partitions = append(topic.Partitions, partition)
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = o.Group, -1
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				// kfake has refused the offset of a topic that is not there.
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
					return fmt.Errorf("offset of group %s in %s/%d: %w", o.Group, o.Topic, o.Partition, err)
				}
			}
		}
	}
	return nil
}

// decidedPartitions lists the directories of partitions that get a commit
// marker here. kfake's summary of such a partition, saved when it closes, says
// aborted, as that is what kfake made of the open transaction when it loaded
// it.
func decidedPartitions(open []openTransaction) []string {
	var dirs []string
	for _, tx := range open {
		if tx.committed {
			dirs = append(dirs, fmt.Sprintf("%s-%d", url.PathEscape(tx.topic), tx.partition))
		}
	}
	return dirs
}

// forgetSummaries removes the summaries of partitions, so that kfake derives
// them from the log again.
func forgetSummaries(dir string, partitions []string) error {
	for _, p := range partitions {
		err := os.Remove(filepath.Join(dir, "partitions", p, "snapshot.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the summary of a partition: %w", err)
		}
	}
	return nil
}

// stop ends a broker that never served anybody else.
func (b *brokerStart) stop(cluster *kfake.Cluster) error {
	b.log.collect()
	defer b.log.release()
	cluster.Close()
	return b.log.collected()
}
