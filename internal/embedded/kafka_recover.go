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
	"github.com/twmb/franz-go/pkg/kmsg"
)

// runningFile stands in the data directory while a broker has it open. Found
// at start, the last one did not stop cleanly. It may list partitions whose
// summary is not to be trusted, a line a directory.
const runningFile = "running"

// recoverTransactions ends what an unclean stop left open. kfake itself treats
// such transactions as aborted, but only in memory and without markers in the
// log: the producer's next commit marker would commit them for whoever reads
// the log by its markers, and a commit whose markers were half written would
// stay half. So each gets its marker before anybody can connect: commit if
// another partition has it already, else abort.
//
// Not mended: a half written commit of a client older than KIP-890, if it was
// not the producer's first since it began: its marker cannot be told from an
// earlier one, and the rest is aborted. And consumer offsets that were part of a transaction whose commit
// was under way. kfake holds them in memory until the markers are written, so
// a consumer may read again what its committed output has already.
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
	open, err := scanTransactions(dir)
	if err != nil {
		return fmt.Errorf("scan for open transactions: %w", err)
	}
	if len(open) == 0 {
		return nil
	}
	b.log.logger.Warn("the last stop was unclean: ending the transactions it left open", "partitions_with_open_transactions", len(open))
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
	writeErr := b.writeMarkers(ctx, ln.Addr().String(), open)
	if err := errors.Join(writeErr, b.stop(cluster)); err != nil {
		return fmt.Errorf("end open transactions: %w", err)
	}
	return forgetSummaries(dir, decided)
}

func (b *brokerStart) writeMarkers(ctx context.Context, addr string, open []openTransaction) error {
	client, err := b.client(addr)
	if err != nil {
		return err
	}
	defer client.Close()
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
