package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3err"
)

const (
	// maxS3Conns bounds the connections served at a time; more wait in the
	// kernel's backlog.
	maxS3Conns = 512
	// maxS3Requests bounds the requests in flight; beyond, clients are told to
	// slow down.
	maxS3Requests = 256
	// maxS3Parts is S3's own limit of parts in a multipart upload.
	maxS3Parts = 10_000
	// s3StartTimeout bounds the wait for the gateway to listen.
	s3StartTimeout = 30 * time.Second
	// s3CloseTimeout bounds the wait for requests in flight at Close, and then
	// for the gateway to end.
	s3CloseTimeout = 15 * time.Second
	// s3Region is what clients sign for.
	s3Region = "us-east-1"
)

// ErrS3Running is wrapped by the error of a second [StartS3] in one process:
// versitygw keeps state in package variables.
var ErrS3Running = errors.New("one embedded S3 per process is running already")

// s3Running is the guard behind ErrS3Running. It is a package variable because
// what it guards is one.
var s3Running atomic.Bool

// S3Options configure [StartS3].
type S3Options struct {
	// Listen is the loopback address to listen on, "127.0.0.1:19000", or
	// "127.0.0.1:0" for a free port.
	Listen string
	// DataDir holds a directory a bucket and in it a plain file an object.
	// Its file system must keep extended attributes.
	DataDir string
	// AccessKey and SecretKey are the only credentials.
	AccessKey, SecretKey string
	// Bucket is created if it does not exist.
	Bucket string
	// Logger takes messages; nil discards them.
	Logger *slog.Logger
	// Sync gives tests the moment of a sync, which no client can see: it is
	// called in place of syncfs(2), and is given it. The program itself never
	// sets it.
	Sync func(syncfs func() error) error
}

// S3 is a running embedded S3 gateway. All methods may be called concurrently.
type S3 struct {
	opts    S3Options
	store   *durable
	proxy   *proxy
	release func() error // the syncfs handle

	stop context.CancelFunc
	done chan struct{} // closed when the gateway has ended
	err  error         // of the gateway; read after done

	closeOnce sync.Once
	closeErr  error
}

// StartS3 starts the embedded S3 gateway over a directory and returns once it
// serves. Only one may run in a process at a time ([ErrS3Running]). Changes
// are answered when they are durable, conditional writes (If-None-Match: *,
// If-Match) have exactly one winner, and x-amz-checksum-sha256 is verified.
//
// Errors: [ErrS3Running], [ErrPortInUse], [ErrNotLoopback], or what the data
// directory says.
func StartS3(ctx context.Context, opts S3Options) (*S3, error) {
	s, err := startS3(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start embedded S3: %w", err)
	}
	return s, nil
}

func startS3(ctx context.Context, opts S3Options) (_ *S3, err error) {
	if opts.AccessKey == "" || opts.SecretKey == "" || opts.Bucket == "" || opts.DataDir == "" {
		return nil, errors.New("data directory, access key, secret key and bucket are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Logger = opts.Logger.With("engine", "s3")
	if !s3Running.CompareAndSwap(false, true) {
		return nil, ErrS3Running
	}
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
		s3Running.Store(false)
	}()

	ln, err := listenLoopback(ctx, opts.Listen, maxS3Conns)
	if err != nil {
		return nil, err
	}
	undo = append(undo, ln.Close)
	store, release, err := openStore(opts)
	if err != nil {
		return nil, err
	}
	undo = append(undo, release, func() error { store.Shutdown(); return nil })
	if err := createBucket(ctx, store, opts); err != nil {
		return nil, err
	}
	s := &S3{opts: opts, store: store, release: release, done: make(chan struct{})}
	socket := "@annals-s3-" + randomHex()
	if err := s.serve(ctx, socket); err != nil {
		return nil, err
	}
	s.proxy = newProxy(ln, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}, opts.Logger)
	s.proxy.start()
	return s, nil
}

// openStore opens the directory and puts durability before it.
func openStore(opts S3Options) (*durable, func() error, error) {
	dir, err := filepath.Abs(opts.DataDir)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	if err := begin(dir, opts.Logger); err != nil {
		return nil, nil, err
	}
	files, err := newRooted(dir)
	if err != nil {
		return nil, nil, err
	}
	syncfs, release, err := openSyncfs(dir)
	if err != nil {
		files.Shutdown()
		return nil, nil, err
	}
	sync := syncfs
	if opts.Sync != nil {
		sync = func() error { return opts.Sync(syncfs) }
	}
	return newDurable(files, sync, opts.Logger), release, nil
}

