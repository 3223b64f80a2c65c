package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/fx-risk-ai/annals/schema"
)

// MaxObjectBytes bounds an object: what one PUT may carry. Larger ones would
// need parts, whose hash a store does not verify as a whole.
const MaxObjectBytes = 5 << 30

// Put writes body under key, whatever was there. It may be repeated: the same
// bytes make the same object. It is never Corrupt: bytes that arrive as others
// than were sent are Unavailable.
func (s *Store) Put(ctx context.Context, key string, body []byte) (Object, error) {
	sum := sha256.Sum256(body)
	done, err := s.PutFile(ctx, key, bytes.NewReader(body), int64(len(body)), sum)
	if schema.KindOf(err) == schema.Corrupt {
		err = s.damaged("put", key, err)
	}
	return done, err
}

// PutFile is Put for bytes that are read, from the beginning of f for every
// attempt. Size and sha must be f's: the store refuses anything else, as
// Corrupt. f is not read after PutFile has returned.
func (s *Store) PutFile(ctx context.Context, key string, f io.ReadSeeker, size int64, sha schema.Digest) (Object, error) {
	full, err := s.full(key)
	if err != nil {
		return Object{}, err
	}
	if size < 0 || size > MaxObjectBytes {
		return Object{}, schema.Errorf(schema.Invalid, "put %s: %d bytes, at most %d", key, size, int64(MaxObjectBytes))
	}
	var done Object
	err = s.do(ctx, request{op: "put", key: key, bytes: size, attempts: MaxAttempts}, func(ctx context.Context) error {
		var err error
		done, err = s.send(ctx, key, full, f, size, sha, minio.PutObjectOptions{})
		return err
	})
	return done, err
}

// PutIfAbsent writes body under key if nothing is there. It is sent once; see
// the package's comment for its four outcomes.
func (s *Store) PutIfAbsent(ctx context.Context, key string, body []byte) (Object, error) {
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	return s.putConditional(ctx, "put_if_absent", key, body, opts, ErrExists)
}

// PutIfMatch replaces the object under key by body if its ETag is still etag.
// It is sent once; see the package's comment for its four outcomes.
func (s *Store) PutIfMatch(ctx context.Context, key, etag string, body []byte) (Object, error) {
	if etag == "" {
		return Object{}, schema.Errorf(schema.Invalid, "put if match %s: the ETag is missing", key)
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETag(etag)
	return s.putConditional(ctx, "put_if_match", key, body, opts, ErrChanged)
}

func (s *Store) putConditional(ctx context.Context, op, key string, body []byte, opts minio.PutObjectOptions, refused error) (Object, error) {
	full, err := s.full(key)
	if err != nil {
		return Object{}, err
	}
	if err := ctx.Err(); err != nil {
		return Object{}, err // before anything is sent: not uncertain
	}
	var done Object
	size := int64(len(body))
	err = s.attempt(ctx, request{op: op, key: key, bytes: size}, func(ctx context.Context) error {
		var err error
		done, err = s.send(ctx, key, full, bytes.NewReader(body), size, sha256.Sum256(body), opts)
		return err
	})
	return done, s.outcome(op, key, err, refused)
}

// send is one PUT, in one piece.
func (s *Store) send(ctx context.Context, key, full string, f io.ReadSeeker, size int64, sha schema.Digest, opts minio.PutObjectOptions) (Object, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Object{}, schema.Errorf(schema.Internal, "rewind: %w", err)
	}
	// The spelling of the name matters: minio-go takes a lower-case one for a
	// trailing checksum.
	opts.UserMetadata = map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sha[:])}
	opts.DisableContentSha256 = true // the hash is known: no streaming signature
	body := &lentReader{r: f}
	defer body.takeBack()
	info, err := s.client.PutObject(ctx, s.bucket, full, body, size, "", sha.String(), opts)
	if err != nil {
		return Object{}, err
	}
	return Object{Key: key, Size: size, ETag: info.ETag, VersionID: info.VersionID, Modified: info.LastModified}, nil
}

// lentReader lends a reader to an HTTP request. net/http may go on reading a
// body after the request has failed, which would race with the next attempt.
type lentReader struct {
	mu sync.Mutex
	r  io.Reader
}

var errTakenBack = errors.New("the request is over")

func (l *lentReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, errTakenBack
	}
	return l.r.Read(p)
}

func (l *lentReader) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r = nil
}

// Delete removes the object under key. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	full, err := s.full(key)
	if err != nil {
		return err
	}
	err = s.do(ctx, request{op: "delete", key: key, attempts: MaxAttempts}, func(ctx context.Context) error {
		return s.client.RemoveObject(ctx, s.bucket, full, minio.RemoveObjectOptions{})
	})
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.Code == minio.NoSuchKey {
		return nil
	}
	return err
}
