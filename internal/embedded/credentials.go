package embedded

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CredentialsFile is the name of the credentials file inside a data directory.
const CredentialsFile = "credentials.json"

// credentialsVersion is the version of the file's format. A file of a newer
// version is refused, never guessed at.
const credentialsVersion = 1

// maxCredentialsSize bounds what is read of a credentials file, in bytes.
const maxCredentialsSize = 64 << 10

// Credentials are the secrets of all three embedded engines of one data
// directory. They are made once, at random, and then belong to the directory.
type Credentials struct {
	// Version is the format's version, at present 1.
	Version int `json:"version"`
	// Kafka is the only SASL user (SCRAM-SHA-256) of the embedded Kafka.
	Kafka UserPassword `json:"kafka"`
	// S3 is the root key of the embedded S3 gateway.
	S3 AccessKey `json:"s3"`
	// ClickHouse is the only user of the embedded ClickHouse.
	ClickHouse UserPassword `json:"clickhouse"`
}

// UserPassword is a user name with its password.
type UserPassword struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// AccessKey is an S3 access key id with its secret.
type AccessKey struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// LoadOrCreateCredentials returns the credentials of dataDir, making the
// directory (mode 0700) and the file (mode 0600, random secrets of 32 bytes)
// when they do not exist. It refuses a file that others may read
// ([ErrWidePermissions]) and one it does not fully understand; it never
// replaces an existing file. Two processes that create the file at the same
// time end up with the same credentials.
func LoadOrCreateCredentials(dataDir string) (Credentials, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return Credentials{}, fmt.Errorf("create data directory: %w", err)
	}
	path := filepath.Join(dataDir, CredentialsFile)
	creds, err := readCredentials(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return creds, err
	}
	creds = newCredentials()
	body, err := json.MarshalIndent(creds, "", "  ")
	if err != nil {
		return Credentials{}, fmt.Errorf("encode credentials: %w", err)
	}
	switch err := createFile(path, append(body, '\n')); {
	case errors.Is(err, fs.ErrExist): // somebody else was first: theirs counts
		return readCredentials(path)
	case err != nil:
		return Credentials{}, fmt.Errorf("write credentials: %w", err)
	}
	return creds, nil
}

func newCredentials() Credentials {
	const user = "annals"
	return Credentials{
		Version:    credentialsVersion,
		Kafka:      UserPassword{User: user, Password: newSecret()},
		S3:         AccessKey{AccessKey: user, SecretKey: newSecret()},
		ClickHouse: UserPassword{User: user, Password: newSecret()},
	}
}

// newSecret returns 32 random bytes as 43 characters that need no quoting in
// URLs, shells or YAML.
func newSecret() string {
	var b [32]byte
	// crypto/rand.Read never fails: it ends the process instead.
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func readCredentials(path string) (Credentials, error) {
	body, err := readPrivateFile(path, maxCredentialsSize)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	var c Credentials
	if err := json.Unmarshal(body, &c); err != nil {
		return Credentials{}, fmt.Errorf("parse credentials %s: %w", path, err)
	}
	if c.Version != credentialsVersion {
		return Credentials{}, fmt.Errorf("parse credentials %s: format version %d, this program knows only version %d", path, c.Version, credentialsVersion)
	}
	for name, value := range map[string]string{
		"kafka.user": c.Kafka.User, "kafka.password": c.Kafka.Password,
		"s3.access_key": c.S3.AccessKey, "s3.secret_key": c.S3.SecretKey,
		"clickhouse.user": c.ClickHouse.User, "clickhouse.password": c.ClickHouse.Password,
	} {
		if value == "" {
			return Credentials{}, fmt.Errorf("parse credentials %s: %s is empty", path, name)
		}
	}
	return c, nil
}

// ErrWidePermissions is wrapped by the error for a secret file that its group
// or others may read or write.
var ErrWidePermissions = errors.New("file with secrets is accessible to others")

// readPrivateFile reads a regular file of at most limit bytes that nobody but
// its owner may access.
func readPrivateFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if perm := fi.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, run chmod 600 on it: %w", path, perm, ErrWidePermissions)
	}
	if fi.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d it may have", path, fi.Size(), limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
