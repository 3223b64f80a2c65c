package simulation

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fx-risk-ai/annals/internal/objstore"
	"github.com/fx-risk-ai/annals/internal/objstore/objstoretest"
)

const bucket = "archive"

// s3 is a bucket in memory that speaks S3 to whoever uses it as a transport:
// sockets would keep the bubble's clock from moving. Requests take effect one
// at a time, in the moment that RoundTrip is called. Signatures are not looked
// at.
type s3 struct {
	mu      sync.Mutex
	objects map[string]*stored
	keys    []string // sorted
}

type stored struct {
	body     []byte
	etag     string
	sum      string // SHA-256 in base64, as x-amz-checksum-sha256 has it
	modified time.Time
}

func newS3() *s3 { return &s3{objects: map[string]*stored{}} }

// RoundTrip implements http.RoundTripper.
func (s *s3) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case name != bucket:
		return refuse(r, http.StatusNotFound, "NoSuchBucket", "the bucket does not exist"), nil
	case key == "" && r.Method == http.MethodHead:
		return respond(r, http.StatusOK, nil, nil), nil
	case key == "" && r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		return s.list(r, r.URL.Query()), nil
	case key != "" && r.Method == http.MethodPut:
		return s.put(r, key, body), nil
	case key != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return s.get(r, key), nil
	case key != "" && r.Method == http.MethodDelete:
		s.remove(key)
		return respond(r, http.StatusNoContent, nil, nil), nil
	default:
		return refuse(r, http.StatusNotImplemented, "NotImplemented", r.Method+" "+r.URL.String()), nil
	}
}

func (s *s3) put(r *http.Request, key string, body []byte) *http.Response {
	there := s.objects[key]
	if match := r.Header.Get("If-Match"); match != "" {
		if there == nil {
			return refuse(r, http.StatusNotFound, "NoSuchKey", "the key does not exist")
		}
		if strings.Trim(match, `"`) != there.etag {
			return refuse(r, http.StatusPreconditionFailed, "PreconditionFailed", "the ETag is another")
		}
	}
	if r.Header.Get("If-None-Match") == "*" && there != nil {
		return refuse(r, http.StatusPreconditionFailed, "PreconditionFailed", "the key exists")
	}
	sum := sha256.Sum256(body)
	sent := base64.StdEncoding.EncodeToString(sum[:])
	if want := r.Header.Get("X-Amz-Checksum-Sha256"); want != "" && want != sent {
		return refuse(r, http.StatusBadRequest, "BadDigest", "the checksum is another")
	}
	tag := md5.Sum(body)
	if there == nil {
		at, _ := slices.BinarySearch(s.keys, key)
		s.keys = slices.Insert(s.keys, at, key)
	}
	o := &stored{body: body, etag: hex.EncodeToString(tag[:]), sum: sent, modified: time.Now().UTC()}
	s.objects[key] = o
	return respond(r, http.StatusOK, http.Header{"Etag": {`"` + o.etag + `"`}}, nil)
}

func (s *s3) get(r *http.Request, key string) *http.Response {
	o := s.objects[key]
	if o == nil {
		return refuse(r, http.StatusNotFound, "NoSuchKey", "the key does not exist")
	}
	h := http.Header{"Etag": {`"` + o.etag + `"`}, "Last-Modified": {o.modified.Format(http.TimeFormat)}, "Content-Type": {"application/octet-stream"}}
	body, status := o.body, http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" {
		from, to, ok := byteRange(asked)
		if !ok || from >= int64(len(body)) {
			return refuse(r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange", asked)
		}
		to = min(to, int64(len(body))-1)
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(body)))
		body, status = body[from:to+1], http.StatusPartialContent
	} else if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		h.Set("X-Amz-Checksum-Sha256", o.sum)
	}
	return respond(r, status, h, body)
}

func byteRange(s string) (from, to int64, ok bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	if !ok {
		return 0, 0, false
	}
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	return from, to, err1 == nil && err2 == nil && from <= to
}