// begin notes that the store is open and, if the note of the last time is
// there, sets aside what that run did not write to its end.
func begin(dir string, logger *slog.Logger) error {
	note := filepath.Join(dir, runningFile)
	_, err := os.Stat(note)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return replaceFile(note, nil)
	case err != nil:
		return err
	}
	_, err = SetTornAside(dir, logger)
	return err
}

// createBucket makes the bucket unless it exists.
func createBucket(ctx context.Context, store *durable, opts S3Options) error {
	_, err := store.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &opts.Bucket})
	if err == nil {
		return nil
	}
	if !errors.Is(err, s3err.GetAPIError(s3err.ErrNoSuchBucket)) {
		return fmt.Errorf("look for bucket %q: %w", opts.Bucket, err)
	}
	acl, err := json.Marshal(auth.ACL{Owner: opts.AccessKey})
	if err != nil {
		return fmt.Errorf("encode bucket ACL: %w", err)
	}
	err = store.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket:                    &opts.Bucket,
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
	}, acl)
	if err != nil {
		return fmt.Errorf("create bucket %q: %w", opts.Bucket, err)
	}
	return nil
}

// serve runs the gateway on socket and waits until it listens. The gateway
// cannot say which TCP port it got and does not take a listener, so it gets a
// socket in the abstract namespace, with a name nobody can guess and no file
// to leave behind, and the proxy in front owns the port.
func (s *S3) serve(ctx context.Context, socket string) error {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	listening := make(chan struct{})
	go func() {
		defer close(s.done)
		s.err = embedgw.RunVersityGW(run, s.store, &embedgw.Config{
			RootUserAccess: s.opts.AccessKey,
			RootUserSecret: s.opts.SecretKey,
			Region:         s3Region,
			Ports:          []string{socket},
			IAMService: auth.NewIAMServiceSingle(auth.Account{ // nil would talk on stdout
				Access: s.opts.AccessKey, Secret: s.opts.SecretKey, Role: auth.RoleAdmin,
			}),
			MaxConnections:    maxS3Conns,
			MaxRequests:       maxS3Requests,
			MultipartMaxParts: maxS3Parts,
			KeepAlive:         true,
			Quiet:             true,
			DisableACLs:       true,
			S3Options:         []s3api.Option{s3api.WithOnListen(sync.OnceFunc(func() { close(listening) }))},
		})
	}()
	select {
	case <-listening:
		return nil
	case <-s.done:
		stop()
		return fmt.Errorf("run gateway: %w", s.err)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.end())
	case <-time.After(s3StartTimeout):
		return errors.Join(fmt.Errorf("gateway did not listen within %s", s3StartTimeout), s.end())
	}
}

// Endpoint is the address clients connect to, host:port, plain HTTP,
// path-style buckets.
func (s *S3) Endpoint() string { return s.proxy.addr() }

// Bucket is the bucket made at start.
func (s *S3) Bucket() string { return s.opts.Bucket }

// Region is what clients must sign for.
func (s *S3) Region() string { return s3Region }

// AccessKey and SecretKey are what clients sign with.
func (s *S3) AccessKey() string { return s.opts.AccessKey }

// SecretKey belongs to [S3.AccessKey].
func (s *S3) SecretKey() string { return s.opts.SecretKey }

// Done is closed when the gateway has ended, by Close or by itself.
func (s *S3) Done() <-chan struct{} { return s.done }

// Close lets the requests in flight finish, for 15 seconds at most, and stops
// the gateway. What was acknowledged is durable with or without it.
func (s *S3) Close() error {
	s.closeOnce.Do(func() {
		defer s3Running.Store(false)
		err := errors.Join(s.proxy.close(s3CloseTimeout, s.store.busy), s.end(), s.release())
		if err == nil && s.store.group.failed() == nil { // else the next start must look
			err = os.Remove(filepath.Join(s.opts.DataDir, runningFile))
		}
		if err != nil {
			s.closeErr = fmt.Errorf("close embedded S3: %w", err)
		}
	})
	return s.closeErr
}

// end stops the gateway and waits for it.
func (s *S3) end() error {
	s.stop()
	select {
	case <-s.done:
	case <-time.After(s3CloseTimeout):
		return fmt.Errorf("gateway did not end within %s", s3CloseTimeout)
	}
	if errors.Is(s.err, context.Canceled) {
		return nil
	}
	return s.err
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see newSecret
	return hex.EncodeToString(b[:])
}
