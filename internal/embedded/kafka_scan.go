package embedded

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// openTransaction is a producer's transaction that has records in a partition
// and no marker after them.
type openTransaction struct {
	topic     string
	partition int32
	producer  int64
	epoch     int16
	committed bool // its commit was prepared, and the stop came before this marker
}

// scanTransactions reads kfake's data directory, which no broker has open, and
// returns the transactions without an end; prepared is the one that is to be
// committed, if any. The segments in it are Kafka's
// record batches one after the other.
func scanTransactions(dir string, prepared *preparedCommit) ([]openTransaction, error) {
	partitions, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var open []openTransaction
	for _, p := range partitions {
		topic, partition, err := parsePartitionDir(p.Name())
		if err != nil {
			return nil, err
		}
		log := partitionScan{open: map[int64]int16{}}
		if err := log.scan(filepath.Join(dir, "partitions", p.Name())); err != nil {
			return nil, err
		}
		for producer, epoch := range log.open {
			committed := prepared != nil && prepared.Producer == producer && prepared.Epoch == epoch
			open = append(open, openTransaction{topic, partition, producer, epoch, committed})
		}
	}
	return open, nil
}

// parsePartitionDir is the inverse of kfake's naming: escaped topic, dash,
// partition.
func parsePartitionDir(name string) (string, int32, error) {
	cut := strings.LastIndexByte(name, '-')
	if cut < 0 {
		return "", 0, fmt.Errorf("directory %q names no partition", name)
	}
	partition, err := strconv.ParseInt(name[cut+1:], 10, 32)
	if err != nil {
		return "", 0, fmt.Errorf("directory %q names no partition: %w", name, err)
	}
	topic, err := url.PathUnescape(name[:cut])
	if err != nil {
		return "", 0, fmt.Errorf("directory %q names no topic: %w", name, err)
	}
	return topic, int32(partition), nil
}

// partitionScan follows one partition's transactions.
type partitionScan struct {
	open map[int64]int16 // producer → epoch
}

func (s *partitionScan) scan(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var bases []int64
	for _, e := range entries {
		name, isSegment := strings.CutSuffix(e.Name(), ".dat")
		base, err := strconv.ParseInt(name, 10, 64)
		if isSegment && err == nil {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	for _, base := range bases {
		if err := s.scanSegment(filepath.Join(dir, strconv.FormatInt(base, 10)+".dat")); err != nil {
			return err
		}
	}
	return nil
}

func (s *partitionScan) scanSegment(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		batch, err := readBatch(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		s.add(batch)
	}
}

// Places in a record batch, KIP-98's message format version 2.
const (
	batchPrefix      = 12 // base offset, length
	batchCRC         = 17
	batchChecksummed = 21 // the CRC covers all from here
	batchMinimum     = 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readBatch returns the next whole batch. A torn or damaged one is the end, as
// it is for kfake, which cuts the segment there.
func readBatch(r io.Reader) (kmsg.RecordBatch, error) {
	var prefix [batchPrefix]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return kmsg.RecordBatch{}, tornIsEOF(err)
	}
	length := binary.BigEndian.Uint32(prefix[8:])
	if length < batchMinimum-batchPrefix || length > maxKafkaFrame {
		return kmsg.RecordBatch{}, io.EOF
	}
	raw := make([]byte, batchPrefix+int(length))
	copy(raw, prefix[:])
	if _, err := io.ReadFull(r, raw[batchPrefix:]); err != nil {
		return kmsg.RecordBatch{}, tornIsEOF(err)
	}
	if binary.BigEndian.Uint32(raw[batchCRC:]) != crc32.Checksum(raw[batchChecksummed:], castagnoli) {
		return kmsg.RecordBatch{}, io.EOF
	}
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(raw); err != nil {
		return kmsg.RecordBatch{}, io.EOF
	}
	return batch, nil
}

func tornIsEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// Attributes of a batch.
const (
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
)

func (s *partitionScan) add(b kmsg.RecordBatch) {
	switch {
	case b.Attributes&attrControl != 0:
		delete(s.open, b.ProducerID)
	case b.Attributes&attrTransactional != 0:
		s.open[b.ProducerID] = b.ProducerEpoch
	}
}
