package embedded_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/fx-risk-ai/annals/internal/embedded"
	"github.com/fx-risk-ai/annals/internal/embedded/embeddedtest"
)

func startS3(t testing.TB, opts embedded.S3Options) *embedded.S3 {
	t.Helper()
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.AccessKey == "" {
		opts.AccessKey, opts.SecretKey = "annals", "secret"
	}
	if opts.Bucket == "" {
		opts.Bucket = "annals"
	}
	if opts.DataDir == "" {
		opts.DataDir = t.TempDir()
	}
	s, err := embedded.StartS3(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeS3(t, s) })
	return s
}

func closeS3(t testing.TB, s *embedded.S3) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// bucket is an S3 client of one bucket, by an SDK that Annals itself does not
// use.
type bucket struct {
	*s3.Client
	name   string
	prefix string // with a slash, or empty
}

func newBucket(t testing.TB, endpoint, accessKey, secretKey, name string) *bucket {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	t.Cleanup(transport.CloseIdleConnections)
	return &bucket{name: name, Client: s3.New(s3.Options{
		BaseEndpoint:               aws.String("http://" + endpoint),
		Region:                     "us-east-1",
		UsePathStyle:               true,
		RetryMaxAttempts:           1,
		HTTPClient:                 &http.Client{Transport: transport},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		Credentials:                credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})}
}

func sharedBucket(t testing.TB) *bucket {
	t.Helper()
	store := embeddedtest.S3(t)
	b := newBucket(t, store.Endpoint, store.AccessKey, store.SecretKey, store.Bucket)
	b.prefix = store.Prefix + "/"
	return b
}

func (b *bucket) put(t testing.TB, key, body string, more ...func(*s3.PutObjectInput)) (etag string, err error) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key), Body: strings.NewReader(body)}
	for _, m := range more {
		m(in)
	}
	out, err := b.PutObject(t.Context(), in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

func (b *bucket) mustPut(t testing.TB, key, body string) string {
	t.Helper()
	etag, err := b.put(t, key, body)
	if err != nil {
		t.Fatal(err)
	}
	return etag
}

func (b *bucket) get(t testing.TB, key, byteRange string) (body, etag string, err error) {
	t.Helper()
	in := &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key)}
	if byteRange != "" {
		in.Range = &byteRange
	}
	out, err := b.GetObject(t.Context(), in)
	if err != nil {
		return "", "", err
	}
	raw, err := io.ReadAll(out.Body)
	return string(raw), aws.ToString(out.ETag), errors.Join(err, out.Body.Close())
}

func (b *bucket) list(t testing.TB, in s3.ListObjectsV2Input) (keys, prefixes []string) {
	t.Helper()
	in.Bucket = &b.name
	in.Prefix = aws.String(b.prefix + aws.ToString(in.Prefix))
	for pages := s3.NewListObjectsV2Paginator(b, &in); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if aws.ToString(page.Name) != b.name {
			t.Fatalf("list of bucket %q names %q", b.name, aws.ToString(page.Name))
		}
		for _, o := range page.Contents {
			keys = append(keys, strings.TrimPrefix(*o.Key, b.prefix))
		}
		for _, p := range page.CommonPrefixes {
			prefixes = append(prefixes, strings.TrimPrefix(*p.Prefix, b.prefix))
		}
	}
	return keys, prefixes
}

func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func ifNoneMatch(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }

// TestS3OneWinner is what the ledger stands on: of 32 writers that create the
// same object, one is told so and what it wrote is what is there.
func TestS3OneWinner(t *testing.T) {
	noLeaks(t)
	const rounds, writers = 50, 32
	b := sharedBucket(t)
	losses := map[string]int{}
	for round := range rounds {
		key := fmt.Sprintf("ledger/%020d.json", round)
		var mu sync.Mutex
		var winners []string
		var wg sync.WaitGroup
		start := make(chan struct{})
		for w := range writers {
			wg.Go(func() {
				<-start
				body := fmt.Sprintf("round %d writer %d", round, w)
				_, err := b.put(t, key, body, ifNoneMatch)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners = append(winners, body)
				} else {
					losses[errorCode(err)]++
				}
			})
		}
		close(start)
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("round %d: winners are %q", round, winners)
		}
		if got, _, err := b.get(t, key, ""); err != nil || got != winners[0] {
			t.Fatalf("round %d: %q is there (%v), the winner wrote %q", round, got, err, winners[0])
		}
	}
	t.Logf("%d rounds of %d writers: one winner each, the others got %v", rounds, writers, losses)
	if losses["PreconditionFailed"] != rounds*(writers-1) {
		t.Errorf("losers got %v, want PreconditionFailed only", losses)
	}
}

