package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// rooted is versitygw's POSIX backend freed from the working directory. That
// backend changes the process's working directory to its root and opens every
// file relative to it, which no library may do to the program around it. Here
// it is given the bucket's absolute path as the bucket's name: a key joined to
// it is absolute too, and the working directory never matters. Names go back
// to what clients know in results and errors.
//
// What is not listed here answers NotImplemented, never a file relative to the
// working directory. Among it are copies on the server (CopyObject,
// UploadPartCopy): a copy source cannot be written with an absolute path.
type rooted struct {
	backend.BackendUnsupported
	posix *posix.Posix
	dir   string // absolute
}

var _ backend.Backend = (*rooted)(nil)

// newRooted opens the store in dir, which must exist.
func newRooted(dir string) (*rooted, error) {
	if err := (meta.XattrMeta{}).Test(dir); err != nil {
		return nil, fmt.Errorf("the file system of %s keeps no extended attributes (user.*), where object metadata lives; use ext4, xfs, btrfs, or tmpfs of Linux 6.6 or newer: %w", dir, err)
	}
	// The working directory itself is the one root that changes nothing.
	// Lock files would be written there; one process owns the store, so the
	// locks inside the process do.
	p, err := posix.New(".", meta.XattrMeta{}, posixOptions())
	if err != nil {
		return nil, err
	}
	return &rooted{posix: p, dir: dir}, nil
}

func posixOptions() posix.PosixOpts {
	opts := posix.PosixOpts{
		ForceNoObjLockFile: true,
		Concurrency:        maxS3Requests,
	}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	return opts
}

// bucketDir is where a bucket lives.
func (r *rooted) bucketDir(name string) (string, error) {
	if !utils.IsValidBucketName(name) || strings.ContainsAny(name, "/\x00") || !filepath.IsLocal(name) {
		return "", s3err.GetBucketErr(s3err.ErrInvalidBucketName, name)
	}
	return filepath.Join(r.dir, name), nil
}

// inBucket runs call with the bucket's directory in place of its name.
func inBucket[T any](r *rooted, name *string, call func(dir *string) (T, error)) (T, error) {
	var zero T
	if name == nil {
		return zero, s3err.GetAPIError(s3err.ErrInvalidBucketName)
	}
	dir, err := r.bucketDir(*name)
	if err != nil {
		return zero, err
	}
	result, err := call(&dir)
	var bucketErr s3err.BucketError
	if errors.As(err, &bucketErr) {
		bucketErr.BucketName = *name
		err = bucketErr
	}
	return result, err
}

// none is the result of backend methods that only fail or succeed.
type none = struct{}

func (r *rooted) do(name string, call func(dir string) error) error {
	_, err := inBucket(r, &name, func(dir *string) (none, error) { return none{}, call(*dir) })
	return err
}

func get[T any](r *rooted, name string, call func(dir string) (T, error)) (T, error) {
	return inBucket(r, &name, func(dir *string) (T, error) { return call(*dir) })
}

// String names the backend in versitygw's messages.
func (r *rooted) String() string { return "Annals embedded store" }

// Shutdown closes the backend.
func (r *rooted) Shutdown() { r.posix.Shutdown() }

// ListBuckets lists the directories of the root, all to the one account.
func (r *rooted) ListBuckets(_ context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	result := s3response.ListAllMyBucketsResult{
		Owner:  s3response.CanonicalUser{ID: in.Owner},
		Prefix: in.Prefix,
	}
	entries, err := os.ReadDir(r.dir) // sorted by name
	if err != nil {
		return result, fmt.Errorf("list buckets: %w", err)
	}
	list := &result.Buckets.Bucket
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || !utils.IsValidBucketName(name) || !strings.HasPrefix(name, in.Prefix) || name <= in.ContinuationToken {
			continue
		}
		if len(*list) > 0 && len(*list) == int(in.MaxBuckets) {
			result.ContinuationToken = (*list)[len(*list)-1].Name
			break
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since
		}
		if err != nil {
			return result, fmt.Errorf("list buckets: %w", err)
		}
		*list = append(*list, s3response.ListAllMyBucketsEntry{Name: name, CreationDate: fi.ModTime()})
	}
	return result, nil
}

func (r *rooted) NormalizeObjectKey(bucket, object string) string {
	key, err := get(r, bucket, func(dir string) (string, error) {
		return r.posix.NormalizeObjectKey(dir, object), nil
	})
	if err != nil { // the request itself will be refused for its bucket
		return object
	}
	return key
}

