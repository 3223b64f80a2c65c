package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/fx-risk-ai/annals/schema"
)

// ErrFull: the store, or its quota, is full. It can pass; what else is Exhausted
// is a limit of the caller's and cannot.
var ErrFull = errors.New("the store is full")

// Outcomes of a conditional write, for errors.Is.
var (
	// ErrExists: the store answered 412 to PutIfAbsent. Something is there; it
	// may be what this call, or a repetition of it on the way, has written.
	ErrExists = errors.New("the object exists")
	// ErrChanged: the object is not the one whose ETag was given, or is gone.
	ErrChanged = errors.New("the object was changed")
	// ErrBusy: the store answered 409, because another write was under way.
	// Nothing was written; the same call may be sent again.
	ErrBusy = errors.New("another write was under way")
	// ErrUncertain: no answer, or one that does not tell. The bytes may be
	// there now, or appear later.
	ErrUncertain = errors.New("the outcome is unknown")
)

// errTooLarge ends a Get at the caller's limit.
var errTooLarge = errors.New("larger than the limit")

// errShort is an object that ends before the range that was asked for.
var errShort = errors.New("shorter than the range asked for")

// errChecksum is a body that is not the one that was written.
var errChecksum = errors.New("not the bytes whose checksum the store keeps")

// errRangeIgnored is an answer with other bytes than the range asked for.
var errRangeIgnored = errors.New("the store does not answer range requests")

// classify gives an error its kind, and its verb and key. It is called once
// for each failed attempt.
func (s *Store) classify(op, key string, err error) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	if kind == schema.Exhausted && !errors.Is(err, errTooLarge) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return schema.Errorf(kind, "%s %s: %w", strings.ReplaceAll(op, "_", " "), s.name(key), err)
}

func (s *Store) name(key string) string {
	if key == "" {
		return "s3://" + s.bucket
	}
	return fmt.Sprintf("s3://%s/%s%s", s.bucket, s.prefix, key)
}

func kindOf(err error) schema.Kind {
	var classed *schema.Error
	switch {
	case errors.As(err, &classed):
		return classed.Kind
	case errors.Is(err, errTooLarge):
		return schema.Exhausted
	case errors.Is(err, errShort), errors.Is(err, errChecksum):
		return schema.Corrupt
	case errors.Is(err, errRangeIgnored):
		return schema.Internal
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		return kindOfTransport(err)
	}
	return kindOfAnswer(answer)
}

// kindOfTransport classes what is no answer of the store: the connection, the
// deadline, an answer cut short or not XML.
func kindOfTransport(err error) schema.Kind {
	if errors.Is(err, context.Canceled) {
		return schema.Internal
	}
	return schema.Unavailable
}

func kindOfAnswer(answer minio.ErrorResponse) schema.Kind {
	if storeFull(answer) {
		return schema.Exhausted
	}
	switch answer.Code {
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return schema.Corrupt
	case "InvalidRange":
		return schema.Corrupt
	case "InvalidRequest":
		// versitygw's and Amazon's words for a checksum that does not fit.
		if strings.Contains(strings.ToLower(answer.Message), "checksum") {
			return schema.Corrupt
		}
	case "KeyTooLongError", "InvalidBucketName", "InvalidArgument":
		return schema.Invalid
	case "RequestTimeout", "SlowDown", "RequestTimeTooSkewed":
		return schema.Unavailable
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return schema.Permission // Amazon says 400, though what is wrong is who asks
	}
	switch status := answer.StatusCode; {
	case status == http.StatusNotImplemented:
		return schema.Internal // no waiting helps
	case status == http.StatusNotFound:
		return schema.NotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return schema.Permission
	case status == http.StatusPreconditionFailed:
		return schema.Conflict
	case status == http.StatusRequestedRangeNotSatisfiable:
		return schema.Corrupt
	case status == http.StatusConflict || status == http.StatusTooManyRequests ||
		status == http.StatusRequestTimeout || status == 499 || status >= 500:
		return schema.Unavailable
	case status == http.StatusOK || status == http.StatusPartialContent:
		return schema.Unavailable // an answer that began well and did not end so
	default:
		return schema.Internal
	}
}

// storeFull recognises a full disk or quota, for which stores have no common
// code: some say 507, some 500 with the system's own words.
func storeFull(answer minio.ErrorResponse) bool {
	if answer.StatusCode == http.StatusInsufficientStorage {
		return true
	}
	switch answer.Code {
	case "XMinioStorageFull", "StorageFull", "InsufficientStorage", "QuotaExceeded",
		"XMinioAdminBucketQuotaExceeded", "DiskFull":
		return true
	}
	words := strings.ToLower(answer.Message)
	for _, full := range []string{"no space left", "disk full", "disk quota", "quota exceeded", "storage full", "insufficient storage"} {
		if strings.Contains(words, full) {
			return true
		}
	}
	return false
}

// passes tells whether the same request may succeed when it is sent again
// after n attempts.
func passes(err error, n int) bool {
	switch schema.KindOf(err) {
	case schema.Unavailable:
		return true
	case schema.Corrupt:
		// Bytes damaged on the way are sent again: whoever is told Corrupt gives
		// up. An object that is too short stays so.
		return n < MaxAttempts && !errors.Is(err, errShort)
	default:
		return false
	}
}

// neverSent tells whether a request certainly did not reach a store: no
// connection came about.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

// outcome classes what a conditional write met. refused is what 412 means to
// it; to PutIfMatch some stores say 404 instead when the object is gone.
func (s *Store) outcome(op, key string, err, refused error) error {
	if err == nil {
		return nil
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		if neverSent(err) {
			return s.classify(op, key, err)
		}
		return s.uncertain(op, key, err)
	}
	changed := refused == ErrChanged && answer.Code == minio.NoSuchKey
	switch {
	case answer.StatusCode == http.StatusPreconditionFailed || changed:
		return schema.Errorf(schema.Conflict, "%s %s: %w", strings.ReplaceAll(op, "_", " "), s.name(key), refused)
	case answer.StatusCode == http.StatusConflict:
		return schema.Errorf(schema.Unavailable, "%s %s: %w", strings.ReplaceAll(op, "_", " "), s.name(key), errors.Join(ErrBusy, err))
	case kindOfAnswer(answer) == schema.Corrupt:
		return s.damaged(op, key, err)
	case kindOfAnswer(answer) == schema.Unavailable:
		return s.uncertain(op, key, err)
	default:
		return s.classify(op, key, err)
	}
}

// damaged is a write that the store refused because other bytes came than the
// hash is of. Where the hash was made from the bytes that were sent, they were
// damaged on the way: nothing was written, and the same call may be sent again.
func (s *Store) damaged(op, key string, err error) error {
	return schema.Errorf(schema.Unavailable, "%s %s: damaged on the way, nothing was written: %w", strings.ReplaceAll(op, "_", " "), s.name(key), err)
}

func (s *Store) uncertain(op, key string, err error) error {
	return schema.Errorf(schema.Unavailable, "%s %s: %w: %w", strings.ReplaceAll(op, "_", " "), s.name(key), ErrUncertain, err)
}

// cut turns the end of a stream that came too early into an error that passes.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
