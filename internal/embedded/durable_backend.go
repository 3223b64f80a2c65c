package embedded

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// durable answers a change of the store only when it is on disk: versitygw's
// POSIX backend does not sync by itself. It also keeps what is read from
// running ahead of the disk: an object whose writing is not synced yet is
// handed out only after a sync, and a precondition that failed because of such
// an object is reported only then. A reader can therefore act on what it saw.
// Lists are exempt: whoever follows a key from a list reads the object next.
//
// Not synced: the start of a multipart upload, its parts, and its abort. The
// completion covers them all; after a power cut an unfinished upload may be
// gone, and its client is told NoSuchUpload.
type durable struct {
	backend.Backend
	group  *groupSync
	logger *slog.Logger

	mu      sync.Mutex
	pending map[objectKey]int // writes begun and not known to be durable

	changes atomic.Int64 // in progress

	complain sync.Once
}

type objectKey struct{ bucket, key string }

func newDurable(b backend.Backend, sync func() error, logger *slog.Logger) *durable {
	return &durable{
		Backend: b,
		group:   &groupSync{sync: sync},
		logger:  logger,
		pending: make(map[objectKey]int),
	}
}

// settle waits for a sync. The first failure is logged, as the client is only
// told that the server failed.
func (d *durable) settle() error {
	err := d.group.wait()
	if err == nil {
		return nil
	}
	d.complain.Do(func() {
		d.logger.Error("embedded store cannot sync to disk and refuses all further writes; mend the disk, then restart", "err", err)
	})
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// usable refuses a change before it begins when no sync can cover it.
func (d *durable) usable() error {
	if d.group.failed() == nil {
		return nil
	}
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// change makes one change of an object and returns when it is durable. A change
// that failed waits too if somebody else is writing the object: the failure may
// tell of what they wrote.
func (d *durable) change(bucket, key *string, write func() error) error {
	d.changes.Add(1)
	defer d.changes.Add(-1)
	k := objectKey{str(bucket), str(key)}
	if err := d.usable(); err != nil {
		return err
	}
	d.mu.Lock()
	d.pending[k]++
	d.mu.Unlock()

	err := write()

	d.mu.Lock()
	contended := d.pending[k] > 1
	d.mu.Unlock()
	if err == nil || contended {
		if syncErr := d.settle(); syncErr != nil {
			return syncErr // the note stays: the object is in doubt
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pending[k]--; d.pending[k] == 0 {
		delete(d.pending, k)
	}
	return err
}

// configure makes a change that no object's reader depends on.
func (d *durable) configure(write func() error) error {
	d.changes.Add(1)
	defer d.changes.Add(-1)
	if err := d.usable(); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return d.settle()
}

// busy says whether a change is in progress.
func (d *durable) busy() bool { return d.changes.Load() > 0 }

// seen is called after an object was read: it waits if what was seen may not
// be durable yet.
func (d *durable) seen(bucket, key *string) error {
	d.mu.Lock()
	unsynced := d.pending[objectKey{str(bucket), str(key)}] > 0
	d.mu.Unlock()
	if !unsynced {
		return nil
	}
	return d.settle()
}

func (d *durable) PutObject(ctx context.Context, in s3response.PutObjectInput) (out s3response.PutObjectOutput, err error) {
	err = d.change(in.Bucket, in.Key, func() error {
		out, err = d.Backend.PutObject(ctx, in)
		return err
	})
	return out, err
}

func (d *durable) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (out s3response.CompleteMultipartUploadResult, version string, err error) {
	err = d.change(in.Bucket, in.Key, func() error {
		out, version, err = d.Backend.CompleteMultipartUpload(ctx, in)
		return err
	})
	return out, version, err
}

func (d *durable) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (out s3response.CopyObjectOutput, err error) {
	err = d.change(in.Bucket, in.Key, func() error {
		out, err = d.Backend.CopyObject(ctx, in)
		return err
	})
	return out, err
}

func (d *durable) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (out *s3.DeleteObjectOutput, err error) {
	err = d.change(in.Bucket, in.Key, func() error {
		out, err = d.Backend.DeleteObject(ctx, in)
		return err
	})
	return out, err
}

func (d *durable) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (out s3response.DeleteResult, err error) {
	err = d.configure(func() error {
		out, err = d.Backend.DeleteObjects(ctx, in)
		return err
	})
	return out, err
}

func (d *durable) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	out, err := d.Backend.GetObject(ctx, in)
	if syncErr := d.seen(in.Bucket, in.Key); syncErr != nil {
		if out != nil && out.Body != nil {
			_ = out.Body.Close() // opened for reading only
		}
		return nil, syncErr
	}
	return out, err
}

func (d *durable) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	out, err := d.Backend.HeadObject(ctx, in)
	if syncErr := d.seen(in.Bucket, in.Key); syncErr != nil {
		return nil, syncErr
	}
	return out, err
}

func (d *durable) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	out, err := d.Backend.GetObjectAttributes(ctx, in)
	if syncErr := d.seen(in.Bucket, in.Key); syncErr != nil {
		return s3response.GetObjectAttributesResponse{}, syncErr
	}
	return out, err
}

func (d *durable) PutObjectAcl(ctx context.Context, in *s3.PutObjectAclInput) error {
	return d.configure(func() error { return d.Backend.PutObjectAcl(ctx, in) })
}

func (d *durable) RestoreObject(ctx context.Context, in *s3.RestoreObjectInput) error {
	return d.configure(func() error { return d.Backend.RestoreObject(ctx, in) })
}

func (d *durable) PutObjectTagging(ctx context.Context, bucket, object, version string, tags map[string]string) error {
	return d.configure(func() error { return d.Backend.PutObjectTagging(ctx, bucket, object, version, tags) })
}

func (d *durable) DeleteObjectTagging(ctx context.Context, bucket, object, version string) error {
	return d.configure(func() error { return d.Backend.DeleteObjectTagging(ctx, bucket, object, version) })
}

func (d *durable) PutObjectRetention(ctx context.Context, bucket, object, version string, retention []byte) error {
	return d.configure(func() error { return d.Backend.PutObjectRetention(ctx, bucket, object, version, retention) })
}

func (d *durable) PutObjectLegalHold(ctx context.Context, bucket, object, version string, status bool) error {
	return d.configure(func() error { return d.Backend.PutObjectLegalHold(ctx, bucket, object, version, status) })
}

func (d *durable) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	return d.configure(func() error { return d.Backend.CreateBucket(ctx, in, acl) })
}