func (r *rooted) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (*s3.HeadBucketOutput, error) {
		at := *in
		at.Bucket = dir
		return r.posix.HeadBucket(ctx, &at)
	})
}

func (r *rooted) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	return inBucket(r, in.Bucket, func(dir *string) ([]byte, error) {
		at := *in
		at.Bucket = dir
		return r.posix.GetBucketAcl(ctx, &at)
	})
}

func (r *rooted) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	return r.do(str(in.Bucket), func(dir string) error {
		at := *in
		at.Bucket = &dir
		return r.posix.CreateBucket(ctx, &at, acl)
	})
}

func (r *rooted) PutBucketAcl(ctx context.Context, bucket string, data []byte) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketAcl(ctx, dir, data) })
}

func (r *rooted) DeleteBucket(ctx context.Context, bucket string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteBucket(ctx, dir) })
}

func (r *rooted) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketVersioning(ctx, dir, status) })
}

func (r *rooted) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	return get(r, bucket, func(dir string) (s3response.GetBucketVersioningOutput, error) {
		return r.posix.GetBucketVersioning(ctx, dir)
	})
}

func (r *rooted) PutBucketPolicy(ctx context.Context, bucket string, policy []byte) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketPolicy(ctx, dir, policy) })
}

func (r *rooted) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	return get(r, bucket, func(dir string) ([]byte, error) { return r.posix.GetBucketPolicy(ctx, dir) })
}

func (r *rooted) DeleteBucketPolicy(ctx context.Context, bucket string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteBucketPolicy(ctx, dir) })
}

func (r *rooted) PutBucketOwnershipControls(ctx context.Context, bucket string, ownership types.ObjectOwnership) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketOwnershipControls(ctx, dir, ownership) })
}

func (r *rooted) GetBucketOwnershipControls(ctx context.Context, bucket string) (types.ObjectOwnership, error) {
	return get(r, bucket, func(dir string) (types.ObjectOwnership, error) {
		return r.posix.GetBucketOwnershipControls(ctx, dir)
	})
}

func (r *rooted) DeleteBucketOwnershipControls(ctx context.Context, bucket string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteBucketOwnershipControls(ctx, dir) })
}

func (r *rooted) PutBucketCors(ctx context.Context, bucket string, cors []byte) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketCors(ctx, dir, cors) })
}

func (r *rooted) GetBucketCors(ctx context.Context, bucket string) ([]byte, error) {
	return get(r, bucket, func(dir string) ([]byte, error) { return r.posix.GetBucketCors(ctx, dir) })
}

func (r *rooted) DeleteBucketCors(ctx context.Context, bucket string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteBucketCors(ctx, dir) })
}

func (r *rooted) PutBucketWebsite(ctx context.Context, bucket string, website []byte) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketWebsite(ctx, dir, website) })
}

func (r *rooted) GetBucketWebsite(ctx context.Context, bucket string) ([]byte, error) {
	return get(r, bucket, func(dir string) ([]byte, error) { return r.posix.GetBucketWebsite(ctx, dir) })
}

func (r *rooted) DeleteBucketWebsite(ctx context.Context, bucket string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteBucketWebsite(ctx, dir) })
}

func (r *rooted) GetBucketTagging(ctx context.Context, bucket string) (map[string]string, error) {
	return get(r, bucket, func(dir string) (map[string]string, error) { return r.posix.GetBucketTagging(ctx, dir) })
}

func (r *rooted) PutBucketTagging(ctx context.Context, bucket string, tags map[string]string) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutBucketTagging(ctx, dir, tags) })
}

func (r *rooted) DeleteBucketTagging(ctx context.Context, bucket string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteBucketTagging(ctx, dir) })
}

func (r *rooted) PutObjectLockConfiguration(ctx context.Context, bucket string, config []byte) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutObjectLockConfiguration(ctx, dir, config) })
}

func (r *rooted) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	return get(r, bucket, func(dir string) ([]byte, error) { return r.posix.GetObjectLockConfiguration(ctx, dir) })
}

func (r *rooted) ChangeBucketOwner(ctx context.Context, bucket, owner string) error {
	return r.do(bucket, func(dir string) error { return r.posix.ChangeBucketOwner(ctx, dir, owner) })
}

func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
