package objstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/fx-risk-ai/annals/schema"
)

// Where the store's keys come from.
const (
	CredentialsStatic = "static" // Options.AccessKey and SecretKey
	CredentialsEnv    = "env"    // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
	CredentialsRole   = "role"   // instance, container or web-identity role
)

// DefaultTimeout bounds one attempt when Options.Timeout is zero.
const DefaultTimeout = 30 * time.Second

// DefaultPageKeys is how many keys one LIST asks for: the most S3 gives.
const DefaultPageKeys = 1000

// Options say which store, which bucket, and how to reach them.
type Options struct {
	// Endpoint is host:port, without a scheme.
	Endpoint string
	// Region signs the requests. Empty: the store is asked once, which needs
	// the right s3:GetBucketLocation.
	Region string
	Bucket string
	// Prefix is put before every key, as a folder. Empty: the bucket's root.
	Prefix string
	// Secure speaks TLS.
	Secure bool
	// PathStyle puts the bucket into the path, as most stores but Amazon's
	// want it. Else it is the first part of the host name.
	PathStyle bool
	// Credentials is static (also when empty), env or role.
	Credentials          string
	AccessKey, SecretKey string
	// Timeout bounds one attempt, plus a second for every MiB it moves.
	// Zero: DefaultTimeout.
	Timeout time.Duration
	// PageKeys is how many keys one LIST asks for. Zero: DefaultPageKeys.
	PageKeys int
	// Transport carries the requests. Nil: a transport of the Store's own with
	// the system's certificates.
	Transport http.RoundTripper
	// Logger hears of retries. Nil: nobody does.
	Logger *slog.Logger
}

// Object describes one object. Key has no archive prefix. VersionID is empty
// where the bucket keeps no versions; ETag is empty where the store gives none.
type Object struct {
	Key       string
	Size      int64
	ETag      string
	VersionID string
	Modified  time.Time
}

// Store is one bucket below one prefix. See the package's comment for what its
// methods promise.
type Store struct {
	client   *minio.Core
	bucket   string
	prefix   string // "" or ends in "/"
	region   string
	timeout  time.Duration
	pageKeys int
	idle     func() // closes idle connections
	logger   *slog.Logger
	metrics  *metrics
}

// Open makes a Store. It sends nothing: Ping does. The error is
// Invalid and names the option at fault.
func Open(o Options) (*Store, error) {
	prefix, err := cleanPrefix(o.Prefix)
	if err != nil {
		return nil, err
	}
	if o.Endpoint == "" {
		return nil, schema.InvalidField("endpoint", "open object store: the endpoint is missing")
	}
	if o.Bucket == "" {
		return nil, schema.InvalidField("bucket", "open object store: the bucket is missing")
	}
	if o.PageKeys < 0 || o.PageKeys > DefaultPageKeys {
		return nil, schema.InvalidField("page_keys", "open object store: %d keys a page, want 1 to %d", o.PageKeys, DefaultPageKeys)
	}
	keys, err := o.credentials()
	if err != nil {
		return nil, err
	}
	transport := o.Transport
	if transport == nil {
		own, err := minio.DefaultTransport(o.Secure)
		if err != nil {
			return nil, fmt.Errorf("open object store: %w", err)
		}
		own.MaxIdleConnsPerHost = 64
		transport = own
	}
	lookup := minio.BucketLookupDNS
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.NewCore(o.Endpoint, &minio.Options{
		Creds:        keys,
		Secure:       o.Secure,
		Region:       o.Region,
		BucketLookup: lookup,
		Transport:    transport,
		// Checksums go as plain headers; trailing ones are refused by several
		// stores, versitygw 1.8 among them.
		TrailingHeaders: false,
		// Attempts are counted here, where a conditional write is told from
		// one that may be repeated.
		MaxRetries: 1,
	})
	if err != nil {
		return nil, schema.InvalidField("endpoint", "open object store %q: %w", o.Endpoint, err)
	}
	s := &Store{
		client: client, bucket: o.Bucket, prefix: prefix, region: o.Region,
		timeout: o.Timeout, pageKeys: o.PageKeys, logger: o.Logger, metrics: newMetrics(),
		idle: func() {},
	}
	if c, ok := transport.(interface{ CloseIdleConnections() }); ok {
		s.idle = c.CloseIdleConnections
	}
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	if s.pageKeys == 0 {
		s.pageKeys = DefaultPageKeys
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

func (o Options) credentials() (*credentials.Credentials, error) {
	switch o.Credentials {
	case "", CredentialsStatic:
		if o.AccessKey == "" || o.SecretKey == "" {
			return nil, schema.InvalidField("access_key", "open object store: static credentials need an access key and a secret key")
		}
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), nil
	case CredentialsEnv:
		return credentials.NewEnvAWS(), nil
	case CredentialsRole:
		return credentials.NewIAM(""), nil
	default:
		return nil, schema.InvalidField("credentials", "open object store: credentials %q, want static, env or role", o.Credentials)
	}
}

// Bucket returns the bucket's name.
func (s *Store) Bucket() string { return s.bucket }

// Prefix returns the archive's prefix: empty, or ending in "/".
func (s *Store) Prefix() string { return s.prefix }

// Close lets go of idle connections. Calls under way are not disturbed.
func (s *Store) Close() { s.idle() }

// Ping asks whether the bucket is there and may be used, in one attempt.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, request{op: "ping", attempts: 1}, func(ctx context.Context) error {
		return s.bucketThere(ctx)
	})
}

func (s *Store) bucketThere(ctx context.Context) error {
	there, err := s.client.BucketExists(ctx, s.bucket)
	if err != nil {
		return err
	}
	if !there {
		return minio.ErrorResponse{
			Code: minio.NoSuchBucket, StatusCode: http.StatusNotFound, BucketName: s.bucket,
			Message: "the bucket " + s.bucket + " does not exist",
		}
	}
	return nil
}