func (d *durable) DeleteBucket(ctx context.Context, bucket string) error {
	return d.configure(func() error { return d.Backend.DeleteBucket(ctx, bucket) })
}

func (d *durable) PutBucketAcl(ctx context.Context, bucket string, data []byte) error {
	return d.configure(func() error { return d.Backend.PutBucketAcl(ctx, bucket, data) })
}

func (d *durable) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	return d.configure(func() error { return d.Backend.PutBucketVersioning(ctx, bucket, status) })
}

func (d *durable) PutBucketPolicy(ctx context.Context, bucket string, policy []byte) error {
	return d.configure(func() error { return d.Backend.PutBucketPolicy(ctx, bucket, policy) })
}

func (d *durable) DeleteBucketPolicy(ctx context.Context, bucket string) error {
	return d.configure(func() error { return d.Backend.DeleteBucketPolicy(ctx, bucket) })
}

func (d *durable) PutBucketOwnershipControls(ctx context.Context, bucket string, ownership types.ObjectOwnership) error {
	return d.configure(func() error { return d.Backend.PutBucketOwnershipControls(ctx, bucket, ownership) })
}

func (d *durable) DeleteBucketOwnershipControls(ctx context.Context, bucket string) error {
	return d.configure(func() error { return d.Backend.DeleteBucketOwnershipControls(ctx, bucket) })
}

func (d *durable) PutBucketCors(ctx context.Context, bucket string, cors []byte) error {
	return d.configure(func() error { return d.Backend.PutBucketCors(ctx, bucket, cors) })
}

func (d *durable) DeleteBucketCors(ctx context.Context, bucket string) error {
	return d.configure(func() error { return d.Backend.DeleteBucketCors(ctx, bucket) })
}

func (d *durable) PutBucketWebsite(ctx context.Context, bucket string, website []byte) error {
	return d.configure(func() error { return d.Backend.PutBucketWebsite(ctx, bucket, website) })
}

func (d *durable) DeleteBucketWebsite(ctx context.Context, bucket string) error {
	return d.configure(func() error { return d.Backend.DeleteBucketWebsite(ctx, bucket) })
}

func (d *durable) PutBucketTagging(ctx context.Context, bucket string, tags map[string]string) error {
	return d.configure(func() error { return d.Backend.PutBucketTagging(ctx, bucket, tags) })
}

func (d *durable) DeleteBucketTagging(ctx context.Context, bucket string) error {
	return d.configure(func() error { return d.Backend.DeleteBucketTagging(ctx, bucket) })
}

func (d *durable) PutObjectLockConfiguration(ctx context.Context, bucket string, config []byte) error {
	return d.configure(func() error { return d.Backend.PutObjectLockConfiguration(ctx, bucket, config) })
}

func (d *durable) ChangeBucketOwner(ctx context.Context, bucket, owner string) error {
	return d.configure(func() error { return d.Backend.ChangeBucketOwner(ctx, bucket, owner) })
}