func (s *s3) remove(key string) {
	if s.objects[key] == nil {
		return
	}
	delete(s.objects, key)
	at, _ := slices.BinarySearch(s.keys, key)
	s.keys = slices.Delete(s.keys, at, at+1)
}

type listing struct {
	XMLName        xml.Name `xml:"ListBucketResult"`
	Name           string
	Prefix         string
	KeyCount       int
	MaxKeys        int
	EncodingType   string `xml:",omitempty"`
	IsTruncated    bool
	Token          string `xml:"NextContinuationToken,omitempty"`
	Contents       []listedObject
	CommonPrefixes []listedPrefix
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
}

type listedPrefix struct{ Prefix string }

func (s *s3) list(r *http.Request, q url.Values) *http.Response {
	most, err := strconv.Atoi(cmp.Or(q.Get("max-keys"), "1000"))
	if err != nil {
		return refuse(r, http.StatusBadRequest, "InvalidArgument", "max-keys")
	}
	encoded := func(s string) string { return s }
	if q.Get("encoding-type") == "url" {
		encoded = url.QueryEscape
	}
	l := listing{Name: bucket, Prefix: encoded(q.Get("prefix")), MaxKeys: most, EncodingType: q.Get("encoding-type")}
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	at, _ := slices.BinarySearch(s.keys, q.Get("prefix"))
	for _, key := range s.keys[at:] {
		rest, ok := strings.CutPrefix(key, q.Get("prefix"))
		if !ok {
			break
		}
		folder := ""
		if d := q.Get("delimiter"); d != "" {
			if head, _, cut := strings.Cut(rest, d); cut {
				folder = q.Get("prefix") + head + d
			}
		}
		// What stands under a folder that was given already is not given again.
		if key <= after || folder != "" && (folder <= after || len(l.CommonPrefixes) > 0 && l.CommonPrefixes[len(l.CommonPrefixes)-1].Prefix == encoded(folder)) {
			continue
		}
		if l.KeyCount == most {
			l.IsTruncated = true
			break
		}
		l.KeyCount++
		if folder != "" {
			l.Token = folder
			l.CommonPrefixes = append(l.CommonPrefixes, listedPrefix{encoded(folder)})
			continue
		}
		l.Token = key
		o := s.objects[key]
		l.Contents = append(l.Contents, listedObject{encoded(key), o.modified.Format("2006-01-02T15:04:05.000Z"), `"` + o.etag + `"`, len(o.body)})
	}
	if !l.IsTruncated {
		l.Token = ""
	}
	raw, err := xml.Marshal(l)
	if err != nil {
		return refuse(r, http.StatusInternalServerError, "InternalError", err.Error())
	}
	return respond(r, http.StatusOK, http.Header{"Content-Type": {"application/xml"}}, raw)
}

func respond(r *http.Request, status int, h http.Header, body []byte) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	response := &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: int64(len(body)), Body: http.NoBody, Request: r,
	}
	if r.Method != http.MethodHead {
		response.Body = io.NopCloser(bytes.NewReader(body))
	}
	return response
}

func refuse(r *http.Request, status int, code, message string) *http.Response {
	raw, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
	if err != nil {
		panic(err) // of two strings
	}
	return respond(r, status, http.Header{"Content-Type": {"application/xml"}}, raw)
}

func openStore(t testing.TB, transport http.RoundTripper, edit func(*objstore.Options)) *objstore.Store {
	t.Helper()
	o := objstore.Options{
		Endpoint: "s3.simulation", Region: "us-east-1", Bucket: bucket, PathStyle: true,
		AccessKey: "simulation", SecretKey: "simulation", Transport: transport,
	}
	if edit != nil {
		edit(&o)
	}
	store, err := objstore.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestStoreIsAStore holds the bucket in memory against what every store that
// Annals runs on must do, the embedded one among them.
func TestStoreIsAStore(t *testing.T) {
	t.Parallel()
	objstoretest.Accept(t, func(t *testing.T, pageKeys int) *objstore.Store {
		return openStore(t, newS3(), func(o *objstore.Options) { o.PageKeys = pageKeys })
	})
	t.Run("preflight", func(t *testing.T) {
		if err := openStore(t, newS3(), nil).Preflight(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