// TestS3CompareAndSwap counts with If-Match: a lost update would be a missing
// count.
func TestS3CompareAndSwap(t *testing.T) {
	const writers, each = 16, 5
	b := sharedBucket(t)
	b.mustPut(t, "state", "")
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				body, etag, err := b.get(t, "state", "")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = b.put(t, "state", body+"x", func(in *s3.PutObjectInput) { in.IfMatch = &etag })
				switch errorCode(err) {
				case "":
					done++
				case "PreconditionFailed":
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if body, _, err := b.get(t, "state", ""); err != nil || len(body) != writers*each {
		t.Errorf("%d of %d updates are there (%v)", len(body), writers*each, err)
	}
	if _, err := b.put(t, "absent", "x", func(in *s3.PutObjectInput) { in.IfMatch = aws.String(`"0"`) }); errorCode(err) == "" {
		t.Error("If-Match created an object")
	}
}

func TestS3Ranges(t *testing.T) {
	b := sharedBucket(t)
	body := strings.Repeat("0123456789", 100_000)
	b.mustPut(t, "big.parquet", body)
	for _, c := range []struct{ ask, want string }{
		{"bytes=0-3", body[:4]},
		{"bytes=500000-500099", body[500_000:500_100]},
		{"bytes=-8", body[len(body)-8:]},
		{"bytes=999990-", body[999_990:]},
		{"bytes=999990-2000000", body[999_990:]},
	} {
		if got, _, err := b.get(t, "big.parquet", c.ask); err != nil || got != c.want {
			t.Errorf("%s: %d bytes, %v", c.ask, len(got), err)
		}
	}
	if _, _, err := b.get(t, "big.parquet", "bytes=2000000-"); errorCode(err) != "InvalidRange" {
		t.Errorf("a range beyond the end: %v", err)
	}
}

func TestS3ListsWhatWasWritten(t *testing.T) {
	b := sharedBucket(t)
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("data/t%%2Fo/%05d/%d.parquet", i%3, i)
		b.mustPut(t, key, "x")
		want = append(want, key)
		slices.Sort(want)
		if got, _ := b.list(t, s3.ListObjectsV2Input{Prefix: aws.String("data/"), MaxKeys: aws.Int32(7)}); !slices.Equal(got, want) {
			t.Fatalf("after %d puts the list is %q", i+1, got)
		}
	}
	_, prefixes := b.list(t, s3.ListObjectsV2Input{Prefix: aws.String("data/t%2Fo/"), Delimiter: aws.String("/")})
	if !slices.Equal(prefixes, []string{"data/t%2Fo/00000/", "data/t%2Fo/00001/", "data/t%2Fo/00002/"}) {
		t.Errorf("common prefixes are %q", prefixes)
	}
	after, _ := b.list(t, s3.ListObjectsV2Input{Prefix: aws.String("data/"), StartAfter: aws.String(b.prefix + want[19])})
	if !slices.Equal(after, want[20:]) {
		t.Errorf("after %q come %q", want[19], after)
	}
	for _, key := range want {
		if _, err := b.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + key)}); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := b.list(t, s3.ListObjectsV2Input{}); len(left) > 0 {
		t.Errorf("after deleting all %q are left", left)
	}
}

func TestS3VerifiesSHA256(t *testing.T) {
	b := sharedBucket(t)
	const body = "the bytes that were hashed"
	sum := sha256.Sum256([]byte(body))
	sha := base64.StdEncoding.EncodeToString(sum[:])
	withSum := func(in *s3.PutObjectInput) { in.ChecksumSHA256 = &sha }
	if _, err := b.put(t, "good", body, withSum); err != nil {
		t.Fatal(err)
	}
	head, err := b.HeadObject(t.Context(), &s3.HeadObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + "good"), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil || aws.ToString(head.ChecksumSHA256) != sha {
		t.Errorf("stored checksum is %q (%v), want %q", aws.ToString(head.ChecksumSHA256), err, sha)
	}
	if _, err := b.put(t, "bad", "other bytes", withSum); errorCode(err) != "BadDigest" {
		t.Errorf("bytes of another hash: %v", err)
	}
	if _, _, err := b.get(t, "bad", ""); errorCode(err) != "NoSuchKey" {
		t.Errorf("refused bytes are there: %v", err)
	}
}

