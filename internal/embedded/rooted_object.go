package embedded

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

func (r *rooted) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.PutObjectOutput, error) {
		in.Bucket = dir
		return r.posix.PutObject(ctx, in)
	})
}

func (r *rooted) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (*s3.HeadObjectOutput, error) {
		at := *in
		at.Bucket = dir
		return r.posix.HeadObject(ctx, &at)
	})
}

func (r *rooted) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (*s3.GetObjectOutput, error) {
		at := *in
		at.Bucket = dir
		return r.posix.GetObject(ctx, &at)
	})
}

func (r *rooted) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (*s3.GetObjectAclOutput, error) {
		at := *in
		at.Bucket = dir
		return r.posix.GetObjectAcl(ctx, &at)
	})
}

func (r *rooted) PutObjectAcl(ctx context.Context, in *s3.PutObjectAclInput) error {
	return r.do(str(in.Bucket), func(dir string) error {
		at := *in
		at.Bucket = &dir
		return r.posix.PutObjectAcl(ctx, &at)
	})
}

func (r *rooted) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.GetObjectAttributesResponse, error) {
		at := *in
		at.Bucket = dir
		return r.posix.GetObjectAttributes(ctx, &at)
	})
}

func (r *rooted) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (*s3.DeleteObjectOutput, error) {
		at := *in
		at.Bucket = dir
		return r.posix.DeleteObject(ctx, &at)
	})
}

func (r *rooted) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.DeleteResult, error) {
		at := *in
		at.Bucket = dir
		return r.posix.DeleteObjects(ctx, &at)
	})
}

func (r *rooted) RestoreObject(ctx context.Context, in *s3.RestoreObjectInput) error {
	return r.do(str(in.Bucket), func(dir string) error {
		at := *in
		at.Bucket = &dir
		return r.posix.RestoreObject(ctx, &at)
	})
}

func (r *rooted) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.ListObjectsResult, error) {
		at := *in
		at.Bucket = dir
		result, err := r.posix.ListObjects(ctx, &at)
		result.Name = in.Bucket
		return result, err
	})
}

func (r *rooted) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.ListObjectsV2Result, error) {
		at := *in
		at.Bucket = dir
		result, err := r.posix.ListObjectsV2(ctx, &at)
		result.Name = in.Bucket
		return result, err
	})
}

func (r *rooted) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.ListVersionsResult, error) {
		at := *in
		at.Bucket = dir
		result, err := r.posix.ListObjectVersions(ctx, &at)
		result.Name = in.Bucket
		return result, err
	})
}

func (r *rooted) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	name := str(in.Bucket)
	return inBucket(r, in.Bucket, func(dir *string) (s3response.InitiateMultipartUploadResult, error) {
		in.Bucket = dir
		result, err := r.posix.CreateMultipartUpload(ctx, in)
		result.Bucket = name
		return result, err
	})
}

func (r *rooted) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	var version string
	result, err := inBucket(r, in.Bucket, func(dir *string) (s3response.CompleteMultipartUploadResult, error) {
		at := *in
		at.Bucket = dir
		result, v, err := r.posix.CompleteMultipartUpload(ctx, &at)
		result.Bucket, version = in.Bucket, v
		return result, err
	})
	return result, version, err
}

func (r *rooted) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	return r.do(str(in.Bucket), func(dir string) error {
		at := *in
		at.Bucket = &dir
		return r.posix.AbortMultipartUpload(ctx, &at)
	})
}

func (r *rooted) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.ListMultipartUploadsResult, error) {
		at := *in
		at.Bucket = dir
		result, err := r.posix.ListMultipartUploads(ctx, &at)
		result.Bucket = *in.Bucket
		return result, err
	})
}

func (r *rooted) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	return inBucket(r, in.Bucket, func(dir *string) (s3response.ListPartsResult, error) {
		at := *in
		at.Bucket = dir
		result, err := r.posix.ListParts(ctx, &at)
		result.Bucket = *in.Bucket
		return result, err
	})
}

func (r *rooted) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	return inBucket(r, in.Bucket, func(dir *string) (*s3.UploadPartOutput, error) {
		at := *in
		at.Bucket = dir
		return r.posix.UploadPart(ctx, &at)
	})
}

func (r *rooted) GetObjectTagging(ctx context.Context, bucket, object, version string) (map[string]string, error) {
	return get(r, bucket, func(dir string) (map[string]string, error) {
		return r.posix.GetObjectTagging(ctx, dir, object, version)
	})
}

func (r *rooted) PutObjectTagging(ctx context.Context, bucket, object, version string, tags map[string]string) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutObjectTagging(ctx, dir, object, version, tags) })
}

func (r *rooted) DeleteObjectTagging(ctx context.Context, bucket, object, version string) error {
	return r.do(bucket, func(dir string) error { return r.posix.DeleteObjectTagging(ctx, dir, object, version) })
}

func (r *rooted) PutObjectRetention(ctx context.Context, bucket, object, version string, retention []byte) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutObjectRetention(ctx, dir, object, version, retention) })
}

func (r *rooted) GetObjectRetention(ctx context.Context, bucket, object, version string) ([]byte, error) {
	return get(r, bucket, func(dir string) ([]byte, error) {
		return r.posix.GetObjectRetention(ctx, dir, object, version)
	})
}

func (r *rooted) PutObjectLegalHold(ctx context.Context, bucket, object, version string, status bool) error {
	return r.do(bucket, func(dir string) error { return r.posix.PutObjectLegalHold(ctx, dir, object, version, status) })
}

func (r *rooted) GetObjectLegalHold(ctx context.Context, bucket, object, version string) (*bool, error) {
	return get(r, bucket, func(dir string) (*bool, error) {
		return r.posix.GetObjectLegalHold(ctx, dir, object, version)
	})
}
