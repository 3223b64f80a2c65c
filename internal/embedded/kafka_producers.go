package embedded

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// producersFile is kfake's log of producers.
const producersFile = "pids.log"

// pidEntry is an entry of it: a producer was given its epoch, or ended a
// transaction.
type pidEntry struct {
	PID   int64 `json:"pid"`
	Epoch int16 `json:"epoch"`
}

// Framing of the log's entries, little-endian: the length of what follows the
// checksum, the checksum of it, a version, JSON.
const (
	pidEntryPrefix  = 8
	pidEntryVersion = 2
	maxPIDEntry     = 1 << 20
)

// producersSize is the log's size in bytes; 0 if there is none.
func producersSize(dir string) (int64, error) {
	fi, err := os.Stat(filepath.Join(dir, producersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// producerEpochs returns the last epoch of every producer.
func producerEpochs(dir string) (epochs map[int64]int16, err error) {
	f, err := os.Open(filepath.Join(dir, producersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	epochs = map[int64]int16{}
	r := bufio.NewReader(f)
	for {
		e, err := readPIDEntry(r)
		if errors.Is(err, io.EOF) {
			return epochs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		epochs[e.PID] = e.Epoch
	}
}

// readPIDEntry returns the next whole entry; a torn or damaged one is the end,
// as it is for kfake.
func readPIDEntry(r io.Reader) (pidEntry, error) {
	var prefix [pidEntryPrefix]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return pidEntry{}, tornIsEOF(err)
	}
	length := binary.LittleEndian.Uint32(prefix[:4])
	if length < pidEntryVersion || length > maxPIDEntry {
		return pidEntry{}, io.EOF
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return pidEntry{}, tornIsEOF(err)
	}
	if binary.LittleEndian.Uint32(prefix[4:]) != crc32.Checksum(body, castagnoli) {
		return pidEntry{}, io.EOF
	}
	var e pidEntry
	if err := json.Unmarshal(body[pidEntryVersion:], &e); err != nil {
		return pidEntry{}, io.EOF
	}
	return e, nil
}