func TestS3Multipart(t *testing.T) {
	b := sharedBucket(t)
	key := aws.String(b.prefix + "big")
	up, err := b.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &b.name, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(up.Bucket) != b.name {
		t.Errorf("upload is in bucket %q", aws.ToString(up.Bucket))
	}
	parts := [][]byte{bytes.Repeat([]byte("a"), 5<<20), []byte("end")}
	var done types.CompletedMultipartUpload
	for i, p := range parts {
		n := aws.Int32(int32(i + 1))
		out, err := b.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: &b.name, Key: key, UploadId: up.UploadId, PartNumber: n, Body: bytes.NewReader(p),
		})
		if err != nil {
			t.Fatal(err)
		}
		done.Parts = append(done.Parts, types.CompletedPart{ETag: out.ETag, PartNumber: n})
	}
	_, err = b.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: key, UploadId: up.UploadId, MultipartUpload: &done, IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := b.get(t, "big", ""); err != nil || got != string(bytes.Join(parts, nil)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestS3RefusesStrangers(t *testing.T) {
	store := embeddedtest.S3(t)
	for name, b := range map[string]*bucket{
		"wrong secret": newBucket(t, store.Endpoint, store.AccessKey, "wrong", store.Bucket),
		"wrong key":    newBucket(t, store.Endpoint, "wrong", store.SecretKey, store.Bucket),
	} {
		if _, err := b.put(t, "x", "x"); err == nil {
			t.Errorf("%s: was let in", name)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions} {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+store.Endpoint+"/"+store.Bucket+"/x", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "http://example.com")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode < 400 {
			t.Errorf("%s without a signature: %s", method, resp.Status)
		}
		if allow := resp.Header.Get("Access-Control-Allow-Origin"); allow != "" {
			t.Errorf("%s: a foreign page may read the answer: %q", method, allow)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestS3Start covers what a user meets at start, and that data is found again.
func TestS3Start(t *testing.T) {
	noLeaks(t)
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := startS3(t, embedded.S3Options{DataDir: dir})
	if _, err := embedded.StartS3(t.Context(), embedded.S3Options{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", AccessKey: "a", SecretKey: "b", Bucket: "annals",
	}); !errors.Is(err, embedded.ErrS3Running) {
		t.Errorf("a second gateway: %v", err)
	}
	b := newBucket(t, s.Endpoint(), "annals", "secret", "annals")
	b.mustPut(t, "kept", "for ever")
	if _, err := b.put(t, "a", "x"); err != nil {
		t.Error(err)
	}
	if _, err := b.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("absent")}); err == nil {
		t.Error("an absent bucket is there")
	}
	_, err = b.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("absent")})
	if errorCode(err) != "NoSuchBucket" || strings.Contains(err.Error(), dir) {
		t.Errorf("an absent bucket: %v", err)
	}
	buckets, err := b.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) != 1 || *buckets.Buckets[0].Name != "annals" {
		t.Errorf("buckets are %+v, %v", buckets, err)
	}
	closeS3(t, s)

	again := startS3(t, embedded.S3Options{DataDir: dir, Listen: s.Endpoint()})
	if again.Endpoint() != s.Endpoint() {
		t.Errorf("restarted at %s, was %s", again.Endpoint(), s.Endpoint())
	}
	if got, _, err := b.get(t, "kept", ""); err != nil || got != "for ever" {
		t.Errorf("after the restart: %q, %v", got, err)
	}
	if onDisk, err := os.ReadFile(filepath.Join(dir, "annals", "kept")); err != nil || string(onDisk) != "for ever" {
		t.Errorf("on disk: %q, %v", onDisk, err)
	}
	after, err := os.Getwd()
	if err != nil || after != before {
		t.Errorf("the working directory went from %s to %s (%v)", before, after, err)
	}
	closeS3(t, again)

	k := startKafka(t, embedded.KafkaOptions{})
	for _, c := range []struct {
		listen string
		want   error
	}{{k.Addr(), embedded.ErrPortInUse}, {"0.0.0.0:0", embedded.ErrNotLoopback}} {
		_, err := embedded.StartS3(t.Context(), embedded.S3Options{
			DataDir: dir, Listen: c.listen, AccessKey: "a", SecretKey: "b", Bucket: "annals",
		})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.listen) {
			t.Errorf("listen on %s: %v", c.listen, err)
		}
	}
}
