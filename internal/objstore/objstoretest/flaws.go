package objstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/fx-risk-ai/annals/internal/objstore"
)

// Flaw is one way in which a store that answers well is not one to keep an
// archive in.
type Flaw uint8

// The flaws.
const (
	Sound               Flaw = iota
	CheckThenPut             // looks whether the condition holds, then writes: SeaweedFS up to 4.16
	NoConditions             // ignores If-None-Match and If-Match
	NoIfMatch                // ignores If-Match alone
	NeverCreates             // answers 412 to every If-None-Match
	StaleReads               // remembers what a key's first GET found, also that it was not there
	StaleHeads               // the same of HEAD
	StaleLists               // remembers each listing
	UnsortedLists            // the first two keys of a listing change places
	NoRanges                 // answers ranges with the whole object
	NoChecksums              // takes whatever bytes come
	NoDeletes                // 403 to every DELETE
	NoLockQuestions          // 403 to questions about versioning and lock
	LockQuestionsPutOff      // 503 to questions about versioning and lock, every time but the third
	NoLocks                  // 501 to them: it knows neither
	Suspended                // versioning is suspended
	Slow                     // its clock is 5 s behind
	Skewed                   // 403 RequestTimeTooSkewed to everything
	Busy                     // 503 to every conditional write
	ReadOnly                 // 403 to every PUT
	NotImplemented           // 501 to every conditional write
	LateSound                // a conditional write whose client is gone is made later, if its condition holds then
	LateBlind                // the same, if its condition held when it arrived
	Unanswered               // the answer to every 40th conditional write does not arrive
)

// Flawed is a transport that makes the store behind it one with a flaw. It
// needs the store's keys: a request that it changes is signed anew.
type Flawed struct {
	Base    http.RoundTripper
	Flaw    Flaw
	Options objstore.Options

	writes    atomic.Int64 // conditional ones
	questions atomic.Int64 // about versioning and lock

	mu    sync.Mutex
	found map[string]*recorded
}

// Flaws returns an edit for Open that puts a flaw between the Store and what
// it stands on.
func Flaws(flaw Flaw) func(*objstore.Options) {
	return func(o *objstore.Options) {
		o.Transport = &Flawed{Base: o.Transport, Flaw: flaw, Options: *o}
	}
}

// recorded is an answer that is given again.
type recorded struct {
	response http.Response
	body     []byte
}

func record(response *http.Response) (*recorded, error) {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return &recorded{*response, body}, response.Body.Close()
}

func (r *recorded) play(request *http.Request) *http.Response {
	again := r.response
	again.Header, again.Request = r.response.Header.Clone(), request
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	if request.Method == http.MethodHead {
		again.ContentLength = r.response.ContentLength
	}
	return &again
}

// CloseIdleConnections lets a Store's Close reach the connections below.
func (f *Flawed) CloseIdleConnections() {
	if c, ok := f.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (f *Flawed) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	list := query.Has("list-type")
	object := r.Method == http.MethodPut && len(query) == 0
	lock := query.Has("versioning") || query.Has("object-lock")
	conditional := r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Match") != ""
	switch {
	case f.Flaw == CheckThenPut && conditional:
		return f.checkThenPut(r)
	case (f.Flaw == LateSound || f.Flaw == LateBlind) && conditional:
		return f.queue(r)
	case f.Flaw == Unanswered && conditional && f.writes.Add(1)%40 == 0:
		return f.unanswered(r)
	case f.Flaw == NoConditions && conditional, f.Flaw == NoIfMatch && r.Header.Get("If-Match") != "":
		return f.again(r, func(r *http.Request, _ []byte) { unconditional(r) })
	case f.Flaw == NeverCreates && r.Header.Get("If-None-Match") != "":
		return answer(r, http.StatusPreconditionFailed, "PreconditionFailed"), nil
	case f.Flaw == Busy && conditional:
		return answer(r, http.StatusServiceUnavailable, "SlowDown"), nil
	case f.Flaw == NotImplemented && conditional:
		return answer(r, http.StatusNotImplemented, "NotImplemented"), nil
	case f.Flaw == StaleReads && r.Method == http.MethodGet && len(query) == 0 && r.Header.Get("Range") == "", f.Flaw == StaleHeads && r.Method == http.MethodHead,
		f.Flaw == StaleLists && list:
		return f.remember(r)
	case f.Flaw == UnsortedLists && list && query.Get("delimiter") == "":
		return f.unsorted(r)
	case f.Flaw == NoRanges && r.Header.Get("Range") != "":
		return f.again(r, func(r *http.Request, _ []byte) { r.Header.Del("Range") })
	case f.Flaw == NoChecksums && object:
		return f.again(r, resum)
	case f.Flaw == NoDeletes && r.Method == http.MethodDelete, f.Flaw == ReadOnly && object,
		f.Flaw == NoLockQuestions && lock:
		return answer(r, http.StatusForbidden, "AccessDenied"), nil
	case f.Flaw == LockQuestionsPutOff && lock && f.questions.Add(1)%3 != 0:
		return answer(r, http.StatusServiceUnavailable, "SlowDown"), nil
	case f.Flaw == NoLocks && lock:
		return answer(r, http.StatusNotImplemented, "NotImplemented"), nil
	case f.Flaw == Skewed:
		return answer(r, http.StatusForbidden, "RequestTimeTooSkewed"), nil
	case f.Flaw == Suspended && query.Has("versioning"):
		response := answer(r, http.StatusOK, "")
		response.Body = io.NopCloser(strings.NewReader(`<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`))
		response.ContentLength = -1
		return response, nil
	}
	response, err := f.Base.RoundTrip(r)
	if err == nil && f.Flaw == Slow {
		if shown, err := http.ParseTime(response.Header.Get("Date")); err == nil {
			response.Header.Set("Date", shown.Add(-5*time.Second).Format(http.TimeFormat))
		}
	}
	return response, err
}

