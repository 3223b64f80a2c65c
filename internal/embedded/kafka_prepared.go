package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// preparedFile holds the commit that the broker is about to carry out or has
// carried out last: what a real broker's log of transactions says with
// PREPARE_COMMIT.
const preparedFile = "prepared"

// preparedCommit is a decision to commit a transaction, made before any of its
// effects. kfake carries one out by writing a marker to each partition, then
// each consumer offset, then an entry to its log of producers; all by itself,
// as it handles one request at a time. So there is never more than one to be
// carried out, and it was carried out if that log has grown since.
type preparedCommit struct {
	Producer  int64            `json:"producer"`
	Epoch     int16            `json:"epoch"`
	Offsets   []preparedOffset `json:"offsets"`
	Producers int64            `json:"producers"` // the size in bytes of the log of producers
}

// preparedOffset is a consumer offset that is part of a transaction.
type preparedOffset struct {
	Group       string  `json:"group"`
	Topic       string  `json:"topic"`
	Partition   int32   `json:"partition"`
	Offset      int64   `json:"offset"`
	LeaderEpoch int32   `json:"leader_epoch"`
	Metadata    *string `json:"metadata"`
}

// commitJournal writes every commit down before kfake sees it. Its methods run
// inside kfake, one at a time.
type commitJournal struct {
	dir     string
	file    *os.File
	log     *kafkaLog
	cluster *kfake.Cluster
	// pending are the offsets of open transactions by producer. The requests
	// themselves are kept: kfake puts the names of topics into those that have
	// only ids. An offset that kfake has refused is among them; a client that
	// is refused one aborts.
	pending map[int64][]*kmsg.TxnOffsetCommitRequest
	last    int64 // producer of what the file holds; -1: nothing that counts
}

// openCommitJournal empties the journal of a broker that is about to start.
func openCommitJournal(dir string, log *kafkaLog) (*commitJournal, error) {
	f, err := os.OpenFile(filepath.Join(dir, preparedFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal of commits: %w", err)
	}
	if err := errors.Join(f.Sync(), syncDir(dir)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &commitJournal{dir: dir, file: f, log: log, pending: map[int64][]*kmsg.TxnOffsetCommitRequest{}, last: -1}, nil
}

// watch has the journal see a cluster's requests. For each of the four kinds
// kfake keeps the last request of every connection, also of closed ones.
func (j *commitJournal) watch(cluster *kfake.Cluster) {
	j.cluster = cluster
	cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		j.note(r.(*kmsg.TxnOffsetCommitRequest))
		return nil, nil, false
	})
	cluster.ControlKey(int16(kmsg.EndTxn), j.end)
	// Clients older than KIP-890 begin the next transaction at the same epoch.
	cluster.ControlKey(int16(kmsg.AddPartitionsToTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.AddPartitionsToTxnRequest)
		resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		if err := j.begins(req.ProducerID); err != nil {
			cluster.KeepControl()
			for _, t := range req.Topics {
				topic := kmsg.NewAddPartitionsToTxnResponseTopic()
				topic.Topic = t.Topic
				for _, p := range t.Partitions {
					partition := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
					partition.Partition, partition.ErrorCode = p, kerr.CoordinatorNotAvailable.Code
					topic.Partitions = append(topic.Partitions, partition)
				}
				resp.Topics = append(resp.Topics, topic)
			}
			return resp, nil, true
		}
		return nil, nil, false
	})
	cluster.ControlKey(int16(kmsg.AddOffsetsToTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.AddOffsetsToTxnRequest)
		if err := j.begins(req.ProducerID); err != nil {
			cluster.KeepControl()
			resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
			resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
			return resp, nil, true
		}
		return nil, nil, false
	})
}

// note keeps the offsets that a producer adds to its transaction.
func (j *commitJournal) note(req *kmsg.TxnOffsetCommitRequest) {
	requests := j.pending[req.ProducerID]
	if len(requests) > 0 && requests[0].ProducerEpoch != req.ProducerEpoch {
		requests = nil // of a transaction that timed out, or was fenced
	}
	j.pending[req.ProducerID] = append(requests, req)
}

// end writes a commit down. One that cannot be is refused as a real broker
// refuses it, and the client tries again.
func (j *commitJournal) end(r kmsg.Request) (kmsg.Response, error, bool) {
	req := r.(*kmsg.EndTxnRequest)
	if req.Commit {
		if err := j.prepare(req); err != nil {
			j.log.logger.Error("embedded broker cannot write a commit down", "err", err)
			j.cluster.KeepControl()
			resp := req.ResponseKind().(*kmsg.EndTxnResponse)
			resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
			return resp, nil, true
		}
	}
	delete(j.pending, req.ProducerID)
	return nil, nil, false
}

func (j *commitJournal) prepare(req *kmsg.EndTxnRequest) error {
	c := preparedCommit{Producer: req.ProducerID, Epoch: req.ProducerEpoch}
	for _, r := range j.pending[req.ProducerID] {
		if r.ProducerEpoch == req.ProducerEpoch {
			c.add(r)
		}
	}
	var err error
	if c.Producers, err = producersSize(j.dir); err != nil {
		return err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	j.last = req.ProducerID
	return j.write(body)
}

func (c *preparedCommit) add(r *kmsg.TxnOffsetCommitRequest) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if t.Topic != "" { // else no topic has the id
				c.Offsets = append(c.Offsets, preparedOffset{r.Group, t.Topic, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata})
			}
		}
	}
}

// begins forgets the last commit when its producer begins something new.
func (j *commitJournal) begins(producer int64) error {
	if producer != j.last {
		return nil
	}
	if err := j.write(nil); err != nil {
		j.log.logger.Error("embedded broker cannot forget a commit", "err", err)
		return err
	}
	j.last = -1
	return nil
}

// write replaces what the file holds. A torn write is nothing, and then
// nothing was begun.
func (j *commitJournal) write(body []byte) error {
	framed := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	framed = binary.LittleEndian.AppendUint32(framed, crc32.Checksum(body, castagnoli))
	if _, err := j.file.WriteAt(append(framed, body...), 0); err != nil {
		return err
	}
	return j.file.Sync()
}

// close ends the journal after its cluster.
func (j *commitJournal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}

// readPrepared returns the commit that was decided and not carried out, nil if
// there is none.
func readPrepared(dir string) (*preparedCommit, error) {
	raw, err := os.ReadFile(filepath.Join(dir, preparedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(raw) < 8 {
		return nil, nil
	}
	length, sum, body := binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[4:]), raw[8:]
	if length == 0 || int(length) > len(body) || sum != crc32.Checksum(body[:length], castagnoli) {
		return nil, nil
	}
	var c preparedCommit
	if err := json.Unmarshal(body[:length], &c); err != nil {
		return nil, fmt.Errorf("decode the prepared commit: %w", err)
	}
	size, err := producersSize(dir)
	if err != nil || size != c.Producers {
		return nil, err
	}
	epochs, err := producerEpochs(dir)
	if err != nil {
		return nil, err
	}
	if epoch, known := epochs[c.Producer]; !known || epoch != c.Epoch {
		return nil, nil // a fenced producer's, which kfake refused
	}
	return &c, nil
}
