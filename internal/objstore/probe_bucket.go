package objstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/fx-risk-ai/annals/internal/doctor"
	"github.com/fx-risk-ai/annals/schema"
)

// lock asks for the bucket's versioning and object lock. kept says what of a
// deleted object remains, or "".
func (p *probe) lock(ctx context.Context) (c doctor.Check, kept string) {
	var versioning minio.BucketVersioningConfiguration
	err := p.ask(ctx, "get_versioning", func(ctx context.Context) (err error) {
		versioning, err = p.store.client.GetBucketVersioning(ctx, p.store.bucket)
		return err
	})
	if err != nil {
		return unsaid(err, "s3:GetBucketVersioning"), ""
	}
	var (
		held     string
		mode     *minio.RetentionMode
		validity *uint
		unit     *minio.ValidityUnit
	)
	err = p.ask(ctx, "get_object_lock", func(ctx context.Context) (err error) {
		held, mode, validity, unit, err = p.store.client.GetObjectLockConfig(ctx, p.store.bucket)
		return err
	})
	if err != nil {
		return unsaid(err, "s3:GetBucketObjectLockConfiguration"), ""
	}
	seen := "no versions are kept"
	if versioning.Enabled() {
		seen, kept = "versions are kept", "their versions remain, as a lifecycle rule for "+ProbeFolder+"/ could end"
	}
	switch {
	case held == "Enabled" && mode != nil && validity != nil && unit != nil:
		seen += fmt.Sprintf("; object lock: %s, %d %s by default", *mode, *validity, strings.ToLower(string(*unit)))
		kept = fmt.Sprintf("their versions remain for %d %s, as the bucket's object lock wants", *validity, strings.ToLower(string(*unit)))
	case held == "Enabled":
		seen += "; object lock is on, without a default"
	default:
		seen += "; no object lock: who holds the keys can delete history"
	}
	if versioning.Suspended() {
		return doctor.Ill(doctor.S3Lock, doctor.Warning, "switch versioning on: with suspended versioning conditional writes are broken in some stores (ceph#71584), and deleted objects leave no trace",
			"versioning is suspended; %s", seen), kept
	}
	return doctor.Well(doctor.S3Lock, "%s", seen), kept
}

// ask puts a question about the bucket, again where the store puts it off. That
// there is no lock, and that a store does not know the question, which then has
// neither versions nor locks, are answers.
func (p *probe) ask(ctx context.Context, op string, question func(context.Context) error) error {
	return p.store.do(ctx, request{op: op, attempts: MaxAttempts}, func(ctx context.Context) error {
		if err := question(ctx); !hasNone(err) {
			return err
		}
		return nil
	})
}

func hasNone(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.Code == "ObjectLockConfigurationNotFoundError" || answer.Code == minio.NoSuchKey ||
		answer.StatusCode == http.StatusNotImplemented || answer.StatusCode == http.StatusMethodNotAllowed)
}

// unsaid is a question that stays open.
func unsaid(err error, right string) doctor.Check {
	return doctor.Ill(doctor.S3Lock, doctor.Indeterminate, "grant "+right+" to annals doctor, or look yourself", "%v", err)
}

// sendsChecksum tells whether reads bring the checksum that was written.
func (p *probe) sendsChecksum(ctx context.Context, key string) bool {
	full, err := p.store.full(key)
	if err != nil {
		return false
	}
	info, err := p.store.client.StatObject(ctx, p.store.bucket, full, minio.StatObjectOptions{Checksum: true})
	return err == nil && info.ChecksumSHA256 != ""
}

// cleanup deletes what the probe wrote, and says when it may not.
func (p *probe) cleanup(ctx context.Context, kept string) doctor.Check {
	where := p.store.name(p.folder)
	written := len(p.keys)
	left := p.sweep(ctx)
	switch {
	case left == nil && kept == "":
		return doctor.Well(doctor.S3Cleanup, "%d objects below %s were deleted", written, where)
	case left == nil:
		return doctor.Well(doctor.S3Cleanup, "%d objects below %s were deleted; %s", written, where, kept)
	case schema.KindOf(left) == schema.Permission:
		return doctor.Ill(doctor.S3Cleanup, doctor.Warning, "delete "+where+", or grant s3:DeleteObject on "+ProbeFolder+"/* alone: the archive itself needs it only where erasure is wanted",
			"up to %d small objects remain: %v", written, left)
	default:
		return doctor.Ill(doctor.S3Cleanup, doctor.Warning, "delete "+where, "up to %d small objects remain: %v", written, left)
	}
}

// sweep deletes the probe's objects, also when ctx has ended, and returns the
// first error.
func (p *probe) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		first error
		queue = make(chan string)
	)
	for range quickWriters {
		group.Go(func() {
			for key := range queue {
				err := p.store.Delete(ctx, key)
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	for _, key := range p.keys {
		mu.Lock()
		denied := schema.KindOf(first) == schema.Permission
		mu.Unlock()
		if denied {
			break // the others would be refused too
		}
		queue <- key
	}
	close(queue)
	group.Wait()
	return first
}

func ctxEnded(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