// again sends a request that was changed, signed anew.
func (f *Flawed) again(r *http.Request, change func(*http.Request, []byte)) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	changed := r.Clone(r.Context())
	change(changed, body)
	changed.Header.Del("Authorization")
	changed = signer.SignV4(*changed, f.Options.AccessKey, f.Options.SecretKey, "", f.Options.Region)
	if r.Body != nil {
		changed.Body, changed.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return f.Base.RoundTrip(changed)
}

func unconditional(r *http.Request) {
	r.Header.Del("If-None-Match")
	r.Header.Del("If-Match")
}

// resum makes the checksums those of the bytes that came.
func resum(r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
}

// checkThenPut does in two requests what a store must do in one.
func (f *Flawed) checkThenPut(r *http.Request) (*http.Response, error) {
	holds, err := f.holds(r)
	switch {
	case err != nil:
		return nil, err
	case !holds:
		return answer(r, http.StatusPreconditionFailed, "PreconditionFailed"), nil
	}
	return f.again(r, func(r *http.Request, _ []byte) { unconditional(r) })
}

// holds tells whether a write's condition holds now.
func (f *Flawed) holds(r *http.Request) (bool, error) {
	look := r.Clone(r.Context())
	look.Body, look.ContentLength, look.GetBody = nil, 0, nil
	there, err := f.again(look, func(r *http.Request, _ []byte) {
		unconditional(r)
		r.Method = http.MethodHead
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amz-Checksum") || name == "Content-Type" || name == "Content-Length" {
				r.Header.Del(name)
			}
		}
		empty := sha256.Sum256(nil)
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(empty[:]))
	})
	if err != nil {
		return false, err
	}
	if err := discard(there); err != nil {
		return false, err
	}
	exists, want := there.StatusCode == http.StatusOK, strings.Trim(r.Header.Get("If-Match"), `"`)
	if want == "" {
		return !exists, nil
	}
	return exists && strings.Trim(there.Header.Get("Etag"), `"`) == want, nil
}

// unanswered makes the write and drops the connection.
func (f *Flawed) unanswered(r *http.Request) (*http.Response, error) {
	response, err := f.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(io.ErrUnexpectedEOF, discard(response))
}

// How long a write waits in the queue, and how much later it is made when its
// client is gone by then. On a busy machine a request takes tens of milliseconds more
// on its way: some are given up in the queue all the same, and who overtakes one that
// was is faster than it.
const (
	queued = 50 * time.Millisecond
	late   = 600 * time.Millisecond
)

// queue holds a conditional write for a moment, as a proxy does that has many.
func (f *Flawed) queue(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	gone := r.Context().Done()
	r = r.Clone(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if f.Flaw == LateBlind {
		holds, err := f.holds(r)
		if err != nil {
			return nil, err
		}
		if !holds {
			return answer(r, http.StatusPreconditionFailed, "PreconditionFailed"), nil
		}
	}
	select {
	case <-time.After(queued):
		return f.Base.RoundTrip(r)
	case <-gone:
	}
	time.AfterFunc(late, func() {
		response, err := f.again(r, func(r *http.Request, _ []byte) {
			if f.Flaw == LateBlind {
				unconditional(r)
			}
		})
		if err == nil {
			_ = discard(response)
		}
	})
	return nil, context.DeadlineExceeded
}

// remember gives the first answer to a request's address for ever.
func (f *Flawed) remember(r *http.Request) (*http.Response, error) {
	key := r.Method + r.URL.String()
	f.mu.Lock()
	old := f.found[key]
	f.mu.Unlock()
	if old != nil {
		return old.play(r), nil
	}
	response, err := f.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	first, err := record(response)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.found == nil {
		f.found = map[string]*recorded{}
	}
	f.found[key] = first
	return first.play(r), nil
}

// unsorted changes the places of a listing's first two entries.
func (f *Flawed) unsorted(r *http.Request) (*http.Response, error) {
	response, err := f.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	all, err := record(response)
	if err != nil {
		return nil, err
	}
	if parts := strings.SplitN(string(all.body), "<Contents>", 4); len(parts) == 4 {
		parts[1], parts[2] = parts[2], parts[1]
		all.body = []byte(strings.Join(parts, "<Contents>"))
	}
	return all.play(r), nil
}
