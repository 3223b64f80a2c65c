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

// pidEntry is an entry of kfake's log of producers.
type pidEntry struct {
	Type   string `json:"type"` // init, endtx, timeout
	PID    int64  `json:"pid"`
	Epoch  int16  `json:"epoch"`
	Commit *bool  `json:"commit"`
}

// Framing of the log's entries, little-endian: the length of what follows the
// checksum, the checksum of it, a version, JSON.
const (
	pidEntryPrefix  = 8
	pidEntryVersion = 2
	maxPIDEntry     = 1 << 20
)

// firstTransactions returns the producers, with their epochs, that have ended
// no transaction at that epoch as far as kfake's log of producers tells. Only
// for these does a commit marker belong to the transaction that is open:
// clients older than KIP-890 keep their epoch from one transaction to the next.
func firstTransactions(dir string) (first map[producerEpoch]bool, err error) {
	f, err := os.Open(filepath.Join(dir, "pids.log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	first = map[producerEpoch]bool{}
	r := bufio.NewReader(f)
	for {
		e, err := readPIDEntry(r)
		if errors.Is(err, io.EOF) {
			return first, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		// A summary of what was before has a verdict in it, and an init does not.
		first[producerEpoch{e.PID, e.Epoch}] = e.Type == "init" && e.Commit == nil
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
