package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// UpFileName is the name of the file in a data directory that says where the
// running engines listen.
const UpFileName = "up.json"

// upFormat is the version of the file's format.
const upFormat = 1

// maxUpFileSize bounds what is read of an up file, in bytes.
const maxUpFileSize = 64 << 10

var (
	// ErrNotUp says that nothing runs on a data directory.
	ErrNotUp = errors.New("annals is not up")
	// ErrStaleUpFile says that an up file was left behind by a process that
	// ended without cleaning up. Nothing in it may be relied on.
	ErrStaleUpFile = errors.New("stale up file")
)

// UpFile tells scripts and clients how to reach a running `annals up`: it
// exists, whole, from the moment everything is ready until a clean stop.
// It holds secrets, so its mode is 0600.
type UpFile struct {
	// Format is the file's version, at present 1. [WriteUpFile] sets it.
	Format int `json:"format"`
	// Version is the program's version.
	Version string `json:"version"`
	// PID is the process that holds the data directory.
	PID int `json:"pid"`
	// StartedAt is when it was ready, UTC.
	StartedAt time.Time `json:"started_at"`
	// Web is the address of API and explorer as a URL, without a slash at the
	// end; empty if the role does not serve.
	Web string `json:"web,omitempty"`
	// Kafka, S3 and ClickHouse are the engines in use, embedded or the user's
	// own. For the user's own the secrets are left out.
	Kafka UpKafka `json:"kafka"`
	// S3 is where the archive is.
	S3 UpS3 `json:"s3"`
	// ClickHouse is nil while there is no index.
	ClickHouse *UpClickHouse `json:"clickhouse,omitempty"`
}

// UpKafka is how to reach Kafka.
type UpKafka struct {
	Embedded bool `json:"embedded"`
	// Brokers are bootstrap addresses, host:port.
	Brokers   []string `json:"brokers"`
	ClusterID string   `json:"cluster_id"`
	// Mechanism is the SASL mechanism; empty: none.
	Mechanism string `json:"mechanism,omitempty"`
	User      string `json:"user,omitempty"`
	Password  string `json:"password,omitempty"`
}

// UpS3 is how to reach the archive.
type UpS3 struct {
	Embedded bool `json:"embedded"`
	// Endpoint is a URL.
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region"`
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
}

// UpClickHouse is how to reach the index.
type UpClickHouse struct {
	Embedded bool `json:"embedded"`
	// URL is the address of the HTTP interface.
	URL      string `json:"url"`
	Database string `json:"database"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
}

// WriteUpFile puts the file into dataDir in one step, with mode 0600. The
// caller holds the directory's lock (see [LockDataDir]): without it readers
// take the file for stale.
func WriteUpFile(dataDir string, up UpFile) error {
	up.Format = upFormat
	body, err := json.MarshalIndent(up, "", "  ")
	if err != nil {
		return fmt.Errorf("encode up file: %w", err)
	}
	if err := replaceFile(filepath.Join(dataDir, UpFileName), append(body, '\n')); err != nil {
		return fmt.Errorf("write up file: %w", err)
	}
	return nil
}

// ReadUpFile returns what runs on dataDir. Errors: [ErrNotUp] if there is no
// file, [ErrStaleUpFile] if its writer has ended, [ErrWidePermissions] if
// others may read it.
func ReadUpFile(dataDir string) (UpFile, error) {
	path := filepath.Join(dataDir, UpFileName)
	body, err := readPrivateFile(path, maxUpFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return UpFile{}, fmt.Errorf("%w on %s: start it with `annals up --data-dir %s` and wait until it is ready", ErrNotUp, dataDir, dataDir)
	}
	if err != nil {
		return UpFile{}, fmt.Errorf("read up file: %w", err)
	}
	var up UpFile
	if err := json.Unmarshal(body, &up); err != nil {
		return UpFile{}, fmt.Errorf("parse up file %s: %w", path, err)
	}
	if up.Format != upFormat {
		return UpFile{}, fmt.Errorf("parse up file %s: format %d, this program knows only format %d", path, up.Format, upFormat)
	}
	held, err := dataDirHeld(dataDir)
	if err != nil {
		return UpFile{}, fmt.Errorf("check up file: %w", err)
	}
	if !held {
		return UpFile{}, fmt.Errorf("%w: %s is of process %d, which has ended without a clean stop; start `annals up` again", ErrStaleUpFile, path, up.PID)
	}
	return up, nil
}

// RemoveUpFile takes the file away at a clean stop, and at start when one was
// left behind. The caller holds the directory's lock. A missing file is no
// error.
func RemoveUpFile(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, UpFileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove up file: %w", err)
	}
	return nil
}
