package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/fx-risk-ai/annals/schema"
)

// Get reads the whole object under key, which may have at most limit bytes; a
// larger one is Exhausted, and no more than the limit is held in memory. Bytes
// that do not match the checksum the store kept are Corrupt.
func (s *Store) Get(ctx context.Context, key string, limit int64) ([]byte, Object, error) {
	full, err := s.full(key)
	if err != nil {
		return nil, Object{}, err
	}
	var (
		body []byte
		got  Object
	)
	err = s.do(ctx, request{op: "get", key: key, bytes: limit, attempts: MaxAttempts}, func(ctx context.Context) error {
		var opts minio.GetObjectOptions
		opts.Set("x-amz-checksum-mode", "ENABLED") // minio-go's own check needs a read beyond the end
		stream, info, header, err := s.client.GetObject(ctx, s.bucket, full, opts)
		if err != nil {
			return err
		}
		defer drain(stream)
		if info.Size > limit {
			return fmt.Errorf("%d bytes, %w of %d", info.Size, errTooLarge, limit)
		}
		if body, err = readUpTo(stream, info.Size, limit); err != nil {
			return err
		}
		got = object(key, info)
		got.Size = int64(len(body))
		return checkSum(body, header.Get("X-Amz-Checksum-Sha256"))
	})
	if err != nil {
		return nil, Object{}, err
	}
	return body, got, nil
}

// checkSum holds a body against the SHA-256 that the store kept, where it sends
// one. That of an object written in parts is no hash of its bytes.
func checkSum(body []byte, kept string) error {
	want, err := base64.StdEncoding.DecodeString(kept)
	if kept == "" || err != nil || len(want) != sha256.Size {
		return nil
	}
	if got := sha256.Sum256(body); !bytes.Equal(got[:], want) {
		return fmt.Errorf("%d bytes, %w", len(body), errChecksum)
	}
	return nil
}

// GetRange reads exactly length bytes from offset on. An object that ends
// before is Corrupt: its length was promised elsewhere.
func (s *Store) GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 {
		return nil, schema.Errorf(schema.Invalid, "get range of %s: %d bytes from %d", key, length, offset)
	}
	body := make([]byte, length)
	return body, s.readRange(ctx, key, offset, body)
}

// readRange fills into from offset on.
func (s *Store) readRange(ctx context.Context, key string, offset int64, into []byte) error {
	full, err := s.full(key)
	if err != nil || len(into) == 0 {
		return err
	}
	length := int64(len(into))
	return s.do(ctx, request{op: "get_range", key: key, bytes: length, attempts: MaxAttempts}, func(ctx context.Context) error {
		var opts minio.GetObjectOptions
		if err := opts.SetRange(offset, offset+length-1); err != nil {
			return schema.Errorf(schema.Invalid, "%w", err)
		}
		stream, info, header, err := s.client.GetObject(ctx, s.bucket, full, opts)
		if err != nil {
			return err
		}
		defer drain(stream)
		if !answersRange(header, offset) {
			return errRangeIgnored
		}
		if info.Size >= 0 && info.Size < length {
			return fmt.Errorf("%d bytes from %d: %w", info.Size, offset, errShort)
		}
		_, err = io.ReadFull(stream, into)
		return cut(err)
	})
}

// answersRange tells whether an answer begins at offset. A store that ignores
// ranges sends the whole object, whose first bytes would pass for the range.
func answersRange(header http.Header, offset int64) bool {
	return strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset))
}

// ReaderAt reads an object of a known size by ranges, one request a call:
// putting neighbouring reads together is the caller's. ctx governs every read.
// Reads at or past size answer io.EOF without a request.
func (s *Store) ReaderAt(ctx context.Context, key string, size int64) io.ReaderAt {
	return &readerAt{ctx: ctx, store: s, key: key, size: size}
}

type readerAt struct {
	ctx   context.Context //nolint:containedctx // io.ReaderAt has no room for one
	store *Store
	key   string
	size  int64
}

func (r *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, schema.Errorf(schema.Invalid, "read %s at %d", r.key, offset)
	}
	if offset >= r.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.size-offset)
	if err := r.store.readRange(r.ctx, r.key, offset, p[:n]); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Stat describes the object under key without reading it.
func (s *Store) Stat(ctx context.Context, key string) (Object, error) {
	full, err := s.full(key)
	if err != nil {
		return Object{}, err
	}
	var got Object
	err = s.do(ctx, request{op: "stat", key: key, attempts: MaxAttempts}, func(ctx context.Context) error {
		info, err := s.client.StatObject(ctx, s.bucket, full, minio.StatObjectOptions{})
		got = object(key, info)
		return err
	})
	if err != nil {
		return Object{}, err
	}
	return got, nil
}

func object(key string, info minio.ObjectInfo) Object {
	return Object{Key: key, Size: info.Size, ETag: info.ETag, VersionID: info.VersionID, Modified: info.LastModified}
}

// readUpTo reads a stream of an announced size (-1: not announced) to its end,
// and at most limit bytes.
func readUpTo(stream io.Reader, announced, limit int64) ([]byte, error) {
	if announced >= 0 {
		body := make([]byte, announced)
		_, err := io.ReadFull(stream, body)
		return body, cut(err)
	}
	var body bytes.Buffer
	n, err := io.Copy(&body, io.LimitReader(stream, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %d bytes, %w", limit, errTooLarge)
	}
	return body.Bytes(), err
}

// drain ends a response: a few bytes that are left are read, so that the
// connection can be used again. What fails here was not asked for.
func drain(stream io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, stream, 4<<10)
	_ = stream.Close()
}

// Clock is the store's time, as the answer to a read of an object shows it: up
// to two seconds behind. Unavailable where the answer shows none.
func (s *Store) Clock(ctx context.Context, key string) (time.Time, error) {
	full, err := s.full(key)
	if err != nil {
		return time.Time{}, err
	}
	var shown time.Time
	err = s.do(ctx, request{op: "get", key: key, attempts: MaxAttempts}, func(ctx context.Context) error {
		stream, _, header, err := s.client.GetObject(ctx, s.bucket, full, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		drain(stream)
		shown, err = http.ParseTime(header.Get("Date"))
		return err
	})
	return shown, err
}
